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
import zarr

from chronosim.episodes import EpisodeReader, compact, list_episodes, repair, verify
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
    monkeypatch.setattr("chronosim.episodes.compact._CHUNK", 500)  # two frames
    monkeypatch.setattr("chronosim.episodes.compact._SHARD", 3000)  # twelve
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


def schema1(path: Path) -> None:
    """An episode as chronosim 0.1 wrote it: trajectories of 3 frames and of 1, and two dark."""
    steps = 4
    group = zarr.create_group(
        path,
        attributes={"schema": 1, "steps": steps, "finished": True, "about": {"seed": 5}},
    )
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (steps + 1, 8, 10, 3), np.uint8)
    between = rng.integers(0, 256, (steps, 2, 8, 10, 3), np.uint8)
    between[2] = 0
    columns = {
        "frames": frames,
        "states": np.arange(steps + 1, dtype=np.float32)[:, None],
        "action": rng.standard_normal((steps, 3), np.float32),
        "between": between,
        "between_length": np.array([2, 0, 2, 1]),
        "text": np.array([f"words {index}" for index in range(steps)], np.dtypes.StringDType()),
        "seed": np.arange(steps) + 2**62,
        "reward": np.array([0.0, 1.0, np.nan, 2.0]),
        "terminated": np.zeros(steps, bool),
        "truncated": np.arange(steps) == 3,
        "latency": np.full(steps, np.nan),
    }
    for name, values in columns.items():
        reserved = (values.shape[0] + 28, *values.shape[1:])
        chunks = (1, *values.shape[1:])
        array = group.create_array(name, shape=reserved, chunks=chunks, dtype=values.dtype)
        array[: len(values)] = values


def test_schema_1_is_read_as_before_and_made_new(tmp_path: Path) -> None:
    path = tmp_path / "0000005"
    schema1(path)
    old = EpisodeReader(path)
    assert (old.schema, old.compacted, old.trajectories) == (1, False, "lossless")
    assert old.lengths.tolist() == [3, 1, 3, 2]
    names = ("frames", "states", "action", "between", "text", "seed", "reward", "truncated")
    before = {name: old.column(name) for name in (*names, "latency", "between_length")}
    steps = list(old)
    assert steps[0].seed == 2**62
    damages = verify(path)
    assert [damage.kind for damage in damages] == ["nan", "missing chunk"]
    assert "or was all black" in str(damages[1])  # schema 1 cannot tell
    assert compact(path)
    new = EpisodeReader(path)
    assert (new.schema, new.compacted, new.about) == (2, True, {"seed": 5})
    for name, values in before.items():
        found = new.column(name)
        assert found.dtype == values.dtype
        assert np.array_equal(found, values, equal_nan=values.dtype.kind == "f")
    for ours, theirs in zip(steps, new, strict=True):
        assert np.array_equal(ours.prediction.trajectory, theirs.prediction.trajectory)
    assert list_episodes(tmp_path) == [path]
    assert sorted(entry.name[:8] for entry in path.iterdir()) == ["compact-", "zarr.jso"]
    assert np.array_equal(old.trajectory(0), steps[0].prediction.trajectory)
