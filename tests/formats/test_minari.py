"""Minari's data sets: every kind of action out and in again, and what others' hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from chronosim.errors import EpisodeNotFound, InvalidAction, InvalidEpisode
from chronosim.formats.columns import EpisodeColumns, FrameSource, make_columns
from chronosim.formats.minari import KINDS, MinariExporter, MinariImporter
from tests.formats.conftest import picture, readers
from tests.formats.foreign import imported_by, refused_by

FRAMES = np.stack([picture(at, (12, 16)) for at in range(4)])
BOX: Any = gym.spaces.Box


def recordings(*actions: np.ndarray, **columns: Any) -> list[EpisodeColumns]:
    frames = FrameSource(lambda: iter(FRAMES))
    return [
        make_columns(f"e{number}", frames, acted, closed=True, **columns)
        for number, acted in enumerate(actions)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("actions", "shape"),
    [
        (([0, 1, 1], [4, 0, 2]), "i8"),
        (([0, 1, 1], [-7, 0, 300]), "i4"),
        (([True, False, True], [False] * 3), "?"),
        (([[True, False]] * 3, [[False, False]] * 3), "?"),
        (([[2**63, 1]] * 3, [[2**64 - 1, 0]] * 3), "u8"),
        (([[0.5, 2]] * 3, [[1 / 3, 7]] * 3), "f2"),
        (([[[0.5], [1 / 3]]] * 3, [[[7], [8]]] * 3), "f8"),
        ((["links", "", "größer"], ["a b", "null", "日"]), "U"),
        (([["links", ""]] * 3, [["x", "日本"]] * 3), "U"),
    ],
)
def test_actions_of_every_kind(tmp_path: Path, kind: str, actions: Any, shape: str) -> None:
    given = [np.array(each, shape) for each in actions]
    MinariExporter(kind=kind).write(recordings(*given), tmp_path)
    told = minari.MinariDataset(tmp_path / "data")
    assert (told.total_episodes, told.total_steps) == (2, 6)
    for episode, acted in zip(told.iterate_episodes(), given, strict=True):
        parts = episode.actions if isinstance(episode.actions, tuple) else (episode.actions,)
        rows = zip(*parts, strict=True) if len(parts) > 1 else parts[0]
        assert all(row in told.action_space for row in rows)
        assert len(episode.rewards) == len(acted)
    again = [read() for read in MinariImporter().read(tmp_path).recordings]
    for found, acted in zip(again, given, strict=True):
        assert found.actions.dtype.kind == acted.dtype.kind
        assert acted.dtype.kind == "U" or found.actions.dtype == acted.dtype
        assert np.array_equal(found.actions, acted)
        assert np.array_equal(list(found.frames), FRAMES)


@pytest.mark.parametrize(
    ("actions", "kind", "sentence"),
    [
        (np.zeros((3, 0)), "arrow", "Arrow holds no actions without a number, as e0 has"),
        (np.zeros((3, 0)), "parquet", "Arrow holds no actions without a number, as e0 has"),
        (np.array([0, 1, 2**62]), "hdf5", "ids lie within 62 bits, .* 0 to 4611686018427387904"),
        (np.full((3, 2, 2), "a"), "arrow", r"words, but those of e0 are of shape \(2, 2\)"),
        (np.array(["a\0", "b", "c"]), "hdf5", "no text with a NUL in it, as e0 has: 'a.x00"),
    ],
)
def test_what_minari_cannot_hold(
    tmp_path: Path, actions: np.ndarray, kind: str, sentence: str
) -> None:
    # numpy drops a NUL at the end of a string, so it goes into the words beside them too.
    given = recordings(actions, texts=["a\0b"] * 3) if actions.dtype.kind == "U" else None
    with pytest.raises((InvalidAction, InvalidEpisode), match=sentence):
        MinariExporter(kind=kind).write(given or recordings(actions), tmp_path)


def foreign(
    folder: Path,
    observations: dict[str, Any],
    spaces: dict[str, Any],
    *,
    actions: Any = None,
    action_space: Any = None,
    infos: dict[str, Any] | None = None,
    kind: str = "hdf5",
) -> Path:
    """A data set of one episode of three steps, as Minari's collector leaves it."""
    storage = MinariStorage.new(
        folder / "data",
        observation_space=gym.spaces.Dict({"rgb": BOX(0, 255, FRAMES.shape[1:], "u1"), **spaces}),
        action_space=action_space or BOX(-1, 1, (2,), "f4"),
        data_format=kind,
        jpeg_encoding=False,
    )
    buffer = EpisodeBuffer(
        id=0,
        seed=7,
        observations={"rgb": FRAMES, **observations},
        actions=np.zeros((3, 2), "f4") if actions is None else actions,
        rewards=np.array([0.0, 0, 1]),
        terminations=np.array([False, False, True]),
        truncations=np.zeros(3, bool),
        infos=infos,
    )
    storage.update_episodes([buffer])
    storage.update_metadata({"dataset_id": "theirs/door-v2", "algorithm_name": "SAC"})
    return folder


