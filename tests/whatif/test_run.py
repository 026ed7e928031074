"""One call from Python makes a what-if: a moment, plans or a search, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim import EpisodeReader, EpisodeWriter, Observation, World
from chronosim.errors import EpisodeNotFound, InvalidConfig, InvalidEpisode
from chronosim.policies import as_policy
from chronosim.whatif import Search, load_tree, read_moment, run

PLANS: dict[str, list[Any]] = {"right": [2, 2, 2], "back": [2, 0, 0]}


def names(result: Any) -> list[str]:
    return [branch.name for branch in result.tree.branches]


def test_it_begins_where_the_scenario_does_and_leaves_everything(
    world: World, light: Any, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    result = run(world, PLANS, seed=3, folder=tmp_path, progress=lambda *done: told.append(done))
    assert names(result) == ["right", "back"]
    assert (result.tried, result.predictions, result.asked) == (2, 5, 5)
    assert told[-1] == (5, 6), "a step that both share is there once"
    left = {"divergence.csv", "episodes", "tree.json", "tree.mp4", "tree.png"}
    assert {path.name for path in tmp_path.iterdir()} == left
    told_back = json.loads((tmp_path / "tree.json").read_text())["branches"][1]
    assert (told_back["with"], told_back["shares"], told_back["actions"]) == ("right", 1, [2, 0, 0])
    assert load_tree(tmp_path / "episodes").predictions == 5
    light.calls.clear()
    again = run(world, PLANS, seed=3, folder=tmp_path)
    assert (again.asked, light.calls) == (0, [])
    assert np.array_equal(
        again.tree.frames(again.tree["back"]), result.tree.frames(result.tree["back"])
    )


def test_without_a_folder_nothing_is_left(world: World, tmp_path: Path) -> None:
    assert names(run(world, PLANS, seed=3)) == ["right", "back"]
    assert not list(tmp_path.iterdir())


def test_without_plans_each_choice_is_played_out(world: World, root: Observation) -> None:
    result = run(world, start=root, steps=2)
    assert names(result) == ["choice 0", "choice 1", "choice 2"]
    assert result.tree.root is root

    def stay(observation: Observation) -> int:
        return 1

    assert names(run(world, PLANS, start=root, policy=stay, steps=2)) == ["right", "back", "stay"]
    made = as_policy(stay)
    driven = run(world, PLANS, start=root, policy=made, steps=2).tree.branches[-1]
    assert (driven.name, driven.actions) == (type(made).__name__, [1, 1])


def test_a_search_shows_the_best_of_all_it_tried(world: World, root: Observation) -> None:
    search = Search(steps=3, budget=24, population=4, elites=2)
    result = run(world, start=root, search=search, keep=2)
    scores = [branch.score for branch in result.tree.branches]
    assert (len(scores), result.predictions) == (2, result.asked)
    assert scores == sorted(scores, reverse=True)
    assert result.tried > 2


@pytest.fixture
def logged(world: World, root: Observation, tmp_path: Path) -> Path:
    path = tmp_path / "logged"
    with EpisodeWriter(path, root, world.about(seed=5)) as writer:
        for step in world.imagine(root, [2, 2, 0], seed=5):
            writer.append(step)
    return path


def test_a_logged_moment_brings_the_logs_own_branch(world: World, light: Any, logged: Path) -> None:
    moment = read_moment(logged, 1, world.prompter)
    light.calls.clear()
    result = run(world, {"the same": [2, 0], "on": [2, 2]}, start=moment, steps=2)
    assert names(result) == ["as logged", "the same", "on"]
    assert result.tree["the same"].steps == result.tree["as logged"].steps
    assert result.asked == 1, "only what the log does not hold"
    light.identity = {"name": "another"}
    other = run(world, {"on": [2, 2]}, start=moment, steps=2)
    assert names(other) == ["as logged", "the same, imagined", "on"]


def test_a_moment_that_cannot_be(world: World, logged: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidEpisode, match="has 3 steps: what if it had done otherwise at step"):
        read_moment(logged, 3, world.prompter)
    with pytest.raises(EpisodeNotFound):
        read_moment(tmp_path / "nowhere", 0, world.prompter)
    assert EpisodeReader(logged).steps == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"plans": {"as logged": [1]}}, "a plan cannot be called 'as logged'"),
        ({"steps": 0}, "steps and keep must be at least 1, not 0 and 5"),
        ({"apart": 0}, "apart must be a number of grey levels above 0, not 0"),
        ({"at_once": 0}, "a call asks for a prediction or more at once, not 0"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], said: str, world: World) -> None:
    with pytest.raises(InvalidConfig, match=said):
        run(world, **given)
