"""Fuzzes what others hand to chronosim: `python -m tests.fuzz [KIND ...] [--seed S]`."""

from __future__ import annotations

import argparse
import faulthandler
import os
import resource
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import chronosim.evaluation.run
import chronosim.models.loading.load
import chronosim.training.recipe  # noqa: F401  once, not in each child
from tests.fuzz import command_lines, data_sets, model_folders
from tests.fuzz.watch import Case, listen, try_case

KINDS = {
    "command-lines": (command_lines, 2000),
    "data-sets": (data_sets, 500),
    "model-folders": (model_folders, 300),
}
_SECONDS = 30.0  # for a case; on a machine that does nothing else each takes one or two
_MEMORY = 4 * 2**30  # bytes that a case may ask for
_LATE = 120.0  # seconds after which a process that no longer answers is killed


def main() -> int:
    """Runs the cases of each kind in processes of their own, which may die of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []])
    parser.add_argument("--count", type=int, help="cases of each kind (2000, 500, 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="a case's name: it alone, in this process")
    given = parser.parse_args()
    failed = 0
    for kind in given.kinds or KINDS:
        module, count = KINDS[kind]
        with tempfile.TemporaryDirectory() as root:
            begun = Path(root, "begun")
            apart(partial(module.begin, begun))
            cases = list(module.cases(given.seed, given.count or count))
            if given.only:
                [case] = [case for case in cases if case.name == given.only]
                print(case.words, *try_case(case, begun), sep="\n")
                continue
            began, wrong = perf_counter(), 0
            for case, said in run_apart(cases, begun):
                wrong += 1
                print(f"{case.name}: chronosim {' '.join(map(ascii, case.words))}")
                print(*(f"    {line}" for line in said), sep="\n", flush=True)
            print(f"{kind}: {len(cases)} cases, {wrong} wrong, {perf_counter() - began:.0f} s")
            failed += wrong
    return int(failed > 0)


def run_apart(cases: Sequence[Case], begun: Path) -> Iterator[tuple[Case, list[str]]]:
    """Runs cases in a child of this process, and in the next one where it dies; gives the bad."""
    at = 0
    while at < len(cases):
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reads)
            _only(partial(_run_on, cases[at:], begun, writes))
        os.close(writes)
        with os.fdopen(reads, "rb") as answers:
            while at < len(cases):
                ready, _, _ = select.select([answers], [], [], _LATE)
                line = answers.readline() if ready else b""
                if not line:
                    os.kill(child, signal.SIGKILL)
                    _, status = os.waitpid(child, 0)
                    how = "it hangs" if not ready else f"the process died (status {status})"
                    yield cases[at], [how]
                    at += 1
                    break
                if said := eval(line):
                    yield cases[at], said
                at += 1
            else:
                os.waitpid(child, 0)


def _run_on(cases: Sequence[Case], begun: Path, answers: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, hard))
    if not cases[0].name.startswith("command"):
        listen()
    for case in cases:
        faulthandler.dump_traceback_later(0.9 * _LATE)  # before it is killed
        os.write(answers, repr(try_case(case, begun, _SECONDS)).encode() + b"\n")


def apart(work: Callable[[], object]) -> None:
    """Does something in a child: threads that it starts would not survive the next fork."""
    child = os.fork()
    if child == 0:
        _only(work)
    os.waitpid(child, 0)


def _only(work: Callable[[], object]) -> None:
    """Does something, and ends the process."""
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123
    try:
        work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
