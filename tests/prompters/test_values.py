"""Any action worded by a template, as a YAML describes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.values import Values
from chronosim.testing import check_prompter
from chronosim.types import Observation

FRAME = np.zeros((8, 8, 3), np.uint8)
TORQUE = {"torque": {"low": -2.0, "high": 2.0, "scale": 50, "resolution": 5}}
SPEED = {"speed": {"low": -8.0, "high": 8.0, "gain": {"torque": 0.75}}}


def pendulum() -> Values:
    return Values(
        "It turns at {speed:+d} rad/s. Push with {torque:+d}% torque.", TORQUE, SPEED, 0.25
    )


def word(prompter: Values, action: Any, *state: float) -> tuple[str, list[float]]:
    text, after = prompter(Observation(FRAME, np.array(state, np.float32)), action)
    return text, after.tolist()


@pytest.mark.parametrize(
    "prompter",
    [
        pendulum(),
        Values("Push with {torque}% torque.", TORQUE),
        Values("Go {way}.", {"way": ["left", "right"]}),
        Values(
            "At {place} go {way}.",
            {"way": ["left", "right"]},
            {"place": {"low": 0, "high": 9, "start": 5, "gain": {"left": -1, "right": 1}}},
        ),
    ],
    ids=["numbers", "no state", "choices", "choices and state"],
)
def test_contract(prompter: Values) -> None:
    check_prompter(prompter)


def test_numbers_are_worded_in_steps_of_their_own() -> None:
    text, after = word(pendulum(), [-1.26], 2.6)
    assert text == "It turns at +3 rad/s. Push with -65% torque."
    assert after == pytest.approx([2.6 - 1.26 * 0.75], abs=1e-6)


def test_the_state_stays_in_its_range_and_may_fade() -> None:
    assert word(pendulum(), [2.0], 7.9)[1] == [8.0]
    fading = Values("Push with {torque} percent.", TORQUE, {
        "speed": {"low": -8.0, "high": 8.0, "keep": 0.5, "gain": {"torque": 1.0}}
    })  # fmt: skip
    assert word(fading, [1.0], 4.0)[1] == [3.0]


def test_choices_are_named_and_move_the_state() -> None:
    prompter = Values(
        "Go {way}.",
        {"way": ["to the left", "on"]},
        {"place": {"low": 0, "high": 9, "start": 5, "gain": {"to the left": -2}}},
    )
    assert word(prompter, 0, 5.0) == ("Go to the left.", [3.0])
    assert word(prompter, np.int64(1), 5.0) == ("Go on.", [5.0])
    assert prompter.begin({}).tolist() == [5.0]
    for wrong in (2, -1, 0.5, True, "on", [0]):
        with pytest.raises(InvalidAction, match=r"one of 0 \(to the left\), 1 \(on\)"):
            word(prompter, wrong, 5.0)


def test_an_episode_begins_with_named_values_in_their_range() -> None:
    assert pendulum().begin({"speed": -3}).tolist() == [-3.0]
    with pytest.raises(InvalidConfig, match="speed must lie from -8 to 8, not 9"):
        pendulum().begin({"speed": 9})


@pytest.mark.parametrize(
    ("template", "action", "state", "said"),
    [
        ("Push.", TORQUE, {}, "leaves out 'torque'"),
        ("Push {torqe}.", TORQUE, {}, "names 'torqe', but there are: torque"),
        ("Push {torque", TORQUE, {}, "cannot be read"),
        ("Push {torque:q}", TORQUE, {}, "cannot be filled"),
        ("Push {torque:d}{speed}.", TORQUE, SPEED, "runs two numbers together"),
        ("Push {torque} \u2019hard\u2019", TORQUE, {}, "must be plain text"),
        ("Go {way}.", {"way": ["left"]}, {}, "two or more different choices"),
        ("Go {way} {torque}.", {"way": ["left", "right"], **TORQUE}, {}, "one or more numbers"),
        ("Go.", {}, {}, "one or more numbers"),
        ("{a}", {"a": {"low": 1, "high": 1}}, {}, "a cannot be .*from low to high"),
        ("{a}", {"a": {"low": 0, "high": 1, "resolution": 0}}, {}, "resolution"),
        ("{a}", {"a": {"low": 0, "hihg": 1}}, {}, "a cannot be .*hihg"),
        (
            "{torque}",
            TORQUE,
            {"speed": {"low": 0, "high": 1, "gain": {"thrust": 1}}},
            "speed cannot gain by 'thrust'; the action has: torque",
        ),
        ("{torque}", TORQUE, {"speed": {"low": 1, "high": 2}}, "speed must lie from 1 to 2, not 0"),
    ],
)
def test_what_cannot_be_is_said_when_it_is_made(
    template: str, action: Any, state: Any, said: str
) -> None:
    with pytest.raises(InvalidConfig, match=said):
        Values(template, action, state)


@pytest.mark.parametrize(
    ("action", "state", "said"),
    [
        ({"t": "left"}, {}, "t is a number with its range or a list of choices, not 'left'"),
        (
            {"t": {"low": 0, "high": 1}},
            {"s": {"low": 0, "high": 1, "gain": None}},
            "the gain of s is numbers by name, not None",
        ),
    ],
)
def test_settings_of_another_kind_are_refused(action: Any, state: Any, said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        Values("Push {t}.", action, state)
