"""Robot arms by gripper, by joints, and two at once: words, axes, limits and dead reckoning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.bimanual import Bimanual
from chronosim.prompters.end_effector import compose
from chronosim.settings import parts as config
from chronosim.types import Observation

FRAME = np.zeros((8, 8, 3), np.uint8)


def word(prompter: Any, action: Any, **values: float) -> tuple[str, list[float]]:
    text, state = prompter(Observation(FRAME, prompter.begin(values)), action)
    return text, state.tolist()


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (
            [0, 0, 0, 0, 0, 0, 1],
            "holds its gripper still; it keeps the gripper as it is.",
        ),
        (
            [0.05, 0, -0.03, 0, 0, 0, 0],
            "moves its gripper 5 cm forward and 3 cm down; it closes the gripper.",
        ),
        (
            [0, 0.1, 0, 0, 0, 0.26, 0.5],
            "moves its gripper 10 cm to the left and turns it 15 degrees counterclockwise; "
            "it sets the gripper to 50% open.",
        ),
        (
            [0, 0, 0, 0.2, -0.2, -0.2, 1],
            "turns it 10 degrees over to the right, 10 degrees nose up and 10 degrees clockwise; "
            "it keeps the gripper as it is.",
        ),
    ],
)
def test_end_effector(action: list[float], words: str) -> None:
    text, state = word(config.load("prompter", "end-effector"), action)
    assert text == f"The robot arm {words}"
    expected = np.add([0.4, 0, 0.3, 0, 0, 0], action[:6])
    assert state == pytest.approx([*expected, action[6]], abs=1e-6)


def test_the_gripper_stops_at_the_edge_and_the_words_say_so() -> None:
    prompter = config.load("prompter", "end-effector")
    text, state = word(prompter, [0.1, 0, 0, 0, 0, 0, 1], x=0.76)
    assert "4 cm forward" in text
    assert state[0] == pytest.approx(0.8)


def test_rotations_are_composed_about_the_bases_axes() -> None:
    quarter = math.pi / 2
    # Left about z, then over about x: the axes of the base, so the second is not turned along.
    turned = compose(np.array([quarter, 0, 0]), np.array([0, 0, quarter]))
    assert turned == pytest.approx(np.array([1, -1, 1]) * (2 * math.pi / 3 / math.sqrt(3)))
    assert compose(-turned, turned) == pytest.approx(np.zeros(3), abs=1e-9)
    full = compose(np.array([0, 0, 3.0]), np.array([0, 0, 3.0]))
    assert full == pytest.approx([0, 0, 6 - 2 * math.pi])


def test_joints_of_a_named_robot() -> None:
    prompter = config.load("prompter", "joints")
    home = prompter.begin({}).tolist()
    target = [*home[:3], home[3] + math.radians(20), *home[4:7], 0.0]
    text, state = word(prompter, target)
    assert text == (
        "The Franka Panda turns its elbow joint from -135 to -115 degrees; it closes its gripper."
    )
    assert state == pytest.approx(target)
    assert word(prompter, home)[0].startswith("The Franka Panda holds its joints still;")
    with pytest.raises(InvalidAction, match="between"):
        word(prompter, [*home[:3], 0.0, *home[4:]])  # the elbow does not straighten
    with pytest.raises(InvalidConfig, match=r"elbow must lie from .* not 0"):
        prompter.begin({"elbow": 0})


def test_two_arms_keep_apart() -> None:
    prompter = config.load("prompter", "bimanual")
    still = [0, 0, 0, 0, 0, 0]
    text, state = word(prompter, [0.05, 0, 0, 0, 0, 0, 1, *still, 0], right_z=0.1)
    assert text == (
        "Left arm: it moves 5 cm forward; it keeps its gripper as it is. "
        "Right arm: it holds still; it closes its gripper."
    )
    assert state[:3] == pytest.approx([0.45, 0, 0.3])
    assert state[7:10] == pytest.approx([0.4, 0, 0.1])
    with pytest.raises(InvalidConfig, match="begins with left_ or right_, not 'z'"):
        prompter.begin({"z": 0.1})


def test_arms_that_do_not_go_together() -> None:
    arm = config.load("prompter", "end-effector")
    slow = config.load("prompter", "end-effector", seconds_per_step=2.0)
    with pytest.raises(InvalidConfig, match=r"equally long, not 1\.0 and 2\.0 s"):
        Bimanual(arm, slow)
    with pytest.raises(InvalidConfig, match="right arm's actions must be vectors"):
        Bimanual(arm, config.load("prompter", "manoeuvres"))
    mixed = Bimanual(slow, config.load("prompter", "driving", seconds_per_step=2.0))
    text, _ = word(mixed, [*[0] * 7, 0, 0, 0])
    with pytest.raises(InvalidConfig, match="right arm's prompter reads no words"):
        mixed.read(Observation(FRAME, mixed.begin({})), text)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workspace": {"w": [0, 1]}}, "least and most of x, y and z"),
        ({"workspace": {"x": [1, 0], "y": [0, 1], "z": [0, 1]}}, "least and most"),
        ({"home": [0.0] * 6}, "home must be 7 numbers"),
        ({"home": [0.9, 0, 0.3, 0, 0, 0, 1]}, "x must lie from 0.2 to 0.8, not 0.9"),
        ({"largest_move": 0}, "largest_move"),
    ],
)
def test_an_arm_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        config.load("prompter", "end-effector", **settings)
