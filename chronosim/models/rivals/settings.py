"""How IF-Edit makes a film out of an edit."""

from __future__ import annotations

from dataclasses import dataclass

from chronosim.errors import InvalidConfig
from chronosim.models.sampling import Sampling

__all__ = ["IfEditSettings"]


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
    drop_below: float | int = 0.9
    keep_every: int = 3
    refine: bool = True
    still_frames: int = 5
    negative: str | None = None

    def __post_init__(self) -> None:
        for name in ("frames", "still_frames"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 5 or value % 4 != 1:
                raise InvalidConfig(f"{name} must be 5, 9, 13 ..., not {value!r}")
        if not 0 <= self.drop_below <= 1:
            raise InvalidConfig(f"drop_below must lie between 0 and 1, not {self.drop_below!r}")
        if not isinstance(self.keep_every, int) or self.keep_every < 1:
            raise InvalidConfig(f"keep_every must be at least 1, not {self.keep_every!r}")
        if not isinstance(self.refine, bool):
            raise InvalidConfig(f"refine must be true or false, not {self.refine!r}")
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
