"""A folder that appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from chronosim.errors import ChronosimError, EpisodeExists, EpisodeWriteError, InvalidConfig

MARK = ".chronosim"
"""File of an import or export that names what was written beside it, so that it may be replaced."""

_LONG = 200  # bytes of a name: hidden folders beside it have longer ones, and 255 is most


@dataclass(frozen=True, slots=True)
class Draft:
    """A folder that is being written.

    Attributes:
        folder: Where to write.
        found: Whether there was one already, of a process that was broken off.
    """

    folder: Path
    found: bool


@contextmanager
def draft(output: str | Path, *, force: bool, keep: Path, resume: bool = False) -> Iterator[Draft]:
    """Gives a hidden folder beside `output`, which takes its place when all went well.

    What was at `output` stays until then. Where something went wrong, nothing is left behind; what
    a killed process left is removed by the next one that writes there.

    Args:
        output: Where to; it must not exist, or be an empty folder. A symlink stays, and what it
            points to is written.
        force: Whether an import or export that is there may be replaced; nothing else is.
        keep: What must survive, such as what is read from.
        resume: Whether what is written stays for the next one, if this one is interrupted.

    Raises:
        EpisodeExists: There is something at `output`, and `force` is not set, or no import or
            export wrote it; or it came there while the draft was open; or another process is
            writing there.
        InvalidConfig: Replacing `output` would remove `keep`, or the folder that one works in.
        EpisodeWriteError: The disk refuses.
    """
    output = _target(output)
    try:
        for kept in (keep, Path.cwd()) if force else ():
            if output.exists() and kept.resolve().is_relative_to(output.resolve()):
                raise InvalidConfig(f"{output} cannot be replaced: {kept} lies in it")
        _check_free(output, force)
        with _alone(draft_of(output), output) as part:
            yield from _written(part, output, force=force, resume=resume)
    except ChronosimError:
        raise
    except OSError as error:
        raise EpisodeWriteError(f"{output} could not be written: {error}") from error


def draft_of(output: Path) -> Path:
    """Gives where an import or export is written until it is finished."""
    name = output.name
    if len(os.fsencode(name)) > _LONG:
        name = f"{name[:40]}.{sha256(os.fsencode(name)).hexdigest()[:16]}"
    return output.with_name(f".{name}.part")


def _target(output: str | Path) -> Path:
    """The folder itself, where a symlink points to it."""
    output = Path(output).absolute()
    try:
        return output.resolve() if output.is_symlink() else output
    except (OSError, RuntimeError) as error:
        raise InvalidConfig(f"there can be no folder {output}: {error}") from error


@contextmanager
def _alone(part: Path, output: Path) -> Iterator[Path]:
    """Keeps other processes out; the lock dies with this one, and its folder goes if empty."""
    parents = [folder for folder in part.parents if not folder.exists()]
    part.mkdir(parents=True, exist_ok=True)
    lock = FileLock(part / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise EpisodeExists(
            f"another process is writing to {output}: let it end, or choose another folder"
        ) from error
    try:
        yield part
    finally:
        if [entry.name for entry in part.glob("*")] in ([], [".lock"]):
            _remove(part)
        lock.release()
        for folder in parents:
            with suppress(OSError):  # it is needed
                folder.rmdir()


def _written(part: Path, output: Path, *, force: bool, resume: bool) -> Iterator[Draft]:
    folder, old = part / "data", part / "old"
    found = folder.exists()
    if old.exists() and not output.exists():
        old.rename(output)  # killed between the two renamings of a replacement
        _check_free(output, force)
    kept = False
    try:
        if found and not resume:
            _remove(folder)
        folder.mkdir(exist_ok=True)
        yield Draft(folder, found)
        _check_free(output, force)  # again: writing takes long, and others write too
        _mark(folder)
        _put_in_place(folder, output, old)
    except KeyboardInterrupt as stop:
        kept = resume and any(folder.iterdir())
        stop.add_note(
            f"what was finished is kept in {part}: the same command goes on with it"
            if kept
            else f"nothing was written to {output}"
        )
        raise
    finally:
        if not kept:
            _remove(folder)
        if output.exists():
            _remove(old)


def _check_free(output: Path, force: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not force:
        raise EpisodeExists(
            f"there is something at {output} already, and nothing is overwritten: choose another "
            "folder, or --force"
        )
    if strangers := _strangers(output):
        raise EpisodeExists(
            f"{output} holds {', '.join(strangers[:3])}{' ...' * (len(strangers) > 3)}, which no "
            "import or export of chronosim wrote, and --force replaces nothing else: remove it, or "
            "choose another folder"
        )


def _mark(folder: Path) -> None:
    """Names what is in a folder; a replay buffer names itself, and may hold no other file."""
    if not (folder / ".zattrs").is_file():
        names = sorted(entry.name for entry in folder.iterdir())
        (folder / MARK).write_text(json.dumps({"written": names}) + "\n", encoding="utf-8")


def _strangers(output: Path) -> list[str]:
    """What lies in a folder and was not written by an import or export."""
    if not output.is_dir():
        return ["a file"]
    named = _read(output / MARK).get("written")
    written = {MARK, *(map(str, named) if isinstance(named, list) else ())}
    if "chronosim" in _read(output / ".zattrs"):
        written |= {"data", "meta", ".zgroup", ".zattrs"}
    return sorted(entry.name for entry in output.iterdir() if entry.name not in written)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _put_in_place(written: Path, output: Path, old: Path) -> None:
    if not output.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        written.rename(output)
        return
    output.rename(old)
    try:
        written.rename(output)
    except OSError:
        old.rename(output)
        raise


def _remove(folder: Path) -> None:
    """Removes a folder for good: zarr's threads may still end writes begun before an error."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.01)
