"""Edits to be judged: what was seen, what was asked for, what came of it."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.frames import read_frame
from chronosim.types import Frame

__all__ = ["Edit", "find_edits"]

_KINDS = (".png", ".jpg", ".jpeg", ".webp")
_COLUMNS = ("before", "prompt", "after")


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit on disk.

    Attributes:
        name: What it is called.
        before: File of the frame that was seen.
        text: The edit in words.
        after: File of the frame that came of it.
    """

    name: str
    before: Path
    text: str
    after: Path

    def read(self) -> tuple[Frame, UInt8[np.ndarray, "rows columns 3"]]:
        """Reads both frames; their sizes may differ.

        Raises:
            InvalidFrame: One cannot be read.
        """
        return read_frame(self.before), read_frame(self.after)

    @property
    def fingerprint(self) -> str:
        """Of the words and of both files: what is changed has to be graded anew.

        Raises:
            InvalidFrame: A file cannot be read.
        """
        try:
            parts = [self.before.read_bytes(), self.text.encode(), self.after.read_bytes()]
        except OSError as error:
            raise InvalidFrame(f"the edit {self.name} cannot be read: {error}") from error
        digests = b"".join(hashlib.sha256(part).digest() for part in parts)
        return hashlib.sha256(digests).hexdigest()


def find_edits(path: str | Path) -> list[Edit]:
    """Finds the edits in a folder, or those that a CSV lists.

    Args:
        path: A folder with `NAME.before.png`, `NAME.txt` and `NAME.after.png` for each (or .jpg,
            .jpeg, .webp); or a CSV with the columns `before`, `prompt` and `after`, files relative
            to its own folder.

    Raises:
        InvalidConfig: There is none, or one is not whole.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        found = [_complete(place, name) for name in sorted(_names(place))]
    elif place.is_file() and place.suffix.lower() == ".csv":
        found = list(_rows(place))
    else:
        raise InvalidConfig(f"there is no folder and no CSV of edits at {place}")
    if not found:
        raise InvalidConfig(
            f"{place} holds no edits: each is a NAME.before.png, a NAME.txt and a NAME.after.png"
        )
    return found


def _names(folder: Path) -> set[str]:
    """The names of all that is there of an edit: any one of its files makes it one."""
    return {
        file.stem.rpartition(".")[0]
        for file in folder.iterdir()
        if file.suffix.lower() in _KINDS and file.stem.rpartition(".")[2] in ("before", "after")
    }


def _complete(folder: Path, name: str) -> Edit:
    words = folder / f"{name}.txt"
    if not words.is_file():
        raise InvalidConfig(f"the edit {name} has no words: {words} is missing")
    before, after = (_frame(folder, name, which) for which in ("before", "after"))
    return Edit(name, before, _text(words), after)


def _frame(folder: Path, name: str, which: str) -> Path:
    found = [
        file
        for file in sorted(folder.glob(f"{escape(name)}.{which}.*"))
        if file.suffix.lower() in _KINDS
    ]
    if len(found) != 1:
        raise InvalidConfig(
            f"the edit {name} needs one frame {name}.{which}.png (or {', '.join(_KINDS[1:])}) in "
            f"{folder}, not {len(found)}"
        )
    return found[0]


def _text(path: Path) -> str:
    text = _utf8(path).strip()
    if not text:
        raise InvalidConfig(f"{path} is empty: it holds an edit in words")
    return text


def _utf8(path: Path) -> str:
    """What a file says; a mark at its beginning, as Excel writes one, is none of it."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{path} is not text in UTF-8 ({error}): save it so") from error


def _rows(path: Path) -> Iterator[Edit]:
    reader = csv.DictReader(io.StringIO(_utf8(path), newline=""))
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidConfig(f"{path} has no column {missing[0]!r}; it needs: {', '.join(_COLUMNS)}")
    for number, row in enumerate(reader, 1):
        before, text, after = (str(row[name] or "").strip() for name in _COLUMNS)
        if not (before and text and after):
            raise InvalidConfig(f"row {number} of {path} is not whole: {before}, {text}, {after}")
        yield Edit(f"{number:04d}", path.parent / before, text, path.parent / after)
