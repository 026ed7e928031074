"""Checkpoints of full training, made files that a transformer is loaded from."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from chronosim.errors import EpisodeWriteError, InvalidModel, ModelNotFound

_FIRST = ("blocks.0.self_attn.q.weight", "blocks.0.attn1.to_q.weight")  # Wan's and diffusers' names
_SETTINGS = "torch.distributed.checkpoint.metadata"
_MAY = {  # besides the classes of _SETTINGS and PyTorch's dtypes: what a .metadata is made of
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("collections", "OrderedDict"),
}


def convert_checkpoint(
    source: str | Path, target: str | Path, *, prefix: str | None = None
) -> Path:
    """Makes a .safetensors of what full training left, for `load(..., transformer=target)`.

    Weights keep their names, Wan's or diffusers', and their number format; an optimiser's state and
    whatever else lies outside the prefix is left out. All weights are held in memory once.

    Args:
        source: A folder of torch.distributed.checkpoint (DCP: .metadata and *.distcp), as
            nv-tlabs/ChronoEdit's training leaves; or a .pth or .pt of tensors.
        target: The file to write, a .safetensors.
        prefix: What stands before the transformer's names, such as "net."; None: found.

    Returns:
        The target.

    Raises:
        ModelNotFound: There is nothing at the source.
        InvalidModel: It holds no transformer under one prefix, or would run code when it is opened.
        EpisodeWriteError: The disk refuses.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    if target.suffix != ".safetensors":
        raise InvalidModel(f"a checkpoint is converted to a .safetensors, not to {target.name}")
    if not source.exists():
        raise ModelNotFound(f"there is no checkpoint at {source}")
    weights = _read_dcp(source, prefix) if source.is_dir() else _read_file(source, prefix)
    try:
        save_file({name: value.contiguous() for name, value in weights.items()}, target)
    except OSError as error:
        raise EpisodeWriteError(f"{target} could not be written: {error}") from error
    return target


def _read_dcp(folder: Path, prefix: str | None) -> dict[str, Tensor]:
    path = folder / ".metadata"
    if not path.is_file():
        raise ModelNotFound(f"{folder} is no folder of torch.distributed.checkpoint: no .metadata")
    try:
        with path.open("rb") as file:
            described = _Described(file).load().state_dict_metadata
        tensors = {k: v for k, v in described.items() if isinstance(v, TensorStorageMetadata)}
        before = _prefix(tensors, prefix, folder)
        weights = {
            key: torch.empty(tensor.size, dtype=tensor.properties.dtype)
            for key, tensor in tensors.items()
            if key.startswith(before)
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
            load(weights, checkpoint_id=folder, no_dist=True)
    except InvalidModel:
        raise
    except Exception as error:  # pickle's own, PyTorch's, or of a file that breaks off
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise InvalidModel(f"{folder} cannot be read as a checkpoint: {reason}") from error
    return {key.removeprefix(before): value for key, value in weights.items()}


class _Described(pickle.Unpickler):
    """Reads a .metadata, and nothing that is not a part of one: a pickle can name any function."""

    def find_class(self, module: str, name: str) -> Any:
        """Gives a class that a .metadata may hold.

        Raises:
            InvalidModel: Anything else.
        """
        found = None if "." in name else super().find_class(module, name)
        ours = module == _SETTINGS and isinstance(found, type) and found.__module__ == _SETTINGS
        if ours or (module, name) in _MAY or (module == "torch" and isinstance(found, torch.dtype)):
            return found
        raise InvalidModel(
            f"a .metadata of torch.distributed.checkpoint names {module}.{name}, which is no part "
            "of one and could run code: it is not opened"
        )


def _read_file(path: Path, prefix: str | None) -> dict[str, Tensor]:
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's own, PyTorch's, or of a file that breaks off
        reason = " ".join(str(error).split())[:200]
        raise InvalidModel(f"{path} cannot be read by weights alone: {reason}") from error
    tensors = dict(_tensors(held, ""))
    before = _prefix(tensors, prefix, path)
    return {k.removeprefix(before): v for k, v in tensors.items() if k.startswith(before)}


def _tensors(held: Any, before: str) -> Iterable[tuple[str, Tensor]]:
    """Every tensor in dictionaries within one another, by all their names."""
    for key, value in held.items() if isinstance(held, Mapping) else ():
        if isinstance(value, Tensor):
            yield f"{before}{key}", value
        else:
            yield from _tensors(value, f"{before}{key}.")


def _prefix(keys: Iterable[str], given: str | None, source: Path) -> str:
    """What stands before the names of the one transformer."""
    keys = list(keys)
    found = {key.removesuffix(first) for key in keys for first in _FIRST if _ends(key, first)}
    if given is not None:
        found &= {given}
    if len(found) == 1:
        return found.pop()
    if not found:
        raise InvalidModel(
            f"{source} holds no transformer{'' if given is None else f' under {given!r}'}: no "
            f"weight ends in {' or '.join(_FIRST)}"
        )
    raise InvalidModel(
        f"{source} holds {len(found)} transformers: give prefix= one of "
        f"{', '.join(map(repr, sorted(found)))}"
    )


def _ends(key: str, name: str) -> bool:
    return key == name or key.endswith(f".{name}")
