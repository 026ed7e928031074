"""Finds a model's weights, on disk or on the model hub, and shares them within the process."""

from __future__ import annotations

import threading
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from huggingface_hub import snapshot_download

from chronosim.errors import InvalidConfig, ModelNotFound
from chronosim.models.components import Components, list_files
from chronosim.models.parts import read_components

__all__ = ["load_components"]

_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt"]  # no pickles, no second set of weights
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_shared: WeakValueDictionary[tuple[object, ...], Components] = WeakValueDictionary()
_lock = threading.Lock()


def load_components(
    location: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
) -> Components:
    """Loads a model, once in a process for as long as somebody holds it.

    Args:
        location: A local folder in diffusers' format, or an id of the model hub.
        device: Such as "cuda" or "cpu"; None: a GPU if there is one.
        dtype: "float32" or "bfloat16"; None: bfloat16 on a GPU, float32 on a CPU.
        revision: A commit, tag or branch of the hub; None: its main branch.

    Raises:
        ModelNotFound: The folder or a file of it is missing, or the hub does not give it.
        InvalidModel: The files are there but are no ChronoEdit that can work.
        InvalidConfig: An unknown device or dtype.
    """
    place = _device(device)
    kind = dtype or ("float32" if place.type == "cpu" else "bfloat16")
    if kind not in _DTYPES:
        raise InvalidConfig(f"dtype must be {' or '.join(_DTYPES)}, not {dtype!r}")
    folder, commit = _locate(location, revision)
    with _lock:
        key = (folder, list_files(folder), str(place), kind)
        components = _shared.get(key)
        if components is None:
            components = read_components(folder, device=place, dtype=_DTYPES[kind], revision=commit)
            _shared[key] = components
    return components


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidConfig(
            f"there is no device {name!r} here; take cpu, or cuda where there is a GPU "
            "and PyTorch was built for it"
        ) from error
    return device


def _locate(location: str | Path, revision: str | None) -> tuple[Path, str | None]:
    """Gives the model's folder, and the hub's commit that it is a snapshot of."""
    folder = Path(location).expanduser()
    if folder.exists():
        return folder.resolve(), None
    if isinstance(location, Path) or not _is_hub_id(location):
        raise ModelNotFound(f"there is no model folder {location}")
    try:
        snapshot = snapshot_download(location, revision=revision, allow_patterns=_PATTERNS)
    except Exception as error:  # the hub's client passes on whatever its HTTP library raises
        reason = str(error).strip().split("\n")[0]
        raise ModelNotFound(
            f"there is no folder {location}, and the model hub does not give {location}: {reason} "
            "(a local folder in diffusers' format can be named instead)"
        ) from error
    return Path(snapshot), Path(snapshot).name


def _is_hub_id(location: str) -> bool:
    return location.count("/") == 1 and location[0] not in "./~" and location[-1] != "/"
