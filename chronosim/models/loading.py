"""Gives a world model by a preset's name, from a local folder, or from the model hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from chronosim.errors import InvalidConfig
from chronosim.models.chronoedit import ChronoEdit
from chronosim.models.presets import PRESETS, Preset
from chronosim.models.sampling import Sampling
from chronosim.models.weights import load_components

__all__ = ["load"]


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
