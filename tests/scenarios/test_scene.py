"""Scenarios put together from first frames, a goal and a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeWriter, Step
from chronosim.errors import ChronosimError, InvalidConfig, InvalidEpisode, InvalidFrame
from chronosim.frames import write_frame
from chronosim.prompters.instruction import Instruction
from chronosim.scenarios.scene import Scene, explain
from chronosim.settings import parts as config
from chronosim.testing import check_scenario
from chronosim.types import Frame, Observation, Prediction


def grey(level: int, height: int = 16, width: int = 16) -> Frame:
    return np.full((height, width, 3), level, np.uint8)


def bright(before: Observation, prediction: Prediction, after: Observation) -> float:
    """The frame is bright."""
    return min(float(after.frame.mean()) / 200, 1.0)


def dark(before: Observation, prediction: Prediction, after: Observation) -> float:
    """The frame is dark."""
    return float(after.frame.mean() < 20)


def score(scene: Scene, level: int) -> tuple[float, bool]:
    after = Observation(grey(level), step=1)
    return scene.score(Observation(grey(100)), None, Prediction(after.frame[None]), after)


def begin(scene: Scene, seed: int = 0) -> tuple[Frame, dict[str, float]]:
    frame, values = scene.begin(np.random.default_rng(seed))
    return frame, dict(values)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    write_frame(tmp_path / "photo.png", grey(100))
    return tmp_path / "photo.png"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """An episode whose state is the level of grey, 10 to 12."""
    path, first = tmp_path / "set" / "0000000", np.array([10], np.float32)
    after = Observation(grey(10), first)
    with EpisodeWriter(path, after, {}) as writer:
        for step in (1, 2):
            before, after = after, Observation(grey(10 + step), first + step, step)
            writer.append(
                Step(before, 0, "Go.", 0, Prediction(after.frame[None]), after, 0.0, False, False)
            )
    return tmp_path / "set"


def test_contract(photo: Path) -> None:
    check_scenario(Scene(photo, bright, dark), Instruction())


def test_goal_failure_and_end(photo: Path) -> None:
    scene = Scene(photo, bright, dark)
    assert score(scene, 100) == (0.5, False)
    assert score(scene, 200) == (1.0, True)
    assert score(scene, 10) == (0.0, True)
    assert score(Scene(photo, bright, ends=False), 200) == (1.0, False)
    assert score(Scene(photo), 200) == (0.0, False)


def test_questions_are_for_the_judge(photo: Path) -> None:
    class Sees:
        def ask(self, question: str, frames: Any) -> str:
            light = frames[-1].mean() > 50
            return "yes" if ("light" in question) == light else "no"

    scene = Scene(photo, "Is it light?", "Is it night?", judge=Sees())
    assert score(scene, 100) == (1.0, True)
    assert score(scene, 10) == (0.0, True)
    assert score(Scene(photo, "Is it light?"), 100) == (0.0, False)
    said = explain("Is it light?", dark)
    assert "a judge says yes to: Is it light? (nobody is asked" in said["goal"]
    assert said["failure"] == "The frame is dark"
    assert explain(None, None) == {"goal": "nothing: every reward is 0", "failure": "nothing"}


def test_a_photo_is_fitted_once(tmp_path: Path) -> None:
    write_frame(tmp_path / "photo.jpg", grey(100, 90, 160))
    assert begin(Scene(tmp_path / "photo.jpg", size=[32, 48]))[0].shape == (32, 48, 3)
    frame, values = begin(Scene(tmp_path / "photo.jpg", size="fit", area=9216, values={"speed": 3}))
    assert frame.shape == (64, 128, 3)
    assert values == {"speed": 3.0}


def test_a_folder_of_photos_of_one_size(tmp_path: Path) -> None:
    write_frame(tmp_path / "a.png", grey(10))
    write_frame(tmp_path / "b.jpg", grey(200, 32, 32))
    with pytest.raises(InvalidFrame, match=r"must be of one size.*give size="):
        Scene(tmp_path)
    scene = Scene(tmp_path, size=[16, 16])
    assert {int(begin(scene, seed)[0].mean()) for seed in range(9)} == {10, 200}


def test_recordings_begin_at_a_step_or_at_any(dataset: Path) -> None:
    for path in (dataset, dataset / "0000000"):
        frame, values = begin(Scene(path, names=["x"], step=2))
        assert (int(frame.mean()), values) == (12, {"x": 12.0})
    scene = Scene(dataset, names=["x"])
    assert {begin(scene, seed)[1]["x"] for seed in range(9)} == {10.0, 11.0}  # not where it ended


def test_only_beginnings_that_fit(dataset: Path) -> None:
    scene = Scene(dataset, names=["x"], between={"x": [11, 20]})
    assert {begin(scene, seed)[1]["x"] for seed in range(9)} == {11.0}

    def light(before: Observation, prediction: Prediction, after: Observation) -> float:
        return float(after.frame.mean() >= 11)

    assert {begin(Scene(dataset, names=["x"], where=light), s)[1]["x"] for s in range(9)} == {11.0}


def test_rows_are_mirrored(tmp_path: Path) -> None:
    frame = grey(0)
    frame[:, :4] = 255
    write_frame(tmp_path / "photo.png", frame)
    mirrored, _ = begin(Scene(tmp_path / "photo.png", mirrored=10))
    assert np.array_equal(mirrored[:10], frame[:10, ::-1])
    assert np.array_equal(mirrored[10:], frame[10:])


def test_what_must_hold_holds_of_the_mirrored_frame(tmp_path: Path) -> None:
    frame = grey(0)
    frame[:, :4] = 255
    write_frame(tmp_path / "photo.png", frame)

    def left_is_bright(before: Any, prediction: Any, after: Observation) -> float:
        """The left is bright."""
        return float(after.frame[:, :4].mean() > 200)

    with pytest.raises(InvalidConfig, match="no beginning"):
        Scene(tmp_path / "photo.png", mirrored=16, where=left_is_bright)


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"frame": None, "wants": "a kettle"}, InvalidFrame, r"a kettle: give scenario\.frame="),
        ({"frame": "nowhere.png"}, InvalidFrame, "nothing to begin with at nowhere.png.*carracing"),
        ({"frame": "PHOTO", "step": 3}, InvalidConfig, "step=3 means nothing"),
        ({"frame": "carracing", "values": {"speed": 3}}, InvalidConfig, "values=.*means nothing"),
        ({"frame": "PHOTO", "size": "big"}, InvalidConfig, "size must be fit, or"),
        ({"frame": "PHOTO", "size": [30, 30]}, InvalidConfig, "multiples of 16"),
        ({"frame": "PHOTO", "horizon": 0}, InvalidConfig, "horizon"),
        ({"frame": "PHOTO", "mirrored": -1}, InvalidConfig, "mirrored"),
        ({"frame": "PHOTO", "between": {"speed": [0, 1]}}, InvalidConfig, "begins with: no values"),
        (
            {"frame": "carracing", "between": {"speed": [90, 99]}},
            InvalidConfig,
            "no beginning with",
        ),
        ({"frame": "PHOTO", "where": dark}, InvalidConfig, "no beginning with where The frame is"),
        ({"frame": "PHOTO", "goal": " "}, InvalidConfig, "needs a question"),
        ({"frame": "SET"}, InvalidEpisode, "name them all"),
        ({"frame": "SET", "names": ["x"], "step": 9}, InvalidEpisode, "0 to 2, but no step 9"),
        ({"frame": "SET", "names": ["x"], "values": {"x": 1}}, InvalidConfig, "is a recording"),
    ],
)
def test_what_cannot_be(
    settings: dict[str, Any],
    error: type[ChronosimError],
    said: str,
    photo: Path,
    dataset: Path,
) -> None:
    places = {"PHOTO": photo, "SET": dataset}
    with pytest.raises(error, match=said):
        Scene(**{**settings, "frame": places.get(settings["frame"], settings["frame"])})


PHOTO = [n for n in config.names("scenario") if config.describe("scenario", n).get("wants")]
SHIPPED = [name for name in config.names("scenario") if name not in (*PHOTO, "recorded")]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_scenario_keeps_the_contract(name: str) -> None:
    companion = config.companion("scenario", name, "prompter")
    assert companion is not None
    prompter = config.load("prompter", companion)
    check_scenario(config.load("scenario", name), prompter, samples=1)


@pytest.mark.parametrize("name", sorted({*PHOTO} - {"goal-frame"}))
def test_what_a_photo_begins_can_be_done_as_planned(name: str, photo: Path) -> None:
    companion = config.companion("scenario", name, "prompter")
    prompter = config.load("prompter", companion or "driving-by-speed")
    judge = {"judge": None} if "judge" in config.describe("scenario", name) else {}
    scenario = config.load("scenario", name, frame=photo, goal=None, failure=None, **judge)
    frame, values = scenario.begin(np.random.default_rng(0))
    assert frame.shape[0] * frame.shape[1] == pytest.approx(720 * 1280, rel=0.05)
    observation = Observation(frame, prompter.begin(values))
    for action in scenario.plan:
        action = np.array(action, np.float32) if np.ndim(action) else action
        assert prompter(observation, action)[0]


def test_there_are_enough_and_they_differ() -> None:
    assert len(SHIPPED) >= 12
    assert len(config.names("scenario")) >= 20
    speeds = [begin(config.load("scenario", "carracing-fast"), s)[1]["speed"] for s in range(20)]
    assert min(speeds) >= 23
    usual, _ = begin(config.load("scenario", "carracing"), 1)
    mirrored, _ = begin(config.load("scenario", "carracing-mirrored"), 1)
    assert np.array_equal(mirrored[:84], usual[:84, ::-1])
    assert np.array_equal(mirrored[84:], usual[84:])


@pytest.mark.parametrize(
    "name", [n for n in config.names("scenario") if n.startswith(("kitchen-", "street-", "table-"))]
)
def test_photo_scenarios_run_once_the_photo_is_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidFrame, match=r"a frame of yours, .*: give scenario\.frame=photo\.jpg"
    ):
        config.load("scenario", name)
    write_frame(tmp_path / "photo.jpg", grey(90, 120, 160))
    scene = config.load("scenario", name, frame=str(tmp_path / "photo.jpg"), area=96 * 96)
    companion = config.companion("scenario", name, "prompter")
    assert companion is not None
    prompter = config.load("prompter", companion)
    check_scenario(scene, prompter, samples=1)
    frame, values = begin(scene)
    seen = Observation(frame, prompter.begin(values))
    for step, action in enumerate(scene.plan):
        text, state = prompter(seen, action)
        assert text.endswith(".")
        seen = Observation(frame, state, step + 1)
