"""Plans are read from files in one grammar, and made of a space where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.whatif import contrasts, read_plans

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


def test_contrasts_of_a_space() -> None:
    space = gym.spaces.Box(np.array([-1, 0, 5], np.float32), np.array([1, 2, 9], np.float32))
    assert contrasts(space, 2) == {
        "still": [[0, 0, 7]] * 2,
        "number 0 at -1": [[-1, 0, 7]] * 2,
        "number 0 at 1": [[1, 0, 7]] * 2,
        "number 1 at 2": [[0, 2, 7]] * 2,
        "number 2 at 5": [[0, 0, 5]] * 2,
        "number 2 at 9": [[0, 0, 9]] * 2,
    }
    assert contrasts(gym.spaces.Discrete(3, start=1), 1) == {
        "choice 1": [1],
        "choice 2": [2],
        "choice 3": [3],
    }
    with pytest.raises(InvalidConfig, match="no plans can be made of Text"):
        contrasts(gym.spaces.Text(3), 2)
