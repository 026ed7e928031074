"""Cars by speed and yaw rate, by waypoints and by manoeuvres: words, units and dead reckoning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.settings import parts as config
from chronosim.types import Observation

FRAME = np.zeros((8, 8, 3), np.uint8)


def word(prompter: Any, action: Any, **values: float) -> tuple[str, list[float]]:
    text, state = prompter(Observation(FRAME, prompter.begin(values)), action)
    return text, state.tolist()


@pytest.mark.parametrize(
    ("speed", "action", "words"),
    [
        (0, [0, 0], "0 km/h. It stands still and keeps straight."),
        (10, [10, 0], "36 km/h. It keeps its speed and keeps straight."),
        (10, [0, 0], "36 km/h. It brakes to a stop and keeps straight."),
        (10, [5, 0.1], "36 km/h. It slows down to 18 km/h and turns left by 6 degrees."),
        (
            10,
            [20, -0.5],
            "36 km/h. It speeds up to 72 km/h and turns right by 29 degrees.",
        ),
    ],
)
def test_speed_and_yaw_rate(speed: float, action: list[float], words: str) -> None:
    prompter = config.load("prompter", "driving-by-speed")
    text, state = word(prompter, action, speed=speed)
    assert text == f"The car drives at {words}"
    assert state == pytest.approx(action, abs=1e-6)  # of one second: the heading is the yaw rate


def test_the_heading_goes_round_and_the_step_counts() -> None:
    prompter = config.load("prompter", "driving-by-speed", seconds_per_step=2.0)
    assert word(prompter, [5, 0.5], heading=3.0)[1][1] == pytest.approx(4.0 - 2 * math.pi)


def test_waypoints_are_seen_from_the_car_and_kept_from_the_beginning() -> None:
    prompter = config.load("prompter", "driving-by-waypoints", points=2)
    text, state = word(prompter, [5, 0, 10, 2], speed=5)
    assert text == (
        "The car drives at 18 km/h and follows this path: 5 m ahead, then 10 m ahead and 2 m to "
        "the left."
    )
    heading = math.atan2(2, 5)
    assert state == pytest.approx([10, 2, heading, math.hypot(5, 2)], abs=1e-5)
    # Ahead of a car that faces left is to the left of where it began.
    _, state = word(prompter, [5, 0, 10, 0], x=1, y=1, heading=math.pi / 2)
    assert state[:3] == pytest.approx([1, 11, math.pi / 2], abs=1e-5)
    text, state = word(prompter, [0, 0, 0, 0], heading=1)
    assert "this path: where it stands, then where it stands." in text
    assert state == pytest.approx([0, 0, 1, 0])


def test_manoeuvres_change_the_speed_within_its_limits() -> None:
    prompter = config.load("prompter", "manoeuvres")
    names = list(prompter.manoeuvres)
    text, state = word(prompter, names.index("stop"), speed=10)
    assert text == "The car drives at 36 km/h. It brakes hard until it stands still."
    assert state == [0.0]
    assert word(prompter, np.int64(names.index("faster")), speed=39)[1] == [40.0]
    assert word(prompter, names.index("change-left"), speed=7)[1] == [7.0]


@pytest.mark.parametrize(
    ("name", "action", "said"),
    [
        ("driving-by-speed", [41, 0], "between"),
        ("driving-by-speed", [1, 0.9], "between"),
        ("driving-by-speed", [1], "shape"),
        ("driving-by-waypoints", [-1, 0] * 4, "between"),
        ("driving-by-waypoints", [[1, 0]] * 4, "shape"),
        ("manoeuvres", 10, r"one of 0 \(keep\), 1 \(faster\)"),
        ("manoeuvres", True, "one of"),
        ("manoeuvres", "stop", "one of"),
    ],
)
def test_actions_beyond_the_limits_are_refused(name: str, action: Any, said: str) -> None:
    with pytest.raises(InvalidAction, match=said):
        word(config.load("prompter", name), action)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("driving-by-speed", {"top_speed": 0}, "top_speed must be a number above 0"),
        ("driving-by-speed", {"seconds_per_step": math.nan}, "seconds_per_step"),
        ("driving-by-waypoints", {"points": 0}, "points"),
        ("manoeuvres", {"manoeuvres": {"keep": {"words": "speeds up in its lane"}}}, "two or more"),
        ("manoeuvres", {"manoeuvres": {"a": {"word": "x"}}}, "'a' needs words"),
    ],
)
def test_limits_that_are_none(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        config.load("prompter", name, **settings)


def test_a_start_out_of_bounds_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="speed must lie from 0 to 40, not 41"):
        config.load("prompter", "driving-by-speed").begin({"speed": 41})
