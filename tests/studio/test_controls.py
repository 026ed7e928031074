import json
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.settings import parts as config
from chronosim.studio.controls import describe_controls, read_action, suggest_actions
from chronosim.types import Observation, State

NEED_MORE = {"values", "events"}  # than a name: a template, another prompter


def controls(name: str) -> dict[str, Any]:
    prompter = config.load("prompter", name)
    first = Observation(np.zeros((16, 16, 3), np.uint8), prompter.begin({}))
    described = describe_controls(prompter, first)
    assert described["kind"] in ("drive", "place", "words", "choice", "numbers")
    return described


@pytest.mark.parametrize("name", sorted(set(config.names("prompter")) - NEED_MORE))
def test_every_prompter_can_be_driven(name: str) -> None:
    controls(name)


def test_worlds_that_nano_knows_are_driven_by_keys_and_clicks() -> None:
    assert controls("driving")["kind"] == "drive"
    assert controls("pushing") == {"kind": "place", "side": 512.0, "state": ["x", "y"]}


@pytest.mark.parametrize("name", ["end-effector", "joints", "bimanual", "driving-by-speed"])
def test_sliders_and_states_have_names_and_units(name: str) -> None:
    described = controls(name)
    assert len(described["names"]) == len(described["low"])
    prompter = config.load("prompter", name)
    assert len(described["state"]) == prompter.state_space.shape[0]
    units = {label.partition(", ")[2] for label in described["names"]}
    assert units <= {"m", "rad", "m/s", "rad/s", ""}
    assert units & {"m", "rad"} or "m/s" in units


@pytest.mark.parametrize("name", sorted(set(config.names("prompter")) - NEED_MORE))
def test_what_a_prompter_suggests_can_be_done(name: str) -> None:
    prompter = config.load("prompter", name)
    first = Observation(np.zeros((16, 16, 3), np.uint8), prompter.begin({}))
    for _, action in suggest_actions(prompter, first):
        read = read_action(prompter.action_space, json.loads(json.dumps(action)))
        prompter(first, read)


def test_choices_are_named_by_their_words() -> None:
    words = controls("manoeuvres")["words"]
    assert len(set(words)) == len(words) > 1


def test_actions_are_read_as_the_space_has_them() -> None:
    box, text = gym.spaces.Box(0, 1, (2,)), gym.spaces.Text(9)
    assert read_action(box, [0, 0.5]).dtype == np.float32
    assert read_action(text, "éß") == "éß"
    assert read_action(gym.spaces.Discrete(3, start=5), 7) == 7
    for space, given in ((box, "x"), (text, 3), (gym.spaces.Discrete(3), 3)):
        with pytest.raises(InvalidAction):
            read_action(space, given)


def test_what_no_page_can_give_is_said() -> None:
    prompter, first = Odd(), Observation(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(InvalidConfig, match="use this prompter from Python"):
        describe_controls(prompter, first)


class Odd:
    action_space = gym.spaces.MultiBinary(3)
    state_space = gym.spaces.Box(0, 1, (0,))
    seconds_per_step = None

    def begin(self, values: Mapping[str, float]) -> State:
        return np.zeros(0, np.float32)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        return "", observation.state
