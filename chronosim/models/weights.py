"""Loads a model's weights, and shares them within the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from chronosim.models.components import Components, list_files
from chronosim.models.parts import read_components
from chronosim.models.places import find_device, find_dtype
from chronosim.models.presets import Lora
from chronosim.models.settings import ModelSettings
from chronosim.models.sources import fetch_file, fetch_folder

__all__ = ["load_components"]

_shared: WeakValueDictionary[tuple[object, ...], Components] = WeakValueDictionary()
_lock = threading.Lock()
_PLAIN = ModelSettings()
_NO_WEIGHTS: Any = {
    "preset": None,
    "loras": None,
    "micro_batch": None,
    "revision": None,
    "batched_guidance": False,
}


def load_components(
    location: str | Path, settings: ModelSettings = _PLAIN, loras: Sequence[Lora] = ()
) -> Components:
    """Loads a model, once in a process for as long as somebody holds it.

    Args:
        location: A local folder in diffusers' format, or an id of the model hub.
        settings: How to load it; its preset and its LoRAs are not looked at.
        loras: Added to the transformer's weights.

    Raises:
        ModelNotFound: The folder or a file is missing, or the hub does not give it.
        InvalidModel: The files are there but are no ChronoEdit that can work.
        InvalidConfig: An unknown device or dtype.
    """
    device = find_device(settings.device)
    dtype = find_dtype(settings.dtype, device)
    folder, commit = fetch_folder(location, settings)
    source = settings.transformer
    checkpoint = None if source is None else fetch_file(source, settings, folder)
    added = [(fetch_file(lora.location, settings, folder), float(lora.weight)) for lora in loras]
    with _lock:
        key = (
            list_files(folder),
            folder,
            *(_state(path) for path in (checkpoint, *(path for path, _ in added)) if path),
            tuple(added),
            str(device),
            dtype,
            # What does not change the weights, or was looked at above, is left out.
            repr(replace(settings, **_NO_WEIGHTS)),
        )
        components = _shared.get(key)
        if components is None:
            components = read_components(
                folder,
                device=device,
                dtype=dtype,
                revision=commit,
                checkpoint=checkpoint,
                loras=added,
                settings=settings,
            )
            _shared[key] = components
    return components


def _state(path: Path) -> tuple[str, int, int]:
    state = path.stat()
    return str(path), state.st_mtime_ns, state.st_size
