"""Branches share what they have in common, and are scored, compared and drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chronosim import Observation, World
from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.seeds import noise_seed
from chronosim.whatif import Grower, Plan, Tree, draw_tree, measure

PLANS: dict[str, list[Any]] = {
    "right": [2, 2, 2, 2],
    "there and back": [2, 2, 0, 0],
    "left": [0, 0],
    "right, too": [2, 2, 2, 2],
    "away": [0, 0, 0, 0, 0, 0, 0],
}


@pytest.fixture
def tree(world: World, root: Observation, grow: Any) -> Tree:
    return grow(world, root, PLANS, seed=3)


def test_what_begins_alike_is_predicted_once(tree: Tree, light: Any) -> None:
    assert [len(call) for call in light.calls] == [2, 2, 3, 3, 1]  # one call for each depth
    assert light.asked == tree.predictions == 11
    assert [tree.split(index) for index in range(5)] == [
        (None, 0),
        (0, 2),
        (None, 0),
        (0, 4),
        (2, 2),
    ]
    assert tree["right"].steps[1] is tree["there and back"].steps[1]


def test_it_is_what_if_and_its_noise_goes_by_the_depth(
    tree: Tree, world: World, root: Observation, light: Any
) -> None:
    seeds = [{prompt.seed for prompt in call} for call in light.calls]
    assert seeds == [{noise_seed(3, depth)} for depth in range(5)]
    for branch, plan in zip(tree.branches, PLANS.values(), strict=True):
        played = world.imagine(root, plan[: len(branch.steps)], seed=3)
        for step, again in zip(branch.steps, played, strict=True):
            assert np.array_equal(step.prediction.trajectory, again.prediction.trajectory)
            assert np.array_equal(step.after.state, again.after.state)
            assert (step.after.step, step.text) == (again.after.step, again.text)


def test_the_end_of_a_branch_is_the_scenarios(tree: Tree) -> None:
    assert (len(tree["away"].steps), tree["away"].ended) == (5, True)
    assert not tree["left"].ended


def test_an_ended_branch_keeps_its_last_reward(world: World, draw_place: Any, grow: Any) -> None:
    root = Observation(draw_place(9), np.zeros(1, np.float32))
    tree = grow(world, root, {"fast": [2, 2, 2, 2], "slow": [1, 2, 2, 2]})
    assert tree["fast"].score == pytest.approx((10 + 3 * 11) / 11 / 4)
    assert tree["slow"].score == pytest.approx((9 + 10 + 2 * 11) / 11 / 4)
    assert [branch.name for branch in tree.ranked()] == ["fast", "slow"]
    assert [branch.name for branch in tree.ranked(worst=True)] == ["slow", "fast"]


def test_how_far_branches_are_apart(tree: Tree) -> None:
    divergence = measure(tree)
    right, back, left = 0, 1, 2
    assert divergence.rms[right, back, :2].tolist() == [0, 0]
    assert divergence.first(right, back, 10) == 3
    assert divergence.first(back, right, 10) == 3
    assert divergence.first(right, left, 10) == 1
    assert divergence.first(right, 3, 10) is None
    assert np.isnan(divergence.rms[right, left, 2])
    # Two of twelve places differ, in half of the frame, by 255.
    apart = np.sqrt(2 / 12 / 2 * 255**2)
    assert divergence.rms[right, left, 0] == pytest.approx(apart)
    assert divergence.psnr(right, left, 0) == pytest.approx(20 * np.log10(255 / apart))
    rows = list(divergence.rows())
    assert rows[0] == ("right", "there and back", 1, 0.0, float("inf"))
    assert len(rows) == 4 + 2 + 4 + 4 + 2 + 4 + 4 + 2 + 2 + 4


def test_the_picture_shows_what_differs(tree: Tree) -> None:
    drawn = draw_tree(tree, width=48, seconds_per_step=0.5)
    assert drawn.dtype == np.uint8
    frame = np.all(drawn == (206, 84, 58), axis=-1)  # what frames that differ are framed with
    rows = frame.reshape(len(frame), -1).any(1)
    top, pitch = 36 + 44, (len(drawn) - 2 * 36 - 44 + 28) // len(tree)
    marked = [bool(rows[top + pitch * row : top + pitch * row + 48].any()) for row in range(5)]
    assert marked == [False, True, True, False, True]
    wider = draw_tree(tree, width=60, seconds_per_step=0.5)
    assert wider.shape[1] - drawn.shape[1] == 12 * (tree.depth + 1)


def test_a_tree_is_asked_by_name(tree: Tree) -> None:
    assert tree.frames(tree["left"]).shape == (2, 24, 24, 3)
    assert tree["left"].actions == [0, 0]
    with pytest.raises(InvalidConfig, match="no branch 'up'; it has: right, there and back"):
        tree["up"]


def test_a_policy_drives_a_branch(world: World, root: Observation) -> None:
    seen = []

    def policy(observation: Observation) -> int:
        seen.append(observation.step)
        return 2 if len(seen) % 2 else 0

    grower = Grower(world, root, seed=0)
    [branch] = grower.grow([Plan.following("to and fro", policy, 4)])
    assert branch.actions == [2, 0, 2, 0]
    assert seen == [7, 8, 9, 10]
    assert grower.tree.branches == (branch,)


def test_calls_can_be_made_smaller(world: World, root: Observation, light: Any) -> None:
    told: list[int] = []
    grower = Grower(world, root, seed=3, at_once=2, progress=told.append)
    grower.grow([Plan.of(name, plan) for name, plan in PLANS.items()])
    assert [len(call) for call in light.calls] == [2, 2, 2, 1, 2, 1, 1]
    assert told[-1] == 11


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("plans", "error", "said"),
    [
        (
            {"up": [2, 3]},
            InvalidAction,
            r"step 1 of the plan 'up': 3 does not lie in Discrete\(3\)",
        ),
        ({"up": ["right"]}, InvalidAction, "step 0 of the plan 'up': 'right' does not lie in"),
        ({"none": []}, InvalidConfig, "the plan 'none' needs an action or more, not 0"),
        ({" ": [1]}, InvalidConfig, "a plan needs a name"),
    ],
)
def test_plans_that_cannot_be_played(
    world: World,
    root: Observation,
    plans: dict[str, list[Any]],
    error: type[Exception],
    said: str,
    grow: Any,
) -> None:
    with pytest.raises(error, match=said):
        grow(world, root, plans)


def test_two_branches_of_one_name(world: World, root: Observation) -> None:
    grower = Grower(world, root, seed=0)
    with pytest.raises(InvalidConfig, match="cannot both be called 'on'"):
        grower.grow([Plan.of("on", [2]), Plan.of("on", [1])])
    grower.grow([Plan.of("on", [2])])
    with pytest.raises(InvalidConfig, match="cannot both be called 'on'"):
        grower.grow([Plan.of("on", [1])])
    with pytest.raises(InvalidConfig, match="a prediction or more at once, not 0"):
        Grower(world, root, seed=0, at_once=0)
