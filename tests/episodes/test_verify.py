from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step, repair, verify
from chronosim.episodes.clips import encode_clip
from chronosim.errors import EpisodeExists, EpisodeNotFound, InvalidEpisode
from chronosim.types import Observation, Prediction

Write = Callable[..., Path]
Check = Callable[..., None]


def kinds(path: Path) -> list[str]:
    return [damage.kind for damage in verify(path)]


def chunk(path: Path, array: str, row: int) -> Path:
    [file] = path.glob(f"*/{array}/c.{row}.*" if array != "records" else f"*/records/c.{row}")
    return file


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


@pytest.mark.parametrize("finish", [True, False])
def test_a_whole_episode_stays_as_it_is(write: Write, check_steps: Check, finish: bool) -> None:
    path = write("episode", finish=finish)
    assert kinds(path) == ([] if finish else ["unfinished"])
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    done = repair(path)
    assert (done.kept, done.dropped, done.episodes) == (20, (), ())
    if finish:
        assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert EpisodeReader(path).finished
    assert kinds(path) == []
    check_steps(path)


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize(
    ("harm", "kind", "words"),
    [(Path.unlink, "missing chunk", "missing"), (spoil, "checksum", "checksum")],
)
def test_a_frame(
    write: Write,
    check_steps: Check,
    monkeypatch: pytest.MonkeyPatch,
    compacted: bool,
    harm: Callable[[Path], None],
    kind: str,
    words: str,
) -> None:
    monkeypatch.setattr("chronosim.episodes.compaction._CHUNK", 500)  # two frames
    path = write("episode", compact=compacted)
    harm(chunk(path, "frames", 4 if compacted else 9))
    assert kinds(path) == [kind]
    with pytest.raises(InvalidEpisode, match=words):
        EpisodeReader(path).window(8, 10)
    with pytest.raises(InvalidEpisode, match=words):
        list(EpisodeReader(path))
    assert len(EpisodeReader(path).window(0, 8)) == 8  # the others can still be read
    done = repair(path)
    first_lost = 7 if compacted else 8
    behind = 10
    assert done.kept == first_lost
    assert done.dropped == (
        f"steps {first_lost} to {behind - 1}: an observation or its record is damaged",
    )
    assert done.episodes == (path.with_name(f"episode-from-{behind}"),)
    assert kinds(path) == kinds(done.episodes[0]) == []
    check_steps(path)
    check_steps(done.episodes[0], first=behind)
    assert EpisodeReader(done.episodes[0]).steps == 20 - behind
    for one, step in ((path, 0), (done.episodes[0], behind)):
        about = EpisodeReader(one).about
        assert about["seed"] == 3
        assert (about["repaired"]["episode"], about["repaired"]["step"]) == ("episode", step)


def test_a_trajectory(write: Write, check_steps: Check) -> None:
    path = write("episode", compact=False)
    spoil(chunk(path, "between", 4))
    chunk(path, "between", 5).unlink()
    chunk(path, "between", 17).write_bytes(b"")
    assert sorted(kinds(path)) == ["checksum", "checksum", "missing chunk"]
    for step in (4, 5, 17):
        with pytest.raises(InvalidEpisode, match="between"):
            EpisodeReader(path).trajectory(step)
    done = repair(path)
    assert (done.kept, done.episodes) == (20, ())
    assert [sentence.partition(":")[0] for sentence in done.dropped] == ["steps 4 to 5", "step 17"]
    assert kinds(path) == []
    check_steps(path, short=(4, 5, 17))


@pytest.mark.parametrize("harm", [Path.unlink, spoil])
def test_records(write: Write, check_steps: Check, harm: Callable[[Path], None]) -> None:
    path = write("episode", 40, compact=False)
    harm(chunk(path, "records", 0))  # rows 0 to 31
    with pytest.raises(InvalidEpisode, match="records"):
        EpisodeReader(path).column("reward")
    assert set(kinds(path)) <= {"missing chunk", "checksum"}
    done = repair(path)
    assert (done.kept, done.episodes) == (8, ())
    assert EpisodeReader(path).about["repaired"]["step"] == 32
    check_steps(path, first=32)


