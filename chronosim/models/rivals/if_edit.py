"""IF-Edit: an image-to-video model films what happens, and the last frame is the edit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from chronosim.errors import InvalidFrame, InvalidPrompt
from chronosim.metrics.sharpness import sharpness
from chronosim.models.attention import TEXT_TOKENS
from chronosim.models.denoising import build_scheduler
from chronosim.models.encoding import clean_text
from chronosim.models.rivals.dropout import kept_latents, latent_dropout
from chronosim.models.rivals.pipelines import Origin, pipeline_identity
from chronosim.models.rivals.settings import IfEditSettings
from chronosim.models.rivals.sharpness import sharpest
from chronosim.types import EditPrompt, Frame, Prediction, Trajectory

__all__ = ["STILL", "IfEdit"]

STILL = (
    "A perfectly still, sharp film of exactly this frame. Nothing moves or changes, the camera is "
    "fixed, and every contour, texture and detail is crisp and in focus."
)
"""What the refining film is told; the words are chronosim's own."""

_LATENT = 4  # frames of a latent, beyond the first


class IfEdit:
    """A world model over diffusers' `WanImageToVideoPipeline` (Wan2.2 A14B, Wan2.1, TI2V-5B).

    The pipeline films the edit, its latents thinned out once little noise is left. Of the last
    latent's four frames the sharpest is filmed again, standing still, and the sharpest frame of
    that film is the outcome. Told by a writer what happens over time (`Enhanced`, form "time"),
    this is the whole of IF-Edit; each part can be left out.

    Rows run one at a time: the pipeline takes one frame, and so a row alone equals one in a call.

    Args:
        pipeline: diffusers' pipeline, on its device. Its scheduler is replaced at every film.
        settings: How it films.
        name: What the model is called in the log.
        origin: Where the weights came from.
        loras: What was fused into them, for the log.
        progress: Called after each denoising step with the steps done and all of the call's.

    Source: arXiv 2511.19435. Nobody has published its code; what notes on the paper leave open
        (`still_frames`, the wordings) is ours, and said where it stands.
    """

    def __init__(
        self,
        pipeline: Any,
        settings: IfEditSettings | None = None,
        *,
        name: str = "if-edit",
        origin: Origin | None = None,
        loras: Sequence[Mapping[str, Any]] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.settings = settings or IfEditSettings()
        self.name = name
        self._origin = origin or Origin()
        self._loras = [dict(lora) for lora in loras]
        self._progress = progress
        self._lock = threading.Lock()
        pipeline.set_progress_bar_config(disable=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> IfEdit:
        """Itself: it keeps nothing of its calls, and Gymnasium copies specs that hold it."""
        return self

    @property
    def identity(self) -> Mapping[str, Any]:
        """What made these predictions, in JSON values."""
        return {
            **pipeline_identity(self.pipeline, self.name, self._origin),
            "loras": self._loras,
            "settings": asdict(self.settings),
        }

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Films each edit.

        Returns:
            One prediction for each prompt, in order. The trajectory is the film without its first
            frame, as thinned out; where the outcome is refined, it stands for the last latent's
            four frames. `metrics` then hold its sharpness and that of the frame it was made of.

        Raises:
            InvalidFrame: A height or width that is not on the model's grid.
            InvalidPrompt: A text of more than 512 tokens.
        """
        for prompt in prompts:
            self._check(prompt)
        films = 2 if self.settings.refine else 1
        total, done = self.settings.denoising_steps * films * len(prompts), 0

        def count(*_: Any) -> dict[str, Any]:
            nonlocal done
            done += 1
            if self._progress is not None:
                self._progress(done, total)
            return {}

        with self._lock, torch.inference_mode():
            return [self._answer(prompt, count) for prompt in prompts]

    def _answer(self, prompt: EditPrompt, count: Callable[..., Any]) -> Prediction:
        settings, generator = self.settings, torch.Generator().manual_seed(prompt.seed)
        film = self._film(prompt.frame, prompt.text, settings.frames, generator, count)
        if not settings.refine:
            return Prediction(film[1:].copy())
        clear = sharpest(film[-_LATENT:])
        still = self._film(clear, STILL, settings.still_frames, generator, count, drop=False)
        outcome = sharpest(still)
        return Prediction(
            np.concatenate([film[1:-_LATENT], outcome[None]]),
            metrics={"sharpness": sharpness(outcome), "sharpness_unrefined": sharpness(clear)},
        )

    def _film(
        self,
        frame: Frame,
        text: str,
        frames: int,
        generator: torch.Generator,
        count: Callable[..., Any],
        *,
        drop: bool = True,
    ) -> Trajectory:
        """Films a text from a frame on: that frame as the model paints it, then what happens."""
        pipeline, settings = self.pipeline, self.settings
        pipeline.scheduler = build_scheduler(pipeline.scheduler.config, settings.sampling)
        latents = (frames - 1) // _LATENT + 1
        below = settings.drop_below * pipeline.scheduler.config.num_train_timesteps
        every = settings.keep_every if drop and settings.drop_below > 0 else 1
        kept = kept_latents(latents, every)
        experts = [pipeline.transformer, pipeline.transformer_2]
        dropping = latent_dropout(filter(None, experts), latents, kept, below)
        with dropping if len(kept) < latents else nullcontext():
            filmed = pipeline(
                image=Image.fromarray(np.ascontiguousarray(frame)),
                prompt=text,
                negative_prompt=settings.negative,
                height=frame.shape[0],
                width=frame.shape[1],
                num_frames=frames,
                num_inference_steps=settings.denoising_steps,
                guidance_scale=float(settings.guidance),
                generator=generator,
                output_type="latent",
                callback_on_step_end=count,
            ).frames
        if float(pipeline.scheduler.timesteps[-1]) < below:  # else the noise never was so low
            filmed = filmed[:, :, kept]
        return _decode(pipeline.vae, filmed)

    def _check(self, prompt: EditPrompt) -> None:
        pipeline = self.pipeline
        height, width = prompt.frame.shape[:2]
        patch = (pipeline.transformer or pipeline.transformer_2).config.patch_size
        grid = int(pipeline.vae.config.scale_factor_spatial) * int(patch[1])
        if height % grid or width % grid:
            nearest = [max(1, round(side / grid)) * grid for side in (height, width)]
            raise InvalidFrame(
                f"a frame's height and width must be multiples of {grid}, not {height} x {width}; "
                f"the nearest that fits is {nearest[0]} x {nearest[1]}"
            )
        tokens = len(pipeline.tokenizer(clean_text(prompt.text)).input_ids)
        if tokens > TEXT_TOKENS:
            raise InvalidPrompt(
                f"a text may have {TEXT_TOKENS} tokens, but this one has {tokens}: "
                f"{prompt.text[:60]!r} ..."
            )


def _decode(vae: Any, latents: Float[Tensor, "1 channels latents rows columns"]) -> Trajectory:
    """Decodes latents as if they followed one another: 1 frame for the first, 4 for each other."""
    config = vae.config
    mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1).to(latents)
    scale = 1.0 / torch.tensor(config.latents_std).view(1, -1, 1, 1, 1).to(latents)
    # Left where the pipeline put them: an offloaded autoencoder only comes there when it is called.
    film = vae.decode((latents / scale + mean).to(vae.dtype), return_dict=False)[0]
    frames = ((film[0].float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    trajectory: Trajectory = frames.permute(1, 2, 3, 0).contiguous().cpu().numpy()
    return trajectory
