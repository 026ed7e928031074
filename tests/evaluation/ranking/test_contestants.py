"""The contestants that are shipped: enough of them, of enough makes, and each can act."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from chronosim.evaluation.ranking import Contestant, read_contestants
from chronosim.policies import act_alone
from chronosim.settings.compose import CONF
from chronosim.settings.parts import load
from chronosim.types import Observation

PROMPTERS = {"carracing": "driving", "pusht": "pushing"}


def shipped(world: str) -> list[Contestant]:
    groups: Any = CONF
    settings: Any = OmegaConf.to_container(OmegaConf.load(groups / "contestants" / f"{world}.yaml"))
    prompter = OmegaConf.to_container(
        OmegaConf.load(groups / "prompter" / f"{PROMPTERS[world]}.yaml")
    )
    return read_contestants(settings, prompter)


@pytest.mark.parametrize("world", PROMPTERS)
def test_they_are_many_and_of_many_makes(world: str) -> None:
    contestants = shipped(world)
    assert len(contestants) >= 16
    assert len({one.make for one in contestants}) >= 5
    assert "random" in {one.make for one in contestants}, "what is better than random is asked"


@pytest.mark.parametrize("world", PROMPTERS)
def test_each_acts_and_repeats_by_its_seed(world: str) -> None:
    prompter, scenario = load("prompter", PROMPTERS[world]), load("scenario", world)
    frame, values = scenario.begin(np.random.default_rng(0))
    seen = Observation(frame, prompter.begin(values))
    for one in shipped(world):
        teacher = one.cloning and one.cloning.teacher
        if one.cloning is not None and teacher is None:  # a clone of what was recorded
            continue
        policy = teacher(3) if teacher else one.policy
        action = act_alone(policy, 3)(seen)
        assert action in prompter.action_space, one.name
        np.testing.assert_array_equal(act_alone(policy, 3)(seen), action, one.name)
