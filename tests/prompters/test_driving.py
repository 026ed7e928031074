from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.driving import Driving
from chronosim.testing import check_prompter
from chronosim.types import Observation

FRAME = np.zeros((96, 96, 3), np.uint8)


def at(speed: float) -> Observation:
    return Observation(FRAME, np.array([speed], np.float32))


def word(action: list[float], speed: float = 10.0) -> tuple[str, float]:
    text, state = Driving()(at(speed), np.array(action, np.float32))
    return text, float(state[0])


def test_contract() -> None:
    check_prompter(Driving(), samples=100)
    check_prompter(Driving(foretells=True), samples=100)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ([0, 0, 0], "Steer straight with 0% throttle and 0% brake."),
        ([-0.35, 0.1, 0], "Steer 35% left with 10% throttle and 0% brake."),
        ([1, 0, 0.25], "Steer 100% right with 0% throttle and 25% brake."),
        ([0.024, 0.976, 1], "Steer straight with 100% throttle and 100% brake."),
    ],
)
def test_words(action: list[float], words: str) -> None:
    assert word(action, 21.4)[0] == f"The car drives at 21 m/s. {words}"


@pytest.mark.parametrize(
    ("action", "speed", "words"),
    [
        ([0, 0, 1], 17.2, "The car goes from 17 to 0 m/s, 3 m ahead."),
        ([0, 0, 0], 0.0, "The car goes from 0 to 0 m/s, 0 m ahead."),
        ([0.5, 0, 0], 20.0, "The car goes from 20 to 19 m/s, 7 m ahead."),
    ],
)
def test_words_that_foretell_what_changes(action: list[float], speed: float, words: str) -> None:
    text, after = Driving(foretells=True)(at(speed), np.array(action, np.float32))
    plain, same = Driving()(at(speed), np.array(action, np.float32))
    assert text.startswith(f"{words} Steer ")
    assert text.partition(" Steer ")[2] == plain.partition(" Steer ")[2]
    assert after == same


def test_dead_reckoning() -> None:
    assert word([0, 0, 0])[1] == pytest.approx(10, abs=1e-5)  # it coasts
    assert word([0, 0.5, 0])[1] > 20
    assert word([1, 0, 0])[1] == pytest.approx(10 * np.exp(-0.2 * 0.36), rel=1e-2)
    assert word([0, 0, 0.5])[1] == 0.0  # and never backwards
    assert word([0, 1, 0], 57)[1] == 58


def test_beginning() -> None:
    prompter = Driving()
    assert prompter.begin({}).tolist() == [0.0]
    assert prompter.begin({"speed": 12.5}).tolist() == [12.5]
    with pytest.raises(InvalidConfig, match=r"'heading'.*speed"):
        prompter.begin({"heading": 1.0})


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ([0, 0], r"shape \(3,\), not \(2,\)"),
        ([0, np.nan, 0], "finite, not"),
        ([-2, 0, 0], "between"),
        ("left", "3 numbers, not 'left'"),
    ],
)
def test_wrong_actions(action: Any, sentence: str) -> None:
    with pytest.raises(InvalidAction, match=sentence):
        Driving()(at(10), action)


@pytest.mark.parametrize("speed", [-1.0, 58.5, float("nan")])
def test_a_start_faster_than_can_be_told_is_refused(speed: float) -> None:
    with pytest.raises(InvalidConfig, match="speed must lie from 0 to 58, not"):
        Driving().begin({"speed": speed})
