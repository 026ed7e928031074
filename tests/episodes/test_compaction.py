from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import numpy as np
import pytest

from chronosim.episodes import EpisodeReader, compact, repair, verify
from chronosim.errors import EpisodeWriteError, InvalidEpisode

Write = Callable[..., Path]
Check = Callable[..., None]
FullDisk = Callable[[int], AbstractContextManager[None]]


def files(path: Path) -> int:
    return sum(file.is_file() for file in path.rglob("*"))


def test_few_files_and_the_same_content(write: Write, check_steps: Check) -> None:
    path = write("episode", 30, compact=False)
    assert files(path) > 60
    assert not EpisodeReader(path).compacted
    assert compact(path)
    assert EpisodeReader(path).compacted
    assert files(path) < 12
    assert verify(path) == []
    check_steps(path)
    assert not compact(path)


def test_closing_compacts(write: Write) -> None:
    assert EpisodeReader(write("episode")).compacted


def test_many_large_frames_lie_in_shards(
    write: Write, check_steps: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chronosim.episodes.compaction._CHUNK", 500)  # two frames
    monkeypatch.setattr("chronosim.episodes.compaction._SHARD", 3000)  # twelve
    path = write("episode", 40)
    [data] = path.glob("compact-*")
    assert len(list((data / "frames").glob("c.*"))) == 4
    assert verify(path) == []
    check_steps(path)


def test_what_is_not_finished_is_left_alone(write: Write) -> None:
    path = write("episode", finish=False)
    with pytest.raises(InvalidEpisode, match="is not finished"):
        compact(path)


def test_a_full_disk_leaves_it_as_it_was(
    write: Write, check_steps: Check, full_disk: FullDisk
) -> None:
    path = write("episode", compact=False)
    with full_disk(3000), pytest.raises(EpisodeWriteError, match="could not be compacted"):
        compact(path)
    assert verify(path) == []
    check_steps(path)
    assert compact(path)


def test_a_reader_goes_on_when_its_episode_is_compacted(write: Write) -> None:
    path = write("episode", compact=False)
    early, late = EpisodeReader(path), EpisodeReader(path)
    frames = late.frames
    compact(path)
    assert np.array_equal(early.frames, frames)
    assert np.array_equal(late.trajectory(5)[-1], frames[6])
    assert [step.text for step in early] == [f"Step {index}" for index in range(20)]


def test_killed_at_any_moment(write: Write, check_steps: Check) -> None:
    path = write("episode", 12, compact=False)
    reference = path.with_name("reference")
    code = (
        "import sys; from chronosim.episodes import compact; import os\n"
        "for line in sys.stdin:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        compact(line.strip()); os._exit(0)\n"
        "    print(child, flush=True); os.waitpid(child, 0); print('dead', flush=True)\n"
    )
    shutil.copytree(path, reference)
    rng = np.random.default_rng()
    outcomes = set()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for _ in range(int(os.environ.get("CHRONOSIM_KILLS", "4"))):
            shutil.rmtree(path)
            shutil.copytree(reference, path)
            print(path, file=nursery.stdin, flush=True)
            child = int(nursery.stdout.readline())
            time.sleep(rng.uniform(0, 0.15))
            with suppress(ProcessLookupError):  # it was done before
                os.kill(child, signal.SIGKILL)
            assert nursery.stdout.readline() == "dead\n"
            check_steps(path)
            assert EpisodeReader(path).steps == 12
            outcomes.add(EpisodeReader(path).compacted)
            assert {damage.kind for damage in verify(path)} <= {"leftover"}
            repair(path)
            compact(path)
            assert verify(path) == []
            check_steps(path)
    assert outcomes
