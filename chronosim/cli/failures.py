"""How a command ends that cannot go on: what is said, and the exit status."""

from __future__ import annotations

import errno
import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

from chronosim.errors import ChronosimError

_WRONG, _BROKEN, _INTERRUPTED, _PIPE_CLOSED = 2, 70, 130, 141
_LONGEST = 300  # characters of an unforeseen error that are said
_OF_THE_SYSTEM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE)


def open_streams() -> None:
    """Makes sure that there is something to print to, which takes any character.

    A process may be started with its streams closed, and a path may hold bytes that are no text.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def end_badly(error: BaseException, words: Sequence[str]) -> int:
    """Says in one line on stderr why a command ended, and gives its exit status.

    Args:
        error: What ended it.
        words: What the command line was, for the report.

    Returns:
        2 after what chronosim or the system refuses; 70 after what nobody foresaw, with the place
        of a full report; 130 if interrupted; 141, in silence, where nobody reads on.
    """
    if broken := _broken_output(error):
        if isinstance(broken, BrokenPipeError):
            return _PIPE_CLOSED
        error = OSError(broken.errno, broken.strerror, "the output")
    if known_reason(error) is None:
        error = _interrupt(error) or error
    if isinstance(error, KeyboardInterrupt):
        notes = "; ".join(getattr(error, "__notes__", ["what was finished is on disk"]))
        said, status = f"interrupted; {notes}", _INTERRUPTED
    elif known := known_reason(error):
        said, status = known, _WRONG
    else:
        said, status = _unforeseen(error, words), _BROKEN
    if os.environ.get("RANK", "0") == "0":  # all processes of torchrun stumble over it
        with suppress(OSError):  # of a closed stderr
            print(f"chronosim: {one_line(said)}", file=sys.stderr, flush=True)
    return status


def known_reason(error: BaseException) -> str | None:
    """What chronosim or the system refused, as a sentence; None: nobody foresaw it."""
    if isinstance(error, ChronosimError):
        return str(error)
    if isinstance(error, MemoryError):
        return "this takes more memory than there is"
    if isinstance(error, OSError) and error.strerror is not None:
        if error.filename is not None:
            return f"{str(error.filename)[:_LONGEST]} cannot be used: {error.strerror}"
        if error.errno in _OF_THE_SYSTEM:
            return f"the system refuses: {error.strerror}"
    return None


def one_line(text: str) -> str:
    """A text in one line, its control characters spelled: it may hold names that others chose."""
    line = " ".join(text.splitlines())
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


def _interrupt(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt that an error came from: libraries stumble over one in their midst."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def _broken_output(error: BaseException) -> OSError | None:
    """Why stdout takes no more, if so; nothing is printed to it from then on."""
    broken: OSError | None = error if isinstance(error, BrokenPipeError) else None
    try:
        sys.stdout.flush()
    except OSError as again:
        broken = again
    except ValueError:  # it is closed
        return None
    if broken is not None:
        with suppress(OSError, ValueError):  # or Python tries once more at its end, and complains
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return broken


def _unforeseen(error: BaseException, words: Sequence[str]) -> str:
    kind, what = type(error).__name__, " ".join(str(error).split())[:_LONGEST]
    report = _report(error, words)
    where = f"the full report is in {report}" if report else "and no report of it could be written"
    return f"something went wrong that nobody foresaw ({kind}: {what}): {where}"


def _report(error: BaseException, words: Sequence[str]) -> str | None:
    """Writes a full report of an error to a temporary file; None where none can be written."""
    shown = ["token=..." if word.startswith("token=") else word for word in words]
    lines = [
        f"chronosim {version('chronosim')}, Python {platform.python_version()}, "
        f"{platform.platform()}",
        f"chronosim {shlex.join(shown)}",
        "",
        *traceback.format_exception(error),
    ]
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="chronosim-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            file.write("\n".join(lines))
        return file.name
    except OSError:
        return None
