"""A killed writer, a full disk: what was acknowledged is whole, and nothing else is to be seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import (
    EpisodeDataset,
    EpisodeReader,
    EpisodeWriter,
    Step,
    list_episodes,
    repair,
    verify,
)
from chronosim.episodes.place import discard
from chronosim.errors import EpisodeExists, EpisodeNotFound, EpisodeWriteError, InvalidEpisode
from chronosim.types import Observation, Prediction

FullDisk = Callable[[int], AbstractContextManager[None]]

# Forks a writer for each path it is told, and says its process id: importing takes longer than
# living. Each value of step k can be told from k, so that a half-written step cannot go unnoticed.
WRITER = """
import os, sys
import numpy as np
from chronosim.episodes import EpisodeWriter, Step
from chronosim.types import Observation, Prediction
import chronosim.episodes.writer as writing
writing._RESERVE = 20

def observed(step):
    return Observation(np.full((8, 8, 3), step % 251, np.uint8), np.array([step], np.float32), step)

def write(path):
    acknowledged = os.open(path + ".txt", os.O_WRONLY | os.O_CREAT)
    writer = EpisodeWriter(path, observed(0), {})  # its arrays grow at steps 20 and 40
    os.write(acknowledged, b"0\\n")
    for step in range(1, 100000):
        after = observed(step)
        between = np.full((step % 5, 8, 8, 3), step % 241, np.uint8)
        prediction = Prediction(np.concatenate([between, after.frame[None]]))
        text = f"text {step}"
        ends = float(step), False, False
        writer.append(Step(observed(step - 1), "go " * step, text, step, prediction, after, *ends))
        os.write(acknowledged, f"{step}\\n".encode())
    return writer

for line in sys.stdin:
    writer = os.fork()
    if writer == 0:
        write(line.strip())
    print(writer, flush=True)
    os.waitpid(writer, 0)
    print("dead", flush=True)
"""


def check_whole(reader: EpisodeReader) -> None:
    for number, step in enumerate(reader, start=1):
        assert step.action == "go " * number
        assert step.text == f"text {number}"
        assert (step.seed, step.reward) == (number, number)
        assert step.after.state.tolist() == [number]
        trajectory = step.prediction.trajectory
        assert (trajectory[-1] == number % 251).all()
        assert (trajectory[:-1] == number % 241).all()
        assert len(trajectory) == number % 5 + 1
    assert (reader.observation(0).frame == 0).all()


@pytest.fixture
def busy() -> Iterator[None]:
    """Keeps the machine busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield
        process.kill()


def acknowledged(folder: Path, index: int) -> list[str]:
    """The steps a writer said it has, 0 for the beginning."""
    log = folder / f"{index:03d}.txt"
    return log.read_text().split("\n")[:-1] if log.exists() else []


@pytest.mark.slow
@pytest.mark.usefixtures("busy")
def test_killed_at_any_moment(tmp_path: Path) -> None:
    # Some while they begin; the others within a few steps of one they acknowledged, where arrays
    # are made (the first step) or grow too. CHRONOSIM_KILLS=200 kills that often.
    rng = np.random.default_rng()
    kills = int(os.environ.get("CHRONOSIM_KILLS", "20"))
    moments = [0, 0, 0, 1, 1, 1, 2, 4, 8, 33][:kills]
    moments += rng.integers(0, 20, kills - len(moments)).tolist()
    nursery = subprocess.Popen(
        [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for index, moment in enumerate(moments):
            print(tmp_path / f"{index:03d}", file=nursery.stdin, flush=True)
            writer = int(nursery.stdout.readline())
            while len(acknowledged(tmp_path, index)) < moment:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05))
            os.kill(writer, signal.SIGKILL)
            assert nursery.stdout.readline() == "dead\n"

    readers = map(EpisodeReader, list_episodes(tmp_path, unfinished=True))
    seen = {reader.path.name: reader for reader in readers}
    for index, moment in enumerate(moments):
        told = acknowledged(tmp_path, index)
        reader = seen.get(f"{index:03d}")
        if reader is None:
            assert told == []
            with pytest.raises(EpisodeNotFound):
                EpisodeReader(tmp_path / f"{index:03d}")
            continue
        assert not reader.finished
        # The step in flight may be whole already, though nobody was told.
        assert reader.steps - len(told) in (-1, 0)
        assert reader.steps >= moment - 1
        check_whole(reader)


def observed(step: int) -> Observation:
    frame = np.random.default_rng(step).integers(0, 256, (48, 48, 3), np.uint8)
    return Observation(frame, np.zeros(1, np.float32), step)


def taken(index: int) -> Step:
    after = observed(index + 1)
    frames = np.stack([after.frame + 1, after.frame])
    before = observed(index)
    return Step(before, "go", "go", index, Prediction(frames), after, 1.0, False, False)


