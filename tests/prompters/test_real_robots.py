"""What prompters for real robots and cars have in common: contract, inverse, words as data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidConfig, InvalidPrompt
from chronosim.prompters.driving_by_speed import DrivingBySpeed
from chronosim.settings import parts as config
from chronosim.testing import check_prompter
from chronosim.types import Observation

FRAME = np.zeros((8, 8, 3), np.uint8)
INVERTIBLE = [
    "driving-by-speed",
    "driving-by-waypoints",
    "manoeuvres",
    "end-effector",
    "bimanual",
    "joints",
    "joints-ur5e",
]


@pytest.mark.parametrize("name", [*INVERTIBLE, "instruction", "events"])
def test_contract(name: str) -> None:
    check_prompter(config.load("prompter", name), samples=60)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_words_are_read_back_to_the_action_they_mean(name: str) -> None:
    prompter = config.load("prompter", name)
    space = prompter.action_space
    space.seed(3)
    observation = Observation(FRAME, prompter.begin({}))
    for _ in range(60):
        action = space.sample()
        text, state = prompter(observation, action)
        read = prompter.read(observation, text)
        assert read in space
        again, state_again = prompter(observation, read)
        assert again == text
        # In metres, radians, m/s and shares: a unit in words is a centimetre, a metre or a degree.
        assert np.abs(state_again - state).max() <= (3 if "way" in name else 0.3)
        observation = Observation(FRAME, state, observation.step + 1)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_words_of_something_else_are_not_read(name: str) -> None:
    prompter = config.load("prompter", name)
    observation = Observation(FRAME, prompter.begin({}))
    space = prompter.action_space
    space.seed(0)
    text, _ = prompter(observation, space.sample())
    for other in ("It rains.", "", text + " It rains.", text.replace(" it ", " it perhaps ", 1)):
        if other != text:
            with pytest.raises(InvalidPrompt):
                prompter.read(observation, other)


def test_the_words_are_data() -> None:
    german = {
        "sentence": "Das Auto fährt {before} km/h. Es {speed} und {turn}.",
        "faster": "beschleunigt auf {} km/h",
        "turn": {"plus": "biegt um {} Grad nach links"},
    }
    prompter = config.load("prompter", "driving-by-speed", wording=german)
    observation = Observation(FRAME, prompter.begin({"speed": 5}))
    text, _ = prompter(observation, [10, 0.2])
    assert text == (
        "Das Auto fährt 18 km/h. Es beschleunigt auf 36 km/h und biegt um 11 Grad nach links."
    )
    assert prompter.read(observation, text) == pytest.approx([10, 0.192], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "wording", "said"),
    [
        ("driving-by-speed", {"sentence": "It {speed}."}, "the sentence needs {before}"),
        ("driving-by-speed", {"faster": "speeds up"}, "faster needs one {}"),
        ("driving-by-speed", {"turn": {"plus": "left"}}, "the wording of turn cannot be"),
        ("driving-by-speed", {"honk": "toot"}, "needs no 'honk'"),
        ("driving-by-waypoints", {"then": ""}, "cannot be empty"),
        ("end-effector", {"move": "moves"}, "move needs one {}"),
        ("end-effector", {"x": {"plus": "{} cm", "minus": "{} cm"}}, "told apart"),
        ("joints", {"gripper": {"ajar": "x"}}, "the gripper has no 'ajar'"),
        ("joints", {"joint": "turns {name} to {after}"}, "the sentence needs"),
        ("joints", {"sentence": "{robot}{joints}; {gripper}"}, "something between them"),
    ],
)
def test_words_that_would_leave_something_out_are_refused(
    name: str, wording: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidConfig) as caught:
        config.load("prompter", name, wording=wording)
    assert said in str(caught.value)


def test_a_wording_that_lacks_words_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="the wording lacks 'sentence'"):
        DrivingBySpeed({})
