"""Where a model runs, and by what its weights are told: a device, a number format, a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chronosim.errors import InvalidConfig

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def find_device(name: str | None) -> torch.device:
    """Gives a device by its name; None: a GPU if there is one.

    Raises:
        InvalidConfig: There is no such device.
    """
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


def find_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """Gives a number format by its name; None: float32 on a CPU, bfloat16 elsewhere.

    Raises:
        InvalidConfig: Another name than float32, bfloat16 and float16.
    """
    kind = name or ("float32" if device.type == "cpu" else "bfloat16")
    if kind not in _DTYPES:
        raise InvalidConfig(f"dtype must be {', '.join(_DTYPES)}, not {name!r}")
    return _DTYPES[kind]


def hash_weights(folder: Path | None, modules: Mapping[str, Any]) -> str:
    """Gives the SHA-256 over a model's weights: seconds per gigabyte, so ask once.

    Args:
        folder: Where the weights were read from; None: they were made in memory.
        modules: The networks by name, whose tensors are taken where there is no folder.
    """
    digest = hashlib.sha256()
    parts = _tensors(modules) if folder is None else _files(folder)
    for name, value in parts:
        digest.update(f"{name} {value}\n".encode())
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Gives the SHA-256 of a file."""
    # The hub's cache names a large file by its SHA-256 and links to it: reading it is saved.
    target = path.resolve().name
    if path.is_symlink() and len(target) == 64 and set(target) <= set("0123456789abcdef"):
        return target
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.safetensors")):
        yield path.relative_to(folder).as_posix(), hash_file(path)


def _tensors(modules: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part, module in sorted(modules.items()):
        for name, tensor in sorted(module.state_dict().items()):
            yield f"{part}/{name}", _hash_tensor(tensor)


def _hash_tensor(tensor: Tensor) -> str:
    values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(values.numpy().tobytes()).hexdigest()