imported = partial(imported_by, MinariImporter)
refused = partial(refused_by, MinariImporter)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "theirs").mkdir()
    return tmp_path / "theirs"


@pytest.mark.parametrize("kind", KINDS)
def test_dicts_in_one_another_are_joined(source: Path, kind: str) -> None:
    inner = {"pos": BOX(-1, 1, (2,)), "door": gym.spaces.Discrete(3)}
    spaces = {"state": gym.spaces.Dict(inner), "goal": BOX(-1, 1, (1,))}
    state = {"door": np.array([0, 1, 2, 0]), "pos": np.arange(8, dtype="f4").reshape(4, 2)}
    goal = np.ones((4, 1), "f4")
    foreign(source, {"state": state, "goal": goal}, spaces, kind=kind)
    report = imported(source)
    assert report.converted == ("state.door, state.pos to one vector of states",)
    assert "the observation goal" in report.lost
    [reader] = readers(report.path)
    assert reader.states.tolist() == [[0, 0, 1], [1, 2, 3], [2, 4, 5], [0, 6, 7]]
    assert readers_states(source, ["goal", "state.pos"]) == [
        [1, 0, 1],
        [1, 2, 3],
        [1, 4, 5],
        [1, 6, 7],
    ]


def readers_states(source: Path, names: list[str]) -> Any:
    [read] = MinariImporter(state=names).read(source).recordings
    return read().states.tolist()


def test_a_tuple_of_actions_as_long_as_the_episode_is_not_transposed(source: Path) -> None:
    parts = [gym.spaces.Discrete(9), BOX(-9, 9, (1,), "f4"), gym.spaces.Discrete(9)]
    acted = (np.array([1, 2, 3]), np.array([[4], [5], [6]], "f4"), np.array([7, 8, 0]))
    foreign(source, {}, {}, actions=acted, action_space=gym.spaces.Tuple(parts))
    report = imported(source)
    assert readers(report.path)[0].column("action").tolist() == [[1, 4, 7], [2, 5, 8], [3, 6, 0]]
    assert report.converted == ("0, 1, 2 to one vector of actions",)


def test_infos_seeds_and_metadata_are_kept_or_said(source: Path) -> None:
    infos = {
        "is_success": [False, False, False, True],
        "seed": [float("nan"), 3.0, float("nan"), 5.0],
        "deep": {"force": [0.0, 1.0, 2.0, 3.0]},
        "matrix": np.zeros((4, 2, 2)),
    }
    foreign(source, {}, {}, infos=infos)
    report = imported(source)
    assert report.lost == (
        "the info deep.force, but for its last value",
        "the info matrix, but for its last value",
    )
    [reader] = readers(report.path)
    assert reader.column("seed").tolist() == [3, 0, 5]
    assert reader.success.tolist() == [0, 0, 1]
    origin = reader.about["origin"]
    assert origin["last_infos"] == {"deep.force": 3.0, "matrix": [[0, 0]] * 2}
    assert origin["episode"] == {"seed": 7}
    assert origin["metadata"] == {"dataset_id": "theirs/door-v2", "algorithm_name": "SAC"}


def edit(source: Path, **values: Any) -> None:
    path = source / "data" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda source: edit(source, total_episodes=10**12), "says it has 1000000000000 episodes"),
        (lambda source: edit(source, total_episodes="two"), "its total_episodes is 'two'"),
        (lambda source: edit(source, observation_space="{}"), "the spaces of .* cannot be read"),
        (lambda source: edit(source, chronosim=[]), "speak of 1 episodes, but chronosim's of 0"),
        (lambda source: edit(source, data_format="csv"), "of the kind 'csv', but hdf5, arrow"),
        (lambda source: (source / "data/main_data.hdf5").write_bytes(b""), "cannot be opened"),
    ],
)
def test_damage_gets_a_sentence(
    source: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    foreign(source, {}, {})
    damage(source)
    refused(source, sentence)


def test_a_state_must_be_there_and_hold_numbers(source: Path) -> None:
    words = ["a", "b", "c", "d"]
    foreign(source, {"state": words}, {"state": gym.spaces.Text(3)})
    refused(source, "no 'sate' for format.state=; it has: rgb, state", state="sate")
    refused(source, "the observation state of .* is Text.*, which holds no vector of numbers")
    assert "the observation state" in imported(source, state=[]).lost


def test_what_is_no_camera_is_named(source: Path) -> None:
    foreign(source, {}, {})
    edit(source, observation_space='{"type": "Discrete", "dtype": "int64", "start": 0, "n": 3}')
    refused(source, r"has no camera, and without frames no episode; it has observations \(Discrete")
    refused(source.parent, "name .*theirs, which looks like format=minari", EpisodeNotFound)