def test_a_repair_that_was_broken_off_goes_on(
    write: Write, check_steps: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("episode", compact=False)
    chunk(path, "frames", 9).unlink()
    original = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with monkeypatch.context() as broken:
        module = import_module("chronosim.episodes.repair")
        broken.setattr(module, "_attributes", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            repair(path)
    assert original == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    done = repair(path)
    assert (done.kept, len(done.episodes)) == (8, 1)
    check_steps(path)


def test_a_name_that_is_taken(write: Write) -> None:
    path = write("episode", compact=False)
    write("episode-from-10")
    chunk(path, "frames", 9).unlink()
    with pytest.raises(EpisodeExists, match="move it away"):
        repair(path)
    assert kinds(path) == ["missing chunk"]


def test_lengths(write: Write, check_steps: Check) -> None:
    path = write("episode", compact=False)
    for name, shape in (("frames", (15, 8, 10, 3)), ("between", (20, 1, 8, 10, 3))):
        file = path / "live" / name / "zarr.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "shape": shape}))
    assert set(kinds(path)) == {"length"}
    with pytest.raises(InvalidEpisode):
        _ = EpisodeReader(path).frames
    assert repair(path).kept == 14
    check_steps(path, short=tuple(range(20)))


def test_what_is_no_number(write: Write) -> None:
    path = write("episode", 0, finish=False)
    first = EpisodeReader(path).observation(0)
    writer = EpisodeWriter(path.with_name("other"), first, {})
    after = Observation(first.frame, np.array([np.nan, 0], np.float32))
    frames = Prediction(after.frame[None])
    writer.append(Step(first, np.array([np.nan]), "", 0, frames, after, np.nan, False, False))
    writer.close()
    damages = verify(path.with_name("other"))
    assert [damage.kind for damage in damages] == ["nan"] * 3
    assert all(damage.harmless for damage in damages)
    assert str(damages[0]).startswith("the state in row 1")
    assert repair(path.with_name("other")).kept == 1


def test_a_video_that_cannot_be_decoded(write: Write, check_steps: Check) -> None:
    path = write("episode", trajectories="video", compact=False)
    assert kinds(path) == []
    clips: Any = zarr.open_group(path, mode="r+")["live/clips"]
    clips[3, :100] = 7
    other = np.frombuffer(encode_clip(np.zeros((9, 8, 10, 3), np.uint8)), np.uint8)
    clips[8, : len(other)] = other
    assert kinds(path) == ["undecodable", "undecodable"]
    with pytest.raises(InvalidEpisode, match="clips"):
        EpisodeReader(path).trajectory(3)
    done = repair(path)
    assert [sentence.partition(":")[0] for sentence in done.dropped] == ["step 3", "step 8"]
    assert EpisodeReader(path).lengths.tolist() == [
        1 if index in (3, 8) else 3 for index in range(20)
    ]
    assert kinds(path) == []


@pytest.mark.parametrize(
    ("spoiled", "kind"),
    [
        (lambda told: "{", "unreadable"),
        (lambda told: json.dumps({"node_type": "group"}), "unreadable"),
        (lambda told: told.replace('"schema": 2', '"schema": 9'), "schema"),
        (lambda told: told.replace('"schema": 2', '"schema": 0'), "unreadable"),
        (lambda told: told.replace('"schema": 2', '"schema": "two"'), "unreadable"),
        (lambda told: told.replace('"schema": 2', '"schema": true'), "unreadable"),
        (lambda told: told.replace('"steps": 20', '"steps": "many"'), "unreadable"),
    ],
)
def test_what_an_episode_says_of_itself(
    write: Write, spoiled: Callable[[str], str], kind: str
) -> None:
    path = write("episode")
    told = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(spoiled(told))
    assert kinds(path) == [kind]
    with pytest.raises(InvalidEpisode) as refused:
        EpisodeReader(path)
    assert ("this chronosim reads schema 2" in str(refused.value)) == (kind == "schema")
    with pytest.raises(InvalidEpisode, match="cannot be repaired") as refused:
        repair(path)
    assert ("this chronosim reads schema 2" in str(refused.value)) == (kind == "schema")
    assert str(refused.value).count("episode ") + str(refused.value).count("/episode") <= 2


def test_an_array_that_cannot_be_opened(write: Write) -> None:
    path = write("episode", compact=False)
    (path / "live" / "between" / "zarr.json").write_text("[]")
    assert kinds(path) == ["unreadable"]
    with pytest.raises(InvalidEpisode, match="between"):
        EpisodeReader(path).trajectory(0)
    assert repair(path).kept == 20
    (other := write("other")).joinpath(next(other.glob("*/frames/zarr.json"))).unlink()
    assert "unreadable" in kinds(other)
    with pytest.raises(InvalidEpisode, match="no observation in it is whole"):
        repair(other)


def test_leftovers(write: Write, check_steps: Check) -> None:
    path = write("episode")
    (path / "compact-0badcafe" / "frames").mkdir(parents=True)
    (path / "live").mkdir()
    (path / "notes.txt").write_text("a user's own")
    assert kinds(path) == ["leftover", "leftover"]
    assert repair(path).kept == 20
    assert kinds(path) == []
    assert (path / "notes.txt").exists()
    check_steps(path)


def test_nothing_there(tmp_path: Path) -> None:
    for function in (verify, repair):
        with pytest.raises(EpisodeNotFound):
            function(tmp_path / "nothing")


def test_a_stretch_that_is_repaired_again_says_where_it_began(write: Write) -> None:
    path = write("episode", compact=False)
    (path / "live" / "frames" / "c.5.0.0.0").unlink()
    [behind] = repair(path).episodes
    assert EpisodeReader(behind).about["repaired"] == {"episode": "episode", "step": 6}
    between = next(Path(str(behind)).glob("compact-*/between/c*"))
    between.write_bytes(between.read_bytes()[:-9])
    assert repair(behind).dropped
    repaired = EpisodeReader(behind).about["repaired"]
    assert (repaired["episode"], repaired["step"]) == ("episode", 6)


def test_only_the_stretch_at_the_end_keeps_the_last_observations_row(write: Write) -> None:
    path = write("episode", compact=False)
    attributes = json.loads((path / "zarr.json").read_text())
    attributes["attributes"]["about"] |= {"unused_row": {"reward": 7.0}, "unused_action": [1]}
    (path / "zarr.json").write_text(json.dumps(attributes))
    for observation in (5, 12):
        (path / "live" / "frames" / f"c.{observation}.0.0.0").unlink()
    others = repair(path).episodes
    stretches = [EpisodeReader(one).about for one in (path, *others)]
    kept = [{"unused_row", "unused_action"} & set(about) for about in stretches]
    assert kept == [set(), set(), {"unused_row", "unused_action"}]
