"""Models by name, with the settings that were validated for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

from chronosim.errors import InvalidConfig
from chronosim.models.engine.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA file and how strongly it is added.

    Attributes:
        location: A local .safetensors file, or one of the model hub: owner/name/path/in/it.
        weight: What its change of the weights is multiplied with.

    Raises:
        InvalidConfig: The weight is no finite number.
    """

    location: str
    weight: float | int = 1.0

    def __post_init__(self) -> None:
        number = isinstance(self.weight, int | float) and not isinstance(self.weight, bool)
        if not number or not math.isfinite(self.weight):
            raise InvalidConfig(f"a LoRA's weight must be a finite number, not {self.weight!r}")


@dataclass(frozen=True, slots=True)
class Preset:
    """A model and how to sample it.

    Attributes:
        location: The model hub's id; or, if `shipped`, a folder of this package.
        sampling: Settings that were validated for it.
        loras: Added to its weights, in this order.
        frame_size: The only (height, width) it was trained at; None: any on its grid. Such a model
            knows only the words it was trained on, too.
        distilled: Whether guidance is built into the weights, so that none may be asked for.
        shipped: Whether the weights come with chronosim.
        unpublished: Why there is nothing to load, with what to take instead; None: there is.
    """

    location: str
    sampling: Sampling
    loras: tuple[Lora, ...] = ()
    frame_size: tuple[int, int] | None = None
    distilled: bool = False
    shipped: bool = False
    unpublished: str | None = None


_BASE = "nvidia/ChronoEdit-14B-Diffusers"
# The file lies in the base model's own repository.
_DISTILL = Lora(f"{_BASE}/lora/chronoedit_distill_lora.safetensors")
_UPSCALE = Lora(f"{_BASE}-Upscaler-Lora/upsample_lora_diffusers.safetensors")
_SKETCH = Lora(f"{_BASE}-Paint-Brush-Lora/paintbrush_lora_diffusers.safetensors")
# Defaults of nv-tlabs/ChronoEdit, scripts/run_inference_diffusers.py.
_FIFTY = Sampling(denoising_steps=50, guidance=5.0, flow_shift=5.0, reasoning_steps=0)
# "Inference with 8-Step Distillation LoRA" in nv-tlabs/ChronoEdit's README, which runs it without
# reasoning. Its first step ends at a noise level of 0.933, the tenth of the fifty at 0.952: by that
# reasoning_steps=1 is the counterpart of "think", but users report poor frames in between
# (nv-tlabs/ChronoEdit#9) and nobody published a figure.
_EIGHT = Sampling(denoising_steps=8, guidance=1.0, flow_shift=2.0, reasoning_steps=0)

PRESETS = MappingProxyType(
    {
        # Ours, trained by `chronosim train`; as many steps as its figures in the model card.
        "nano": Preset(
            "nano",
            Sampling(denoising_steps=4, guidance=1.0, flow_shift=3.0, reasoning_steps="all"),
            frame_size=(96, 96),
            shipped=True,
        ),
        "chronoedit-14b": Preset(_BASE, _FIFTY),
        # "ChronoEdit-14B-Think" of the paper (arXiv 2510.04290): ten of fifty steps reason, which
        # scored as well on PBench-Edit as all fifty did.
        "chronoedit-14b-think": Preset(
            _BASE,
            Sampling(denoising_steps=50, guidance=5.0, flow_shift=5.0, reasoning_steps=10),
        ),
        "chronoedit-14b-turbo": Preset(_BASE, _EIGHT, loras=(_DISTILL,), distilled=True),
        # README section (4): base settings, an explicit size (the example has 1056 x 1584, tested
        # up to 2k), and the trigger sentence of the prompter "upscaler".
        "upscaler": Preset(_BASE, _FIFTY, loras=(_UPSCALE,)),
        # README sections (4) and (5): better together with the distilled LoRA and its settings; the
        # trigger sentence is the prompter "paint-brush".
        "paint-brush": Preset(_BASE, _EIGHT, loras=(_DISTILL, _SKETCH), distilled=True),
        # Announced in the paper and in nv-tlabs/ChronoEdit#21 (17 November 2025). The paper's
        # timing of its turbo form has four steps; its sampler settings were never published.
        "chronoedit-2b": Preset(
            "",
            _FIFTY,
            unpublished="chronoedit-2b cannot be loaded: neither its weights nor its config were "
            "published; the cheapest that were are those of chronoedit-14b-turbo",
        ),
    }
)
"""The models known by name."""


def larger_models() -> str:
    """Says what leads on from a model of small worlds to any photo and free words."""
    return (
        f"photos and free words are for {', '.join(open_presets())} (explain=true gpu=NAME says "
        "what each takes on a rented GPU), for a served one (model=remote) or, with a download of "
        "3 GB and patience, for model=instruct-pix2pix on a CPU"
    )


def open_presets() -> list[str]:
    """Names the presets that take free text and any frame size on their grid."""
    return [
        name
        for name, preset in PRESETS.items()
        if preset.frame_size is None and preset.unpublished is None
    ]
