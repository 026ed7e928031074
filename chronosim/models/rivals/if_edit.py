"""IF-Edit: an image-to-video model films what happens, and the last frame is the edit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from chronosim.errors import InvalidConfig, InvalidFrame, InvalidPrompt
from chronosim.frames import sharpness
from chronosim.models.engine.acceleration import TEXT_TOKENS
from chronosim.models.engine.components import demand_finite
from chronosim.models.engine.denoising import build_scheduler
from chronosim.models.engine.encoding import clean_text
from chronosim.models.engine.sampling import Sampling
from chronosim.models.rivals.pipelines import Origin, pipeline_identity
from chronosim.progress import denoised
from chronosim.settings.typed import Count, Range, check_fields
from chronosim.types import EditPrompt, Frame, Prediction, Trajectory

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
            denoised(done, total)
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
        demand_finite(filmed, "transformer", nn.ModuleList(filter(None, experts)))
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
    demand_finite(film, "autoencoder", vae)
    frames = ((film[0].float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    trajectory: Trajectory = frames.permute(1, 2, 3, 0).contiguous().cpu().numpy()
    return trajectory


def kept_latents(latents: int, every: int) -> list[int]:
    """Names the latents that go on: each `every`-th from the first, and the last.

    Source: arXiv 2511.19435 (IF-Edit, K = 3): 0, K, 2K ..., and the last of F latents.
    """
    return sorted({*range(0, latents, every), latents - 1})


@contextmanager
def latent_dropout(
    transformers: Iterable[nn.Module], latents: int, kept: list[int], below: float
) -> Iterator[None]:
    """Lets transformers see only some latents, from a noise level on, for as long as it is entered.

    The pipeline around them need know nothing of it, whatever its scheduler: a transformer is given
    the kept latents alone, and what it says of them is put back among zeros. As no latent touches
    another outside of the transformers, that is the loop on the kept latents; the others come out
    as noise, and are for the caller to leave out. Kept latents move together in time: the
    transformer numbers what it is given from 0.

    Args:
        transformers: diffusers' `WanTransformer3DModel`s.
        latents: Latent frames that the pipeline works on.
        kept: Those that go on.
        below: A timestep; at smaller ones only `kept` are seen. Wan2.2's own rule for its low-noise
            expert, so that its boundary given here is exactly the switch of experts.
    """

    def cut(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if float(named["timestep"].max()) >= below:
            return None
        named["hidden_states"] = named["hidden_states"][:, :, kept]
        if named["timestep"].ndim == 2:  # one for each token, as Wan2.2-TI2V-5B has it
            tokens = named["timestep"].unflatten(1, (latents, -1))
            named["timestep"] = tokens[:, kept].flatten(1)
        return args, named

    def put_back(_: nn.Module, __: Any, named: dict[str, Any], output: tuple[Tensor]) -> Any:
        [flow] = output
        if named["hidden_states"].shape[2] == latents:
            return None
        whole = flow.new_zeros(*flow.shape[:2], latents, *flow.shape[3:])
        whole[:, :, torch.tensor(kept, device=flow.device)] = flow
        return (whole,)

    handles = []
    for transformer in transformers:
        handles.append(transformer.register_forward_pre_hook(cut, with_kwargs=True))
        handles.append(transformer.register_forward_hook(put_back, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, slots=True)
class IfEditSettings:
    """IF-Edit's settings; the defaults are the paper's where a source is named.

    Attributes:
        frames: Frames of the film, the observed one included: 5, 9, 13 ...; 33 makes 9 latents (the
            paper's 32, rounded as pipelines do).
        denoising_steps: Passes of the sampler, >= 1; 8 in the paper.
        guidance: Classifier-free guidance scale; up to 1 means none, as the Lightning LoRA wants.
        flow_shift: Shift of the noise schedule, > 0; 5 is what the Lightning LoRA was trained with.
        scheduler: "unipc" or "euler", as in `Sampling`.
        drop_below: Noise level, 0 to 1, below which latents are dropped: 0.9 in the paper, which is
            where Wan2.2 switches its experts. 0: never.
        keep_every: Of the latents each how-manieth goes on, >= 1; 3 in the paper. 1: all.
        refine: Whether the outcome is refined by a still film (self-consistent post-refinement).
        still_frames: Frames of that film: 5, 9, 13 ... No source says how short it is; 5 is ours.
        negative: What guidance steers away from; None: nothing in particular.

    Raises:
        InvalidConfig: A setting is out of its range.

    Source: arXiv 2511.19435 (IF-Edit); the sampler's from the model card of lightx2v's
        Wan2.2-Lightning.
    """

    frames: int = 33
    denoising_steps: int = 8
    guidance: float | int = 1.0
    flow_shift: float | int = 5.0
    scheduler: str = "unipc"
    drop_below: Annotated[float, Range(0, 1)] = 0.9
    keep_every: Count = 3
    refine: bool = True
    still_frames: int = 5
    negative: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("frames", "still_frames"):
            if (value := getattr(self, name)) < 5 or value % 4 != 1:
                raise InvalidConfig(f"{name} must be 5, 9, 13 ..., not {value!r}")
        _ = self.sampling  # which checks the sampler's own settings

    @property
    def sampling(self) -> Sampling:
        """The sampler's part of the settings."""
        return Sampling(
            denoising_steps=self.denoising_steps,
            guidance=self.guidance,
            flow_shift=self.flow_shift,
            scheduler=self.scheduler,
        )


def sharpest(frames: Trajectory) -> Frame:
    """Gives a copy of the sharpest frame; of equals the last, which is nearest to the outcome."""
    values = [sharpness(frame) for frame in frames]
    best = max(range(len(values)), key=lambda index: (values[index], index))
    return frames[best].copy()
