"""Models by name, with the settings that were validated for them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from chronosim.models.sampling import Sampling

__all__ = ["PRESETS", "Preset", "open_presets"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A model and how to sample it.

    Attributes:
        location: The model hub's id; or, if `shipped`, a folder of this package.
        sampling: Settings that were validated for it.
        frame_size: The only (height, width) it was trained at; None: any on its grid. Such a model
            knows only the words it was trained on, too.
        shipped: Whether the weights come with chronosim.
    """

    location: str
    sampling: Sampling
    frame_size: tuple[int, int] | None = None
    shipped: bool = False


PRESETS = MappingProxyType(
    {
        # Ours, trained by `chronosim train`; as many steps as its figures in the model card.
        "nano": Preset(
            "nano",
            Sampling(denoising_steps=4, guidance=1.0, flow_shift=3.0, reasoning_steps="all"),
            frame_size=(96, 96),
            shipped=True,
        ),
        # NVIDIA's defaults for the base model: nv-tlabs/ChronoEdit, run_inference_diffusers.py.
        "chronoedit-14b": Preset(
            "nvidia/ChronoEdit-14B-Diffusers",
            Sampling(denoising_steps=50, guidance=5.0, flow_shift=5.0, reasoning_steps=0),
        ),
        # "ChronoEdit-14B-Think" of the paper (arXiv 2510.04290): ten of fifty steps reason, which
        # scored as well on PBench-Edit as all fifty did.
        "chronoedit-14b-think": Preset(
            "nvidia/ChronoEdit-14B-Diffusers",
            Sampling(denoising_steps=50, guidance=5.0, flow_shift=5.0, reasoning_steps=10),
        ),
    }
)
"""The models known by name."""


def open_presets() -> list[str]:
    """Names the presets that take free text and any frame size on their grid."""
    return [name for name, preset in PRESETS.items() if preset.frame_size is None]
