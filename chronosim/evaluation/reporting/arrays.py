"""Arrays kept in one file, so that a run broken off need not compute them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from chronosim.errors import InvalidConfig

__all__ = ["load_arrays", "save_arrays"]


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Keeps arrays by name; the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    with draft.open("wb") as file:
        np.savez_compressed(file, **arrays)
    draft.replace(path)


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Gives the arrays that were kept; None where there are none. Nothing is unpickled.

    Raises:
        InvalidConfig: The file cannot be read.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InvalidConfig(
            f"what was kept in {path} cannot be read ({error}): remove the file, and it is "
            "computed anew"
        ) from error
