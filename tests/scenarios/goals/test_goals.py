"""What can count: each criterion on frames where the answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidConfig, InvalidFrame, JudgementFailed
from chronosim.frames import write_frame
from chronosim.scenarios.goals.appearance import ColourShare, LikeFrame
from chronosim.scenarios.goals.board import BlockAway, BlockGone, GoalCovered
from chronosim.scenarios.goals.criterion import AllOf, AnyOf, Criterion, Not, in_words
from chronosim.scenarios.goals.judged import InWords
from chronosim.scenarios.goals.road import Moving, OnRoad, RoadBends, RoadLost, road_angle
from chronosim.scenarios.goals.state import CommandedState
from chronosim.scenarios.starts import load_starts
from chronosim.types import Frame, Observation, Prediction

STARTS = Path(__file__).parents[3] / "scenarios" / "starts"


def grey(level: int, size: int = 96) -> Frame:
    return np.full((size, size, 3), level, np.uint8)


def judge(criterion: Criterion, after: Frame, before: Frame | None = None, *state: float) -> float:
    seen = Observation(after if before is None else before)
    kept = Observation(after, np.array(state, np.float32), 1)
    return criterion(seen, Prediction(after[None]), kept)


class Oracle:
    """Says what it was told to say, and remembers what it was asked."""

    name = "oracle"

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int]] = []

    def ask(self, question: str, frames: Sequence[Frame]) -> str:
        self.asked.append((question, len(frames)))
        return self.answer


def level(value: float) -> Criterion:
    def says(before: Observation, prediction: Prediction, after: Observation) -> float:
        """It is so."""
        return value

    return says


def test_colours_count_within_their_region() -> None:
    frame = grey(0)
    frame[48:, 48:72] = (200, 30, 30)
    red: dict[str, Any] = {"colour": [210, 20, 20], "tolerance": 20}
    assert judge(ColourShare(**red, region=[0.5, 0.5, 1, 1]), frame) == 0.5
    assert judge(ColourShare(**red, region=[0.5, 0.5, 1, 1], share=0.5), frame) == 1.0
    assert judge(ColourShare(**red, region=[0, 0, 0.5, 1]), frame) == 0.0
    assert judge(ColourShare([210, 20, 20], tolerance=5), frame) == 0.0
    assert judge(ColourShare(**red, region=[0.9, 0.6, 0.901, 0.601]), frame) == 1.0  # one pixel


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"colour": [1, 2]}, "three numbers"),
        ({"colour": [0, 0, 256]}, "three numbers"),
        ({"colour": [0, 0, 0], "share": 0}, "above 0"),
        ({"colour": [0, 0, 0], "region": [0, 0, 0, 1]}, "top, left, bottom and right"),
        ({"colour": [0, 0, 0], "region": [0, 1]}, "top, left, bottom and right"),
        ({"colour": [0, 0, 0], "tolerance": 300}, "tolerance"),
    ],
)
def test_colours_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        ColourShare(**settings)


def test_a_goal_frame_is_approached(tmp_path: Path) -> None:
    write_frame(tmp_path / "goal.png", grey(100, 192))
    like = LikeFrame(tmp_path / "goal.png", near=10, far=50)
    assert judge(like, grey(105)) == 1.0
    assert judge(like, grey(130)) == pytest.approx(0.5)
    assert judge(like, grey(200)) == 0.0


def test_a_goal_frame_by_a_measure_of_ones_own(tmp_path: Path) -> None:
    write_frame(tmp_path / "goal.png", grey(100))

    class Clip:
        name = "CLIP"

        def compare_frames(self, before: Frame, after: Frame) -> float:
            return 1 - abs(int(before.mean()) - int(after.mean())) / 100

    class Lpips:
        name = "LPIPS"

        def __call__(self, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
            return np.abs(predicted.mean((1, 2, 3)) - true.mean((1, 2, 3))) / 100

    for by in (Clip(), Lpips()):
        like = LikeFrame(tmp_path / "goal.png", near=0.1, far=0.5, by=by)
        assert judge(like, grey(130)) == pytest.approx(0.5)
        assert by.name in str(like)
    with pytest.raises(InvalidConfig, match="compared by"):
        LikeFrame(tmp_path / "goal.png", near=0.1, far=0.5, by="lpips")


@pytest.mark.parametrize(
    ("frame", "near", "error", "said"),
    [
        (None, 1, InvalidFrame, r"give scenario\.goal\.frame"),
        ("nowhere.png", 1, InvalidFrame, "no image at nowhere.png"),
        ("nowhere.png", 9, InvalidConfig, "below far"),
    ],
)
def test_a_goal_frame_that_is_missing(
    frame: str | None, near: float, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        LikeFrame(frame, near=near, far=5)


def test_a_judge_is_asked_about_what_was_what_is_and_the_way() -> None:
    yes = Oracle("**Yes**, it has.")
    assert judge(InWords("Has it stopped?", yes), grey(1)) == 1.0
    assert yes.asked[0][1] == 2
    assert "Has it stopped?" in yes.asked[0][0]
    seen = Observation(grey(1))
    InWords("Has it stopped?", yes)(seen, Prediction(np.stack([grey(1)] * 9)), seen)
    assert yes.asked[1][1] == 3
    assert judge(InWords("Has it?", Oracle("no")), grey(1)) == 0.0
    assert judge(InWords("Has it?"), grey(1)) == 0.0
    with pytest.raises(JudgementFailed, match=r"'Has it\?'.*'Nobody knows"):
        judge(InWords("Has it?", Oracle("Nobody knows.")), grey(1))
    with pytest.raises(InvalidConfig, match="needs a question"):
        InWords(" ")


def test_the_road() -> None:
    on, off = (load_starts(STARTS / f"{name}.npz") for name in ("carracing", "carracing-off-road"))
    assert all(judge(OnRoad(), frame) == 1.0 for frame in on.frames)
    assert all(judge(OnRoad(), frame) < 0.5 for frame in off.frames)
    assert all(judge(RoadLost(), frame) == 0.0 for frame in (*on.frames, *off.frames))
    grass = np.full((96, 96, 3), (100, 204, 100), np.uint8)
    assert judge(RoadLost(), grass) == 1.0
    assert judge(RoadBends(), grass) == 0.0
    assert judge(Moving(), on.frames[0], on.frames[0]) == 0.0
    assert judge(Moving(), on.frames[1], on.frames[0]) == 1.0


def test_bends_are_told_from_straights() -> None:
    frame = np.full((96, 96, 3), (100, 204, 100), np.uint8)
    frame[:84, 44:53] = 102
    assert road_angle(frame) == pytest.approx(0, abs=2)
    assert judge(RoadBends(most=6), frame) == 1.0
    for row in range(71, -1, -1):
        frame[row] = (100, 204, 100)
        middle = 48 + (71 - row)
        frame[row, max(0, middle - 5) : middle + 5] = 102
    assert road_angle(frame) == pytest.approx(45, abs=3)
    assert judge(RoadBends(least=30), frame) == 1.0
    assert judge(RoadBends(most=6), frame) == 0.0


def test_the_board() -> None:
    near, far = (load_starts(STARTS / f"pusht-{name}.npz").frames[:3] for name in ("near-goal", "far-goal"))  # fmt: skip # noqa: E501
    for frame in near:
        assert 0.2 < judge(GoalCovered(), frame) < 1
        assert judge(BlockAway(most=60), frame) == 1.0
        assert judge(BlockGone(), frame) == 0.0
    for frame in far:
        assert judge(GoalCovered(), frame) == 0.0
        assert judge(BlockAway(least=140), frame) == 1.0
    assert judge(BlockGone(), grey(255)) == 1.0
    assert judge(BlockAway(), grey(255)) == 0.0


def test_the_commanded_state() -> None:
    still = CommandedState(1, 0, 0.5, "speed")
    assert judge(still, grey(0), None, 9.0, 0.2) == 1.0
    assert judge(still, grey(0), None, 9.0, 0.6) == 0.0
    with pytest.raises(InvalidConfig, match="number 1 of the state, but this prompter keeps 1"):
        judge(still, grey(0), None, 9.0)


def test_criteria_combine() -> None:
    half, whole = level(0.5), level(1.0)
    assert judge(AllOf([half, whole]), grey(0)) == 0.5
    assert judge(AnyOf([half, whole]), grey(0)) == 1.0
    assert judge(Not(half), grey(0)) == 0.5
    with pytest.raises(InvalidConfig, match="needs at least one"):
        AllOf([])


def test_all_are_said_in_plain_words() -> None:
    assert in_words(level(1)) == "It is so"
    said = AnyOf([AllOf([OnRoad(), Moving()]), RoadLost()])
    assert in_words(said) == (
        "all wheels are on the road and the car moves or no road is left within ten metres of the "
        "car"
    )
    assert str(ColourShare([255, 0, 0], 0.25, name="red")) == "red fills 25% of the frame"
    assert str(GoalCovered()) == "the T covers 95% of its goal"