@pytest.mark.parametrize("size", [10, 300, 1200, 3000])  # refuses metadata, or only large chunks
@pytest.mark.parametrize("before", [0, 1, 3])  # 3: the reserve is used up, arrays must grow
def test_a_refused_step_can_be_tried_again(
    tmp_path: Path,
    size: int,
    before: int,
    full_disk: FullDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chronosim.episodes.writer._RESERVE", 3)
    with EpisodeWriter(tmp_path / "episode", observed(0), {}) as writer:
        for index in range(before):
            writer.append(taken(index))
        with full_disk(size):
            for _ in range(2):
                with pytest.raises(EpisodeWriteError, match=f"the {before} steps before it"):
                    writer.append(taken(before))
            assert EpisodeReader(tmp_path / "episode").steps == before
        for index in (before, before + 1):
            writer.append(taken(index))
    reader = EpisodeReader(tmp_path / "episode")
    assert (reader.steps, reader.finished) == (before + 2, True)
    for index, step in enumerate(reader):
        assert np.array_equal(step.prediction.trajectory, taken(index).prediction.trajectory)
        assert step.seed == index


@pytest.mark.parametrize("size", [10, 3000])
def test_a_refused_step_is_not_there_when_it_is_closed(
    tmp_path: Path, size: int, full_disk: FullDisk
) -> None:
    writer = EpisodeWriter(tmp_path / "episode", observed(0), {})
    writer.append(taken(0))
    with full_disk(size), pytest.raises(EpisodeWriteError):
        writer.append(taken(1))
    writer.close()
    reader = EpisodeReader(tmp_path / "episode")
    assert (reader.steps, reader.finished, reader.compacted) == (1, True, True)
    assert verify(reader.path) == []


def test_a_read_only_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir(mode=0o500)
    if os.access(tmp_path / "set", os.W_OK):
        pytest.skip("root may write everywhere")
    with pytest.raises(EpisodeWriteError, match="cannot begin"):
        EpisodeWriter(tmp_path / "set" / "episode", observed(0), {})


def test_many_writers_on_one_data_set(tmp_path: Path) -> None:
    """Four processes race for the same names: each is one writer's, and every episode whole."""
    code = WRITER.partition("for line in")[0].replace("100000", "6") + (
        "import chronosim.errors\n"
        "for number in range(6):\n"
        "    try:\n"
        "        write(f'{sys.argv[1]}/{number:03d}')\n"
        "    except chronosim.errors.EpisodeExists:\n"
        "        print(number)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    taken_already = b"".join(writer.communicate()[0] for writer in writers)
    assert [writer.returncode for writer in writers] == [0] * 4
    assert len(taken_already.splitlines()) == 18
    paths = list_episodes(tmp_path, unfinished=True)
    assert len(paths) == 6
    for path in paths:
        assert EpisodeReader(path).steps == 5
        check_whole(EpisodeReader(path))


def test_an_episode_that_cannot_begin_leaves_nothing(tmp_path: Path, full_disk: FullDisk) -> None:
    with full_disk(300), pytest.raises(EpisodeWriteError, match="cannot begin") as caught:
        EpisodeWriter(tmp_path / "episode", observed(0), {})
    assert isinstance(caught.value, OSError)
    assert list(tmp_path.iterdir()) == []


def test_an_episode_that_cannot_be_finished_is_readable(
    tmp_path: Path, full_disk: FullDisk
) -> None:
    writer = EpisodeWriter(tmp_path / "episode", observed(0), {})
    writer.append(taken(0))
    with full_disk(10), pytest.raises(EpisodeWriteError, match="cannot finish"):
        writer.close()
    reader = EpisodeReader(tmp_path / "episode")
    assert (reader.steps, reader.finished) == (1, False)
    assert np.array_equal(reader.step(0).after.frame, taken(0).after.frame)
    writer.close()
    assert EpisodeReader(tmp_path / "episode").finished


def test_a_file_where_the_data_set_should_be(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("in the way")
    with pytest.raises(EpisodeWriteError, match="cannot begin"):
        EpisodeWriter(tmp_path / "set" / "episode", observed(0), {})


def test_an_episode_gets_its_name_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "000"
    with EpisodeWriter(path, observed(0), {}) as writer:
        writer.append(taken(0))
        assert list_episodes(tmp_path) == []
        assert not path.exists()
        [draft] = list_episodes(tmp_path, unfinished=True)
        live = EpisodeReader(path)
        assert (live.path, live.place, live.steps, live.finished) == (path, draft, 1, False)
        with pytest.raises(EpisodeExists, match="is being written, or was broken off"):
            EpisodeWriter(path, observed(0), {})
        [damage] = verify(path)
        assert damage.kind == "unfinished"
    assert list_episodes(tmp_path, unfinished=True) == [path]
    assert np.array_equal(live.frames, EpisodeReader(path).frames), "who reads it goes on reading"
    assert EpisodeReader(draft).finished, "by its old name too"


def test_the_first_attempt_wins(tmp_path: Path) -> None:
    path = tmp_path / "000"
    late, slow, quick = (
        EpisodeWriter(path, observed(0), {"who": who}, rivals=True) for who in "abc"
    )
    for writer in (late, slow, quick):
        writer.append(taken(0))
    assert len(list_episodes(tmp_path, unfinished=True)) == 3
    quick.close()
    with pytest.raises(
        EpisodeExists, match=f"attempt at {path} was finished first; this one, of 1"
    ):
        late.append(taken(1))
    with pytest.raises(EpisodeExists, match="was finished first"):
        slow.close()
    with pytest.raises(EpisodeExists, match="already"):
        EpisodeWriter(path, observed(0), {}, rivals=True)
    assert EpisodeReader(path).about == {"who": "c"}
    assert verify(path) == []
    assert list(tmp_path.iterdir()) == [path], "what lost is removed"


def test_many_attempts_at_the_same_episodes(tmp_path: Path) -> None:
    """Four processes attempt the same episodes to their end: each is there once, and whole."""
    code = WRITER.partition("for line in")[0].replace("100000", "6") + (
        "import chronosim.errors\n"
        "from functools import partial\n"
        "EpisodeWriter = partial(EpisodeWriter, rivals=True)\n"
        "for number in range(6):\n"
        "    try:\n"
        "        write(f'{sys.argv[1]}/{number:03d}').close()\n"
        "    except chronosim.errors.EpisodeExists:\n"
        "        print(number)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    lost = b"".join(writer.communicate()[0] for writer in writers)
    assert [writer.returncode for writer in writers] == [0] * 4
    assert len(lost.splitlines()) == 18
    assert len(list_episodes(tmp_path)) == 6
    for path in list_episodes(tmp_path):
        assert verify(path) == []
        check_whole(EpisodeReader(path))


def test_a_writer_whose_draft_was_removed_writes_no_more(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "000", observed(0), {})
    writer.append(taken(0))
    discard(tmp_path / ".000.draft")
    with pytest.raises(EpisodeWriteError, match="was removed while it was being written"):
        writer.append(taken(1))
    assert list(tmp_path.iterdir()) == []


def test_an_episode_that_was_given_up_says_why(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "000", observed(0), {})
    writer.append(taken(0))
    writer.give_up("the policy chose nothing")
    reader = EpisodeReader(tmp_path / "000")
    assert (reader.failure, reader.finished, reader.steps) == ("the policy chose nothing", False, 1)
    [damage] = verify(tmp_path / "000")
    assert "is not finished: the policy chose nothing" in str(damage)


def test_a_half_removed_episode_is_damaged(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path / "000", observed(0), {}) as writer:
        writer.append(taken(0))
    (tmp_path / "000" / "zarr.json").unlink()
    [place] = list_episodes(tmp_path)
    assert list_episodes(tmp_path, unfinished=True) == [place]
    [damage] = verify(place)
    assert (damage.kind, "has lost its zarr.json" in str(damage)) == ("unreadable", True)
    with pytest.raises(InvalidEpisode, match="has lost its zarr"):
        EpisodeDataset(tmp_path)  # a data set to train on is not smaller without a word


def test_an_episode_without_the_metadata_of_its_arrays_is_damaged(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path / "000", observed(0), {}) as writer:
        writer.append(taken(0))
    [file] = (tmp_path / "000").glob("compact-*/zarr.json")
    file.unlink()
    [damage] = verify(tmp_path / "000")
    assert (damage.kind, "is missing" in str(damage)) == ("unreadable", True)
    assert repair(tmp_path / "000").kept == 1
    assert verify(tmp_path / "000") == []


def test_what_may_not_be_read_is_not_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("000", "001"):
        EpisodeWriter(tmp_path / name, observed(0), {}).close()
    stat = os.stat

    def refused(path: Any, *given: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(f"{barred}{os.sep}"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *given, **options)

    barred = tmp_path / "001"
    monkeypatch.setattr(os, "stat", refused)
    monkeypatch.setattr(Path, "read_bytes", lambda path: refused(path) and path.open("rb").read())
    assert [path.name for path in list_episodes(tmp_path)] == ["000", "001"]
    with pytest.raises(InvalidEpisode, match="001 may not be read: permission denied"):
        EpisodeReader(tmp_path / "001")
    barred = tmp_path
    with pytest.raises(EpisodeNotFound, match="may not be read: permission denied"):
        list_episodes(tmp_path)


def test_a_draft_is_repaired_to_an_episode(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "000", observed(0), {}, rivals=True)
    writer.append(taken(0))
    assert repair(tmp_path / "000").kept == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "000"]
    assert verify(tmp_path / "000") == []
    with pytest.raises(EpisodeExists, match="was finished first"):
        writer.append(taken(1))
