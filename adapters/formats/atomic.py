"""A folder that appears whole or not at all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from chronosim.errors import ChronosimError, EpisodeExists, EpisodeWriteError, InvalidConfig


@contextmanager
def draft(output: str | Path, *, force: bool, keep: Path) -> Iterator[Path]:
    """Gives a hidden folder beside `output`, which takes its place when all went well.

    What was at `output` stays until then. Where something went wrong, nothing is left behind.

    Args:
        output: Where to; it must not exist, or be an empty folder.
        force: Whether what is there may be replaced.
        keep: What must survive, such as what is read from.

    Raises:
        EpisodeExists: There is something at `output`, and `force` is not set; or it came there
            while the draft was open.
        InvalidConfig: Replacing `output` would remove `keep`, or the folder that one works in.
        EpisodeWriteError: The disk refuses.
    """
    output = Path(output).absolute()
    _check_free(output, force)
    for kept in (keep, Path.cwd()):
        if output.exists() and kept.resolve().is_relative_to(output.resolve()):
            raise InvalidConfig(f"{output} cannot be replaced: {kept} lies in it")
    written = output.with_name(f".{output.name}.{uuid4().hex}")
    try:
        written.mkdir(parents=True)
        yield written
        _check_free(output, force)  # again: writing takes long, and others write too
        _put_in_place(written, output)
    except ChronosimError:
        raise
    except OSError as error:
        raise EpisodeWriteError(f"{output} could not be written: {error}") from error
    finally:
        _remove(written)


def _check_free(output: Path, force: bool) -> None:
    there = output.exists() and not (output.is_dir() and not any(output.iterdir()))
    if there and not force:
        raise EpisodeExists(
            f"there is something at {output} already, and nothing is overwritten: choose another "
            "folder, or --force"
        )


def _put_in_place(written: Path, output: Path) -> None:
    if not output.exists():
        written.rename(output)
        return
    old = output.with_name(f".{output.name}.{uuid4().hex}")
    output.rename(old)
    try:
        written.rename(output)
    except OSError:
        old.rename(output)
        raise
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old)
    else:
        old.unlink()


def _remove(folder: Path) -> None:
    """Removes a folder for good: zarr's threads may still end writes begun before an error."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.01)
