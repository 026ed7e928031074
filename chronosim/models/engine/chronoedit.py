"""ChronoEdit as a world model: a frame and an edit in words go in, a trajectory comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import count
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.models.engine.acceleration import TEXT_TOKENS
from chronosim.models.engine.components import Components, demand_finite
from chronosim.models.engine.denoising import (
    Denoised,
    Flow,
    Velocity,
    build_scheduler,
    denoise,
)
from chronosim.models.engine.encoding import (
    decode,
    encode,
    encode_condition,
    encode_frame,
    encode_text,
)
from chronosim.models.engine.parallel import check_shares
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.presets import larger_models
from chronosim.progress import denoised
from chronosim.types import EditPrompt, Frame, Prediction, Trajectory

Latents = Float32[Tensor, "channels latents rows columns"]
Noise = Float32[Tensor, "channels time _ _"]
Embedding = Float[Tensor, "_ features"]


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """All that is denoised by: a frame, what its text means, and the noise."""

    frame: Frame
    text: Embedding
    noise: Noise


class ChronoEdit:
    """A world model over diffusers' ChronoEdit components.

    It computes what diffusers' `ChronoEditPipeline` computes, and besides: several different
    frames in one call with one seed per row, reasoning tokens that are dropped yet still give a
    trajectory, any flow-matching scheduler, and nothing computed twice.

    On a CPU rows run one at a time, so that a row alone and in a call is bit for bit the same. On
    a GPU `micro_batch` rows run together; they differ from a row alone by rounding (in float32
    about 1e-5 on latents).

    Args:
        components: The model's parts; several engines may share them.
        sampling: The sampler's settings.
        name: What the model is called in the log.
        revision: Of which commit, tag or branch it is.
        frame_size: The only (height, width) the model was trained at; None: any on its grid.
        micro_batch: Rows computed at once, >= 1; None: one on a CPU, four on a GPU.
        batched_guidance: Whether the two forwards of guidance are one of twice as many rows.
        progress: Called after each denoising step with the steps done and all of the call's; it may
            raise `chronosim.errors.Cancelled`. `chronosim.progress.after_each_denoising_step` has
            another one called for as long as it is wanted.

    Raises:
        InvalidConfig: `micro_batch` is below 1.
    """

    def __init__(
        self,
        components: Components,
        sampling: Sampling,
        *,
        name: str,
        revision: str | None = None,
        frame_size: tuple[int, int] | None = None,
        micro_batch: int | None = None,
        batched_guidance: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if micro_batch is not None and micro_batch < 1:
            raise InvalidConfig(f"micro_batch must be at least 1, not {micro_batch}")
        self.components = components
        self.sampling = sampling
        self.name = name
        self.revision = components.revision or revision
        self.frame_size = frame_size
        # Batching gains at most a quarter on a CPU, and would cost exactness there.
        self.micro_batch = micro_batch or (1 if components.device.type == "cpu" else 4)
        self.batched_guidance = batched_guidance
        self._progress = progress

    def __deepcopy__(self, memo: dict[int, Any]) -> ChronoEdit:
        """Itself: an engine keeps nothing of its calls, and Gymnasium copies specs that hold it."""
        return self

    @property
    def identity(self) -> Mapping[str, Any]:
        """What made these predictions, in JSON values: all that shapes an answer but the prompt."""
        return {
            "name": self.name,
            "revision": self.revision,
            "weights": self.components.weights_hash,
            **self.components.variant,
            "sampling": asdict(self.sampling),
            "device": self.components.device.type,
            "dtype": str(self.components.dtype).removeprefix("torch."),
            "micro_batch": self.micro_batch,
            **({"batched_guidance": True} if self.batched_guidance else {}),
            "threads": torch.get_num_threads(),
            "versions": {name: version(name) for name in ("torch", "diffusers", "transformers")},
        }

    def predict(
        self,
        prompts: Sequence[EditPrompt],
        *,
        embeddings: Sequence[Embedding] | None = None,
        negative: Embedding | None = None,
        noise: Sequence[Noise] | None = None,
    ) -> list[Prediction]:
        """Answers each prompt.

        Args:
            prompts: Any number of prompts; frames, their sizes, texts and seeds may all differ.
            embeddings: One for each prompt, in place of its text: up to 512 tokens, as `embed`
                gives them or diffusers' `encode_prompt`.
            negative: One in place of the sampler's `negative_prompt`.
            noise: One for each prompt, in place of what its seed draws (diffusers' `latents`):
                float32 (channels, time, height / 8, width / 8); time as in `latents`.

        Returns:
            One prediction for each prompt, in order. A trajectory holds the frames in between if
            they were reasoned about and `decode_trajectory` is set; else the outcome alone.

        Raises:
            InvalidFrame: A frame's size is not one the model works at.
            InvalidPrompt: Words the model cannot read.
            InvalidConfig: An embedding or a noise of another shape.
            Cancelled: A callback ended it.
        """
        predictions: dict[int, Prediction] = {}
        with self.components.lock, torch.inference_mode():
            for rows, made in self._denoise(prompts, embeddings, negative, noise):
                trajectories = self._decode(made)
                predictions.update(zip(rows, map(Prediction, trajectories), strict=True))
        return [predictions[row] for row in range(len(prompts))]

    def warm_up(self, prompts: Sequence[EditPrompt]) -> None:
        """Goes through all that predicting such prompts goes through, in few denoising steps.

        So that a first prediction need not wait for compiling: with and without reasoning tokens,
        reading the words and having read them.

        Args:
            prompts: Of the sizes to come; two texts of different length cover all lengths.
        """
        reasoned, steps = self.sampling.reasoned_steps, self.sampling.denoising_steps
        dropped = 0 < reasoned < steps
        few = min(steps, 3 if dropped else 2)
        sampling = replace(
            self.sampling,
            denoising_steps=few,
            reasoning_steps=min(reasoned, few - 1 if dropped else few),
        )
        for prompt in prompts:
            self.resampled(sampling).predict([prompt])

    def resampled(self, sampling: Sampling) -> ChronoEdit:
        """Gives an engine of the same weights with other settings of the sampler."""
        return ChronoEdit(
            self.components,
            sampling,
            name=self.name,
            revision=self.revision,
            frame_size=self.frame_size,
            micro_batch=self.micro_batch,
            batched_guidance=self.batched_guidance,
            progress=self._progress,
        )

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """Embeds words, each text without padding, in the transformer's number format.

        Raises:
            InvalidPrompt: Words the model cannot read.
        """
        with self.components.lock, torch.inference_mode():
            return [self._embed(text).clone() for text in texts]

    def latents(
        self,
        prompts: Sequence[EditPrompt],
        *,
        embeddings: Sequence[Embedding] | None = None,
        negative: Embedding | None = None,
        noise: Sequence[Noise] | None = None,
    ) -> list[Latents]:
        """Gives each prompt's final latents, undecoded; it takes what `predict` takes.

        Returns:
            For each prompt float32 (channels, time, height / 8, width / 8): time is 2, or all
            latents if the reasoning tokens were never dropped. Normalised as the transformer sees
            them.

        Raises:
            InvalidFrame: A frame's size is not one the model works at.
            InvalidPrompt: Words the model cannot read.
            InvalidConfig: An embedding or a noise of another shape.
        """
        latents: dict[int, Latents] = {}
        with self.components.lock, torch.inference_mode():
            for rows, made in self._denoise(prompts, embeddings, negative, noise):
                latents.update(zip(rows, made.latents.cpu(), strict=True))
        return [latents[row] for row in range(len(prompts))]

    def decode(self, latents: Sequence[Latents]) -> list[Trajectory]:
        """Decodes final latents, as `latents` gives them: the outcome, and what lies before it.

        Returns:
            For each uint8 (time, height, width, 3): the outcome alone where there are two latent
            frames, or where `decode_trajectory` is not set.
        """
        with self.components.lock, torch.inference_mode():
            rows = [row.to(self.components.device)[None] for row in latents]
            return [self._decode(Denoised(row, row[:, :, 1:-1]))[0] for row in rows]

    def reconstruct(self, frame: Frame, trajectory: Trajectory) -> Trajectory:
        """Encodes what truly followed a frame and decodes it: the best that `predict` could answer.

        Args:
            frame: The observed one, uint8 (height, width, 3).
            trajectory: What followed: the outcome alone, or all frames of full reasoning, 4 for
                each reasoning token and the outcome.

        Returns:
            As many frames, through the autoencoder and back; the outcome alone where
            `decode_trajectory` is not set.

        Raises:
            InvalidFrame: Frames of a size, or a trajectory of a length, that the model does not
                work at.
        """
        self._check(frame)
        whole = 4 * (self.components.latents - 2) + 1
        if len(trajectory) not in (1, whole) or trajectory.shape[1:] != frame.shape:
            raise InvalidFrame(
                f"a trajectory to reconstruct must be 1 or {whole} frames of {frame.shape}, "
                f"not of shape {trajectory.shape}"
            )
        first, outcome = frame[None], np.repeat(trajectory[-1:], 4, axis=0)
        with self.components.lock, torch.inference_mode():
            ends = encode(self.components, np.concatenate([first, outcome]))
            way = encode(self.components, np.concatenate([first, trajectory[:-1]]))
            return self._decode(Denoised(ends, way[:, :, 1:]))[0]

    def _denoise(
        self,
        prompts: Sequence[EditPrompt],
        embeddings: Sequence[Embedding] | None,
        negative: Embedding | None,
        noise: Sequence[Noise] | None,
    ) -> Iterator[tuple[list[int], Denoised]]:
        """Denoises in batches of equal frame size; yields the rows of each."""
        for prompt in prompts:
            self._check(prompt.frame)
        # All words are read before anything is computed, so that a bad one costs nothing.
        told = self._rows(prompts, embeddings, noise)
        blank = None
        if self.sampling.guided:
            [blank] = self._texts(
                [self.sampling.negative_prompt], None if negative is None else [negative]
            )
        batches = list(self._batches(prompts))
        done, total = 0, len(batches) * self.sampling.denoising_steps

        def progress() -> None:
            nonlocal done
            done += 1
            if self._progress is not None:
                self._progress(done, total)
            denoised(done, total)

        for rows in batches:
            yield rows, self._denoise_batch([told[row] for row in rows], blank, progress)

    def _rows(
        self,
        prompts: Sequence[EditPrompt],
        embeddings: Sequence[Embedding] | None,
        noise: Sequence[Noise] | None,
    ) -> list[_Row]:
        texts = self._texts([prompt.text for prompt in prompts], embeddings)
        _refuse_nan("noise", noise or ())
        drawn = []
        for row, prompt in enumerate(prompts):
            shape = self._noise_shape(prompt.frame)
            drawn.append(_draw(shape, prompt.seed) if noise is None else noise[row])
            if tuple(drawn[-1].shape) != shape:
                raise InvalidConfig(
                    f"the noise of prompt {row} must be of shape {shape}, not "
                    f"{tuple(drawn[-1].shape)}"
                )
        frames = [prompt.frame for prompt in prompts]
        return [_Row(*row) for row in zip(frames, texts, drawn, strict=True)]

    def _texts(
        self, texts: Sequence[str], embeddings: Sequence[Embedding] | None
    ) -> list[Embedding]:
        """What the texts mean, or what was given in their place."""
        if embeddings is None:
            return [self._embed(text) for text in texts]
        parts = self.components
        _refuse_nan("embedding", embeddings)
        for embedding in embeddings:
            width = int(parts.transformer.config.text_dim)
            if embedding.shape[1:] != (width,) or not 1 <= len(embedding) <= TEXT_TOKENS:
                raise InvalidConfig(
                    f"an embedding must be of 1 to {TEXT_TOKENS} tokens of {width} numbers, not of "
                    f"shape {tuple(embedding.shape)}"
                )
        if len(embeddings) != len(texts):
            raise InvalidConfig(f"{len(texts)} prompts need as many embeddings: {len(embeddings)}")
        return [embedding.to(parts.device, parts.dtype) for embedding in embeddings]

    def _embed(self, text: str) -> Embedding:
        return encode_text(self.components, text, truncate=self.sampling.truncate_text)

    def _noise_shape(self, frame: Frame) -> tuple[int, int, int, int]:
        parts = self.components
        height, width = frame.shape[:2]
        side = int(parts.vae.config.scale_factor_spatial)
        time = parts.latents if self.sampling.reasoned_steps else 2
        return int(parts.vae.config.z_dim), time, height // side, width // side

    def _batches(self, prompts: Sequence[EditPrompt]) -> Iterator[list[int]]:
        sizes: dict[tuple[int, ...], list[int]] = {}
        for row, prompt in enumerate(prompts):
            sizes.setdefault(prompt.frame.shape, []).append(row)
        for rows in sizes.values():
            for first in range(0, len(rows), self.micro_batch):
                yield rows[first : first + self.micro_batch]

    def _denoise_batch(
        self, rows: Sequence[_Row], blank: Embedding | None, progress: Callable[[], None]
    ) -> Denoised:
        parts, sampling = self.components, self.sampling
        noise = torch.stack([row.noise.float() for row in rows])
        time = noise.shape[2]
        condition = torch.stack([encode_condition(parts, row.frame, time) for row in rows])
        velocity = Velocity(
            parts.transformer,
            [row.text for row in rows],
            torch.stack([encode_frame(parts, row.frame) for row in rows]),
            blank,
            float(sampling.guidance),
            together=self.batched_guidance,
        )
        scheduler = build_scheduler(parts.scheduler.config, sampling)
        noise, flow = noise.to(parts.device), self._checked(velocity)
        made = denoise(flow, scheduler, noise, condition, sampling, progress)
        demand_finite(made.latents, "sampler", None)
        return made

    def _checked(self, velocity: Flow) -> Flow:
        """The velocity, with NaN refused in the denoising step that it comes of."""
        steps, transformer = self.sampling.denoising_steps, self.components.transformer
        counted = count(1)

        def flow(latents: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
            flow, when = velocity(latents, condition, timestep), f"{next(counted)} of {steps}"
            demand_finite(flow, "transformer", transformer, f" at denoising step {when}")
            return flow

        return flow

    def _decode(self, denoised: Denoised) -> list[Trajectory]:
        """Decodes what was asked for; the outcome alike whether or not the rest is decoded."""
        ends = denoised.ends
        # A latent holds the outcome four times; the last is the result (arXiv 2510.04290).
        outcomes = [frames[-1:].copy() for frames in decode(self.components, ends)]
        if not self.sampling.decode_trajectory or denoised.between.shape[2] == 0:
            return outcomes
        # The first frame is the observed one again, kept only as the others' causal context.
        between = decode(self.components, torch.cat([ends[:, :, :1], denoised.between], dim=2))
        return [
            np.concatenate([frames[1:], outcome])
            for frames, outcome in zip(between, outcomes, strict=True)
        ]

    def _check(self, frame: Frame) -> None:
        height, width = frame.shape[:2]
        if self.frame_size is not None and (height, width) != self.frame_size:
            raise InvalidFrame(
                f"{self.name} works at {self.frame_size[0]} x {self.frame_size[1]} "
                f"(height x width), not {height} x {width}; "
                f"{larger_models()}"
            )
        grid = self.components.grid
        if height % grid or width % grid:
            nearest = [max(1, round(side / grid)) * grid for side in (height, width)]
            raise InvalidFrame(
                f"a frame's height and width must be multiples of {grid}, not {height} x {width}; "
                f"the nearest that fits is {nearest[0]} x {nearest[1]}"
            )
        check_shares(self.components.transformer, (height // grid) * (width // grid))


def _refuse_nan(what: str, given: Sequence[Tensor]) -> None:
    for row, values in enumerate(given):
        if not values.isfinite().all():
            raise InvalidConfig(f"the {what} given for prompt {row} holds NaN or infinity")


def _draw(shape: tuple[int, ...], seed: int) -> Noise:
    """Draws a row's noise, on the CPU so that it is the same on every device."""
    return torch.randn((1, *shape), generator=torch.Generator().manual_seed(seed))[0]
