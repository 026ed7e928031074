"""Models by name, with the settings that were validated for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from chronosim.errors import InvalidConfig
from chronosim.models.sampling import Sampling

if TYPE_CHECKING:
    from chronosim.models.chronoedit import ChronoEdit

__all__ = ["PRESETS", "Preset", "load", "open_presets"]


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


def load(
    name: str | Path,
    *,
    preset: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    micro_batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Any,
) -> ChronoEdit:
    """Loads a world model by a preset's name, from a local folder, or from the model hub.

    Args:
        name: A key of `PRESETS`, a local folder in diffusers' format, or a hub id (owner/name).
        preset: Whose settings apply to a folder or hub id; None: those of chronoedit-14b.
        device: Such as "cuda" or "cpu"; None: a GPU if there is one.
        dtype: "float32" or "bfloat16"; None: bfloat16 on a GPU, float32 on a CPU.
        revision: A commit, tag or branch of the hub; None: its main branch.
        micro_batch: Rows computed at once; None: one on a CPU, four on a GPU.
        progress: Called with the denoising steps done and all of the call's.
        **sampling: Fields of `Sampling` to change.

    Raises:
        InvalidConfig: An unknown name, device, dtype or setting.
        ModelNotFound: The weights, or one of their files, are missing.
        InvalidModel: The files are there but are no ChronoEdit that can work.
    """
    # Imported here, not above: they pull in PyTorch, and a list of presets needs none.
    from chronosim.models.chronoedit import ChronoEdit
    from chronosim.models.loading import load_components

    chosen = _choose(name, preset)
    location: str | Path = name
    if name in PRESETS:
        location = _shipped(chosen) if chosen.shipped else chosen.location
    return ChronoEdit(
        load_components(location, device=device, dtype=dtype, revision=revision),
        _change(chosen.sampling, sampling),
        name=str(name),
        revision=revision,
        frame_size=chosen.frame_size,
        micro_batch=micro_batch,
        progress=progress,
    )


def _choose(model: str | Path, preset: str | None) -> Preset:
    """The preset whose settings apply."""
    if model in PRESETS:
        if preset not in (None, model):
            raise InvalidConfig(
                f"{str(model)!r} is a preset itself: name another one ({preset!r}) only with "
                "a folder or a hub id"
            )
        return PRESETS[str(model)]
    if "/" not in str(model) and not Path(model).exists():
        raise InvalidConfig(
            f"there is no model {str(model)!r}: give one of {', '.join(PRESETS)}, "
            "a local folder, or a hub id such as nvidia/ChronoEdit-14B-Diffusers"
        )
    name = preset or "chronoedit-14b"
    if name not in PRESETS:
        raise InvalidConfig(f"there is no preset {name!r}: give one of {', '.join(PRESETS)}")
    return PRESETS[name]


def _shipped(preset: Preset) -> Path:
    return Path(str(resources.files("chronosim.models"))) / preset.location


def _change(sampling: Sampling, changes: dict[str, Any]) -> Sampling:
    known = [field.name for field in fields(Sampling)]
    for name in changes:
        if name not in known:
            raise InvalidConfig(f"a sampler has no setting {name!r}; it has {', '.join(known)}")
    return replace(sampling, **changes)
