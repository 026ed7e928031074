"""Finds out what a model would load and need, from its name and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from chronosim.errors import InvalidConfig
from chronosim.models.architecture import CHRONOEDIT_14B, Architecture, read_architecture
from chronosim.models.places import find_device, find_dtype
from chronosim.models.plan import Plan
from chronosim.models.presets import PRESETS, Preset
from chronosim.models.sampling import Sampling
from chronosim.models.settings import ModelSettings
from chronosim.models.sources import find_file, find_folder

__all__ = ["plan_model"]


def plan_model(name: str | Path, **settings: Any) -> Plan:
    """Finds out what a model will load and need; nothing is loaded or downloaded.

    Args:
        name: A key of `PRESETS`, a local folder in diffusers' format, or a hub id (owner/name).
        **settings: Fields of `ModelSettings` and of `Sampling`.

    Raises:
        InvalidConfig: An unknown name, device, dtype or setting, or one that the preset excludes.
        ModelNotFound: A local folder or file that is not there.
        InvalidModel: The configs, or a weight file's header, are not ChronoEdit's.
    """
    given, changes = _split(settings)
    chosen = _choose(name, given.preset)
    sampling = _change(str(name), chosen, changes)
    location: str | Path = name
    if name in PRESETS:
        location = _shipped(chosen) if chosen.shipped else chosen.location
    device = find_device(given.device)
    dtype = find_dtype(given.dtype, device)
    _check_device(given, device)
    if given.slicing is None:  # a small model's frames are decoded together, as they are fast
        given = replace(given, slicing=chosen.frame_size is None)
    folder = find_folder(location, given)
    source = given.transformer
    checkpoint = None if source is None else find_file(source, given, folder)
    loras = given.read_loras()
    return Plan(
        name=str(name),
        preset=chosen,
        location=location,
        sampling=sampling,
        settings=given,
        loras=chosen.loras if loras is None else loras,
        device=device,
        dtype=dtype,
        folder=folder,
        checkpoint=checkpoint,
        model=_architecture(location, folder, checkpoint),
    )


def _split(settings: Mapping[str, Any]) -> tuple[ModelSettings, dict[str, Any]]:
    loading = [field.name for field in fields(ModelSettings)]
    sampling = [field.name for field in fields(Sampling)]
    for name in settings:
        if name not in (*loading, *sampling):
            known = ", ".join((*sampling, *loading))
            raise InvalidConfig(f"a model has no setting {name!r}; it has {known}")
    ours = {name: value for name, value in settings.items() if name in loading}
    changes = {n: v for n, v in settings.items() if n in sampling and v is not None}
    return ModelSettings(**ours), changes


def _choose(model: str | Path, preset: str | None) -> Preset:
    """The preset whose settings apply."""
    if model in PRESETS:
        if preset not in (None, model):
            raise InvalidConfig(
                f"{str(model)!r} is a preset itself: name another one ({preset!r}) only with "
                "a folder or a hub id"
            )
        preset = str(model)
    elif "/" not in str(model) and not Path(model).exists():
        raise InvalidConfig(
            f"there is no model {str(model)!r}: give one of {', '.join(PRESETS)}, "
            "a local folder, or a hub id such as nvidia/ChronoEdit-14B-Diffusers"
        )
    chosen = PRESETS[preset or "chronoedit-14b"]
    if chosen.unpublished is not None:
        raise InvalidConfig(chosen.unpublished)
    return chosen


def _change(name: str, preset: Preset, changes: dict[str, Any]) -> Sampling:
    sampling = replace(preset.sampling, **changes)
    if preset.distilled and sampling.guided:
        raise InvalidConfig(
            f"{name} has its guidance built in: it must stay at {preset.sampling.guidance:g}, "
            f"not {sampling.guidance:g} (chronoedit-14b takes one)"
        )
    return sampling


def _check_device(settings: ModelSettings, device: torch.device) -> None:
    if device.type == "cpu" and settings.offload is not None:
        raise InvalidConfig(
            f"offload={settings.offload} keeps weights off a GPU, but this model computes on the "
            "cpu: drop it, or take device=cuda"
        )


def _shipped(preset: Preset) -> Path:
    return Path(str(resources.files("chronosim.models"))) / preset.location


def _architecture(
    location: str | Path, folder: Path | None, checkpoint: Path | None
) -> Architecture | None:
    if folder is not None:
        return read_architecture(folder, checkpoint)
    published = {preset.location for preset in PRESETS.values() if not preset.shipped}
    return CHRONOEDIT_14B if location in published else None
