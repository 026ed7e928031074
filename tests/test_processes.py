"""Work in other processes: each makes its function once, and none is lost for a killed one."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chronosim import processes
from chronosim.errors import InvalidConfig, WorkerLost
from chronosim.processes import Processes, settle_threads, usable_cpus


def plus_count() -> Callable[[int], tuple[int, int, str]]:
    """A function that tells how often this process was asked, and its threads."""
    asked: list[int] = []

    def answer(number: int) -> tuple[int, int, str]:
        asked.append(number)
        return number, os.getpid(), os.environ["OMP_NUM_THREADS"]

    return answer


def killer() -> Callable[[int], int]:
    def answer(number: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return number

    return answer


def test_work_is_shared_and_none_is_lost() -> None:
    with Processes(plus_count, 2, threads=3) as several:
        given = list(several.finished(range(20)))
    assert sorted(number for number, _, _ in given) == list(range(20))
    assert {threads for _, _, threads in given} == {"3"}
    assert os.getpid() not in {process for _, process, _ in given}


def heard() -> Callable[[int], bool]:
    return lambda number: signal.getsignal(number) is not signal.SIG_IGN


def test_ctrl_c_is_the_parents_to_hear() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Processes(heard, 1) as one:
        assert list(one.finished([signal.SIGINT, signal.SIGTERM])) == [False, True]
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_killed_again_and_again_is_told() -> None:
    with pytest.raises(WorkerLost, match="killed again and again"), Processes(killer, 1) as one:
        list(one.finished([1]))


def test_what_cannot_be_given_is_told() -> None:
    with pytest.raises(InvalidConfig, match=r"cannot be given this work: .*lambda"):
        Processes(lambda: abs, 1)
    with pytest.raises(InvalidConfig, match="1 process or more, not 0"):
        Processes(plus_count, 0)


def test_a_container_may_use_fewer_cpus_than_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(processes, "_CGROUP", quota)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(48)), raising=False)
    assert usable_cpus() == 48
    quota.write_text("max 100000\n")
    assert usable_cpus() == 48
    quota.write_text("150000 100000\n")
    assert usable_cpus() == 1
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    environ: dict[str, str] = {}
    settle_threads(environ)
    assert environ == {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    settle_threads(environ | (users := {"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "ACTIVE"}))
    assert users == {"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "ACTIVE"}


def test_threads_are_settled_before_torch_is_loaded() -> None:
    code = "import os, chronosim; print(os.environ['OMP_WAIT_POLICY'])"
    environ = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ)
    assert run.stdout == "PASSIVE\n", run.stderr
