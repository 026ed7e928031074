"""Paths that a user names, files that others made, and files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chronosim.errors import EpisodeWriteError

# How libraries that write by themselves say that the system refused: safetensors, and torch.save.
_REFUSED = ("os error", "PytorchStreamWriter", "inline_container", "unexpected pos")


def user_path(given: str | Path) -> Path:
    """The path that a user means: `~` is the home; `~name` of nobody's is just a name."""
    return Path(os.path.expanduser(given))  # noqa: PTH111  pathlib's raises for nobody's


def read_file(path: Path, most: int = 2**24) -> bytes:
    """Reads a file that others may have made.

    Args:
        path: The file; a link is followed.
        most: Bytes that it may hold.

    Raises:
        OSError: It cannot be read, holds more, or is a pipe or a device, which may never end.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is no plain file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(f"it holds more than {most:,} bytes")
    return content


@contextmanager
def refusals_said(path: Path) -> Iterator[None]:
    """Turns what is raised inside because the system refuses to write into one sentence.

    Raises:
        EpisodeWriteError: It does.
    """
    try:
        yield
    except EpisodeWriteError:
        raise
    except Exception as error:
        if isinstance(error, OSError):
            why = error.strerror or str(error)
        elif any(word in str(error) for word in _REFUSED):
            why = "the disk refuses, as a full one does"
        else:
            raise
        raise EpisodeWriteError(f"{path} could not be written: {why}") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a draft to write to; it becomes the file when all went well, and else is removed.

    Args:
        path: The file; its folder must exist. A draft that a killed process left is replaced.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    name = os.fsdecode(os.fsencode(path.name)[:200])  # a name may be as long as names can be
    draft = path.with_name(f".{name}.new")
    try:
        with refusals_said(path):
            yield draft
            draft.replace(path)
    finally:
        with suppress(OSError):  # or it is the file already
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text as UTF-8, whole or not at all.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def reserve(path: Path) -> None:
    """Gives a file all the space that it says it has: a hole in a mapped file kills on a full disk.

    Raises:
        EpisodeWriteError: There is too little; the file is removed.
    """
    try:
        with path.open("r+b") as file:
            size = path.stat().st_size
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:  # not on macOS and Windows
                held = file.read(4096)
                for start in range(4096, size, 2**20):
                    file.seek(start)
                    file.write(bytes(min(2**20, size - start)))
                file.seek(0)
                file.write(held)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise EpisodeWriteError(
            f"{path} needs {size / 1e6:,.0f} MB, which the disk refuses: {error.strerror}"
        ) from error
