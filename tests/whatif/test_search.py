"""Searches find the goal, keep to their budget, and are the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from chronosim import Observation, World
from chronosim.errors import InvalidConfig
from chronosim.whatif import Grower, Plan, Search
from chronosim.whatif.search import BoxProposals, ChoiceProposals, UniformProposals
from chronosim.whatif.store import TreeStore

STEPS = 6


def grower(world: World, root: Observation) -> Grower:
    return Grower(world, root, seed=0)


def test_cem_reaches_the_goal_where_chance_hardly_does(world: World, root: Observation) -> None:
    found = {}
    for method in ("random", "cem"):
        search = Search(method, steps=STEPS, budget=240, population=8, elites=4)
        tried = search.run(grower(world, root), world.prompter.action_space, seed=0)
        found[method] = search.best(tried, 1)[0]
    assert found["cem"].ended, "six steps to the right, one plan of 729"
    assert found["cem"].actions == [2] * 6
    assert found["cem"].score > found["random"].score


def test_the_worst_plans_can_be_looked_for(world: World, root: Observation) -> None:
    search = Search(steps=STEPS, budget=240, worst=True)
    tried = search.run(grower(world, root), world.prompter.action_space, seed=0)
    worst = search.best(tried, 3)[0]
    assert worst.ended
    assert worst.actions == [0] * 5
    assert worst.score == min(branch.score for branch in tried)


def test_the_budget_is_kept_and_the_same_seed_searches_alike(
    world: World, root: Observation, light: Any
) -> None:
    search = Search(steps=STEPS, budget=50)
    space = world.prompter.action_space
    first = search.run(grower(world, root), space, seed=5)
    assert 50 - STEPS < light.asked <= 50
    again = search.run(grower(world, root), space, seed=5)
    other = search.run(grower(world, root), space, seed=6)
    assert [branch.actions for branch in first] == [branch.actions for branch in again]
    assert [branch.actions for branch in first] != [branch.actions for branch in other]
    assert [branch.name for branch in first][:2] == ["cem 1.1", "cem 1.2"]


def test_a_given_plan_is_built_on(world: World, root: Observation) -> None:
    nearly = Plan.following("nearly", lambda seen: 1 if seen.step == root.step else 2, STEPS)
    search = Search(steps=STEPS, budget=120)
    tried = search.run(grower(world, root), world.prompter.action_space, seed=0, first=[nearly])
    assert tried[0].name == "nearly"
    assert search.best(tried, 1)[0].actions == [2] * 6


def test_every_plan_is_tried_once(world: World, root: Observation) -> None:
    search = Search("random", steps=1, budget=50)
    tried = search.run(grower(world, root), world.prompter.action_space, seed=0)
    assert sorted(branch.actions[0] for branch in tried) == [0, 1, 2]


def test_a_search_broken_off_goes_on(
    world: World, root: Observation, light: Any, tmp_path: Path
) -> None:
    search, space = Search(steps=STEPS, budget=36, population=3), world.prompter.action_space
    whole = search.run(grower(world, root), space, seed=2)
    needed, light.break_off = light.asked, 4
    light.calls.clear()
    asked = 0
    for _ in range(3):
        with TreeStore(tmp_path, root, world.about(seed=0)) as store:
            growing = Grower(world, root, seed=0, store=store)
            try:
                tried = search.run(growing, space, seed=2)
            except KeyboardInterrupt:
                light.break_off = 11 if light.break_off == 4 else None
            asked += growing.asked
    assert asked == needed
    assert [branch.actions for branch in tried] == [branch.actions for branch in whole]


def test_numbers_are_drawn_around_the_best() -> None:
    space = gym.spaces.Box(np.array([-1, 0], np.float32), np.array([1, 10], np.float32))
    plans = [[[0.5, 9], [-1, 1]], [[0.5, 11], [-1, 3]]]
    fitted = BoxProposals.fit(space, plans)
    assert fitted.mean.tolist() == [[0.5, 10], [-1, 2]]
    assert np.allclose(fitted.deviation, [[0.1, 1], [0.1, 1]]), "never below a part of the range"
    rng = np.random.default_rng(0)
    drawn = np.array([fitted.draw(rng) for _ in range(200)])
    assert drawn.dtype == np.float32
    assert all(action in space for plan in drawn for action in plan)
    assert drawn[:, 0, 0].mean() == pytest.approx(0.5, abs=0.05)
    whole = gym.spaces.Box(0, 9, (1,), np.int64)
    [action] = BoxProposals.fit(whole, [[[3]], [[6]]]).draw(rng)
    assert action.dtype == np.int64
    assert action in whole


@pytest.mark.parametrize(
    ("space", "plans"),
    [
        (gym.spaces.Discrete(4, start=2), [[2, 5], [2, 4], [2, 3]]),
        (gym.spaces.MultiDiscrete([3, 2]), [[[0, 1], [2, 0]], [[0, 1], [1, 0]]]),
    ],
)
def test_choices_are_drawn_as_often_as_among_the_best(space: Any, plans: Any) -> None:
    fitted = ChoiceProposals.fit(space, plans)
    assert all(np.allclose(share.sum(1), 1) for share in fitted.shares)
    rng = np.random.default_rng(0)
    drawn = [fitted.draw(rng) for _ in range(200)]
    assert all(action in space for plan in drawn for action in plan)
    alike = np.mean([np.array_equal(plan[0], plans[0][0]) for plan in drawn])
    assert 0.8 < alike < 1, "each choice keeps a chance"


def test_drawing_leaves_the_space_as_it_is() -> None:
    space = gym.spaces.Discrete(1000)
    space.seed(4)
    expected = space.sample()
    space.seed(4)
    UniformProposals(space, 3).draw(np.random.default_rng(0))
    assert space.sample() == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "luck"}, "plans are searched for by random or cem, not 'luck'"),
        ({"steps": 0}, "a search needs steps of at least 1, not 0"),
        ({"population": 0}, "a search needs population of at least 1, not 0"),
        ({"elites": 1}, "a search needs elites of at least 2, not 1"),
        ({"steps": 9, "budget": 8}, "a budget of 8 predictions is not enough for one plan of 9"),
    ],
)
def test_searches_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        Search(**given)


@pytest.mark.parametrize("space", [gym.spaces.Text(3), gym.spaces.Box(-np.inf, np.inf, (2,))])
def test_spaces_that_cannot_be_searched(space: Any, world: World, root: Observation) -> None:
    with pytest.raises(InvalidConfig, match="plans can be searched for in a bounded Box"):
        Search().run(grower(world, root), space, seed=0)
