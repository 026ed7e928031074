"""Plans are read from files in one grammar; where there are none, the prompter suggests some."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.prompters import Driving, Events
from chronosim.settings.parts import load, names
from chronosim.types import Observation, State
from chronosim.whatif import default_plans, read_plans

TEXT = """
left: {action: [-0.4, 0.1, 0], steps: 2}
swerve:
  - [-0.5, 0.1, 0]
  - {action: [0.5, 0.1, 0], steps: 2}
words: ["Open the lid.", "Close it."]
7: [0, 1]
"""
PLANS = {
    "left": [[-0.4, 0.1, 0], [-0.4, 0.1, 0]],
    "swerve": [[-0.5, 0.1, 0], [0.5, 0.1, 0], [0.5, 0.1, 0]],
    "words": ["Open the lid.", "Close it."],
    "7": [0, 1],
}


def test_plans_are_read_from_yaml_and_json(tmp_path: Path) -> None:
    (tmp_path / "plans.yaml").write_text(TEXT)
    assert read_plans(tmp_path / "plans.yaml") == PLANS
    (tmp_path / "plans.json").write_text(json.dumps(PLANS))
    assert read_plans(tmp_path / "plans.json") == PLANS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "must map the names of plans to their actions, not \\[1, 2\\]"),
        ("", "must map the names of plans to their actions, not None"),
        ("left: 3", "the plan 'left' must be a list of actions, not 3"),
        ("left: []", "the plan 'left' must be a list of actions, not \\[\\]"),
        ("left: right", "the plan 'left' must be a list of actions, not 'right'"),
        ("left: [{action: 1}]", "the plan 'left' holds actions as {action: ..., steps: 3}, not"),
        ("left: {action: 1, steps: 0}", "the plan 'left' holds actions as"),
        ("left: {action: 1, steps: true}", "the plan 'left' holds actions as"),
        ("left: {action: 1, stepz: 2}", "the plan 'left' holds actions as"),
        ("on: [1]", "YAML reads the name of a plan as True: put it in quotes"),
        ("left: [1", "cannot be read: while parsing a flow sequence"),
        ("left: !!python/name:os.system ''", "cannot be read: could not determine a constructor"),
    ],
)
def test_files_that_hold_no_plans(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "plans.yaml").write_text(text)
    with pytest.raises(InvalidConfig, match=said):
        read_plans(tmp_path / "plans.yaml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"the plans in .*nowhere\.yaml cannot be read"):
        read_plans(tmp_path / "nowhere.yaml")
    (tmp_path / "plans.json").write_text("left: [1]")
    with pytest.raises(InvalidConfig, match=r"plans\.json cannot be read"):
        read_plans(tmp_path / "plans.json")


@dataclass
class Robot:
    """A prompter of somebody else's, which suggests nothing."""

    action_space: gym.Space[Any]
    state_space: gym.spaces.Box = field(default_factory=lambda: gym.spaces.Box(0, 1, (0,)))
    seconds_per_step: float | None = None

    def begin(self, values: Mapping[str, float]) -> State:
        return np.zeros(0, np.float32)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        return f"do {action}", observation.state


def test_default_plans_of_a_space() -> None:
    space = gym.spaces.Box(np.array([-1, 0, 5], np.float32), np.array([1, 2, 9], np.float32))
    assert plans_of(Robot(space), 2) == {
        "still": [[0, 0, 7]] * 2,
        "number 0 at -1": [[-1, 0, 7]] * 2,
        "number 0 at 1": [[1, 0, 7]] * 2,
        "number 1 at 2": [[0, 2, 7]] * 2,
        "number 2 at 5": [[0, 0, 5]] * 2,
        "number 2 at 9": [[0, 0, 9]] * 2,
    }
    assert plans_of(Robot(gym.spaces.Discrete(3, start=1)), 1) == {
        "choice 1": [1],
        "choice 2": [2],
        "choice 3": [3],
    }
    assert len(plans_of(Robot(gym.spaces.Discrete(30)), 1)) == 8
    with pytest.raises(InvalidConfig, match="Robot suggests no actions and none can be made of Te"):
        plans_of(Robot(gym.spaces.Text(3)), 2)


@pytest.mark.parametrize("name", sorted({*names("prompter")} - {"paint-brush", "upscaler"}))
def test_every_prompter_suggests_plans_that_differ(name: str) -> None:
    template: dict[str, Any] = {
        "template": "Go {way}.", "action": {"way": ["up", "down"]}, "seconds_per_step": 1
    }  # fmt: skip
    prompter = load("prompter", name, **template if name == "values" else {})
    first = Observation(np.zeros((96, 96, 3), np.uint8), prompter.begin({}))
    plans = default_plans(prompter, first, 3)
    assert 2 <= len(plans) <= 8
    assert all(len(actions) == 3 for actions in plans.values())
    assert len({prompter(first, actions[0])[0] for actions in plans.values()}) == len(plans)


def test_default_plans_go_by_the_prompter_and_not_by_its_modules_name() -> None:
    mine = ModuleType("my_robot")
    mine.Wheel = Driving  # type: ignore[attr-defined]
    assert list(plans_of(mine.Wheel(), 1)) == ["straight", "left", "right", "brake"]
    inner: dict[str, Any] = {"prompter": Driving(), "events": {}}
    assert plans_of(Events(**inner), 1) == plans_of(Driving(), 1)


def test_two_arms_move_one_at_a_time() -> None:
    plans = plans_of(load("prompter", "bimanual"), 1)
    assert list(plans)[:3] == ["still", "left arm: forward", "right arm: forward"]
    [left], [right] = plans["left arm: forward"], plans["right arm: forward"]
    assert left.nonzero()[0].tolist() == [0, 6, 13]
    assert right.nonzero()[0].tolist() == [6, 7, 13]


def plans_of(prompter: Any, steps: int) -> dict[str, list[Any]]:
    first = Observation(np.zeros((8, 8, 3), np.uint8), prompter.begin({}))
    return default_plans(prompter, first, steps)
