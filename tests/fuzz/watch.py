"""Runs cases that were made to hurt, one after another, and says what must not have happened."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

HEARD: list[str] = []
"""What was asked of the system that a file must not ask for, where `listen` was called."""

MARK = "CANARY"
"""The file that code leaves which should not have run."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something to try.

    Attributes:
        name: What it is, so that it can be found and run again.
        words: What follows `chronosim`.
        spoil: Prepares the working directory.
        may_last: Whether it may be stopped by the time limit: a server, or very much asked for.
        changes: Whether it may leave something where it fails: it works on the data set itself.
    """

    name: str
    words: tuple[str, ...]
    spoil: Callable[[Path], object] = lambda folder: None
    may_last: bool = False
    changes: bool = False


def try_case(case: Case, begun: Path, seconds: float = 10.0) -> list[str]:
    """Runs a case in a copy of a folder, in this process.

    Args:
        case: What to run.
        begun: A folder to be copied and worked in.
        seconds: After which it is interrupted, as by Ctrl-C.

    Returns:
        What is wrong; nothing if all held.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as root:
        work, temporary = Path(root, "work"), Path(root, "tmp")
        temporary.mkdir()
        shutil.copytree(begun, work, symlinks=True)
        case.spoil(work)
        before, threads = listing(work), threading.active_count()
        out, err = io.StringIO(), io.StringIO()
        with inside(work, temporary), limited(2.0 if case.may_last else seconds) as limit:
            status, wrong = run(case.words, out, err)
        after = listing(work)
        reports = [path.read_text() for path in temporary.glob("chronosim-*.txt")]
        left = [
            one
            for one in listing(temporary)
            if not one.startswith(("chronosim-", "torchinductor_"))
        ]
    said = err.getvalue()
    if "Traceback (most" in out.getvalue() + said:
        wrong.append(f"a trace was printed: {said[-2000:]}")
    if status == 70:
        wrong.append(f"it broke: {said[-500:]}{reports[-1][-1500:] if reports else ''}")
    if status not in (0, 1, 2, 70, 130):
        wrong.append(f"exit status {status}")
    if status == 2 and not wrong and not said.strip():
        wrong.append("it failed without a word")
    if status == 130 and not (case.may_last and limit):
        wrong.append("it was not done in time")
    new = sorted(after - before)
    if status == 2 and new and not case.changes:
        wrong.append(f"it left behind: {', '.join(new[:5])}")
    if hidden := [one for one in new if is_half(one)]:
        wrong.append(f"half-written: {', '.join(hidden[:5])}")
    if any(one.endswith(MARK) for one in new):
        wrong.append("code was run")
    if left:
        wrong.append(f"temporary files were left: {', '.join(sorted(left)[:5])}")
    if HEARD:
        wrong.append(f"it asked the system for {', '.join(HEARD[:5])}")
        HEARD.clear()
    if threading.active_count() > threads + 8:
        wrong.append(f"threads were left: {threading.active_count() - threads}")
    return wrong


def listen() -> None:
    """Hears from now on of programs that are run, and of addresses that are asked, in this process.

    Not of addresses that a command line names: these are the user's own.
    """
    kinds = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect")

    def hear(event: str, details: tuple[object, ...]) -> None:
        if event in kinds:
            HEARD.append(f"{event} {details[:2]}")

    sys.addaudithook(hear)


def run(words: Sequence[str], out: io.StringIO, err: io.StringIO) -> tuple[int | None, list[str]]:
    """Calls the command line, and catches what it should have caught."""
    from chronosim.cli.main import main

    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            return main(list(words)), []
        except SystemExit as ended:
            return (ended.code if isinstance(ended.code, int) else 1), []
        except KeyboardInterrupt:
            return 130, ["the interrupt came through"]
        except BaseException:
            return None, [f"an error came through: {traceback.format_exc()}"]


def listing(folder: Path) -> set[str]:
    """All that is below a folder, by path; caches of Python's left out."""
    found = set[str]()
    for root, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if one != "__pycache__"]
        found |= {os.path.relpath(Path(root, one), folder) for one in [*folders, *files]}
    return found


def is_half(path: str) -> bool:
    """Whether a name is one that only something unfinished has."""
    parts = Path(path).parts
    return any(
        part[:2] not in (".z", "..")
        and part.startswith(".")
        and part not in (".lock", ".chronosim")
        and not part.endswith(".draft")
        for part in parts
    ) or path.endswith((".new", ".tmp", ".part"))


@contextlib.contextmanager
def inside(work: Path, temporary: Path) -> Iterator[None]:
    """Works in a folder, with a folder for temporary files of its own."""
    here, path = Path.cwd(), list(sys.path)
    tempfile.tempdir, kept = str(temporary), tempfile.tempdir
    os.chdir(work)
    try:
        yield
    finally:
        os.chdir(here)
        sys.path[:] = path
        tempfile.tempdir = kept
        gc.collect()


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[list[bool]]:
    """Interrupts after so many seconds, and again every second; what it gives says whether."""
    stopped: list[bool] = []

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.append(True)
        signal.raise_signal(signal.SIGINT)

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield stopped
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
