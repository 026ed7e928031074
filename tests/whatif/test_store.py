"""A tree is a data set: its branches know where they split, and a broken-off one goes on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from chronosim import EpisodeReader, Observation, World
from chronosim.episodes import list_episodes, verify
from chronosim.errors import EpisodeNotFound, InvalidEpisode
from chronosim.whatif import Tree, load_tree

PLANS: dict[str, list[Any]] = {
    "right": [2, 2, 2, 2],
    "there and back": [2, 2, 0, 0],
    "and on": [2, 2, 0, 0, 0],
    "again": [2, 2],
    "left": [0, 1, 1],
}


def contents(tree: Tree) -> list[Any]:
    """All there is in a tree but how long it took."""
    return [
        (
            branch.name,
            branch.planned,
            [
                (step.action, step.text, step.seed, step.reward, step.terminated, step.after.step)
                for step in branch.steps
            ],
            [step.prediction.trajectory.tobytes() for step in branch.steps],
            [step.after.state.tolist() for step in branch.steps],
            tree.split(index),
        )
        for index, branch in enumerate(tree.branches)
    ]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return tmp_path / "tree"


def test_each_branch_is_an_episode_from_where_it_splits(
    world: World, root: Observation, dataset: Path, grow: Any
) -> None:
    grow(world, root, PLANS, seed=3, dataset=dataset)
    readers = {str(r.about["branch"]): r for r in map(EpisodeReader, list_episodes(dataset))}
    assert [(name, reader.steps) for name, reader in readers.items()] == [
        ("right", 4),
        ("left", 3),
        ("there and back", 2),
        ("and on", 1),
        ("again", 0),
    ]
    lineage = {name: reader.about["lineage"] for name, reader in readers.items()}
    assert lineage == {
        "right": None,
        "left": {"episode": "0000000", "step": 0, "branch": 1},
        "there and back": {"episode": "0000000", "step": 2, "branch": 2},
        "and on": {"episode": "0000002", "step": 2, "branch": 3},
        "again": {"episode": "0000000", "step": 2, "branch": 4},
    }
    child, parent = readers["and on"].observation(0), readers["there and back"].observation(2)
    assert np.array_equal(child.frame, parent.frame)
    for path in list_episodes(dataset):
        assert EpisodeReader(path).finished
        assert verify(path) == []


def test_a_tree_is_read_back_whole(
    world: World, root: Observation, dataset: Path, grow: Any
) -> None:
    grown = grow(world, root, PLANS, seed=3, dataset=dataset)
    read = load_tree(dataset)
    by_name = {name: values for name, *values in contents(grown)}
    for name, *values in contents(read):
        assert values[:-1] == by_name[name][:-1]
    assert np.array_equal(read.root.frame, root.frame)
    assert (read.root.state.tolist(), read.root.step) == (root.state.tolist(), root.step)
    assert read.predictions == grown.predictions


CHILD = """
import os, signal, sys
sys.path.insert(0, {folder!r})
import numpy as np
from conftest import Light, Mover, Reach, draw, grow
from test_store import PLANS
from chronosim import Observation, World

class Doomed(Light):
    def _answer(self, prompt):
        if self.count == {calls}:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1
        return super()._answer(prompt)
    count = 0

root = Observation(draw(5), np.zeros(1, np.float32), 7)
grow(World(Doomed(), Mover(), Reach()), root, PLANS, seed=3, dataset={dataset!r})
"""


def test_a_killed_tree_goes_on_and_predicts_nothing_again(
    world: World, root: Observation, light: Any, dataset: Path, tmp_path: Path, grow: Any
) -> None:
    whole = grow(world, root, PLANS, seed=3, dataset=tmp_path / "whole")
    needed = light.asked
    folder = str(Path(__file__).parent)
    code = CHILD.format(folder=folder, calls=6, dataset=str(dataset))
    died = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    drafts = list_episodes(dataset, unfinished=True)
    kept = sum(EpisodeReader(path).steps for path in drafts)
    assert kept == 4, "the two calls that were answered, of two predictions each"
    assert list_episodes(dataset) == [], "none of them is finished"
    light.calls.clear()
    again = grow(world, root, PLANS, seed=3, dataset=dataset)
    assert light.asked == needed - kept
    assert contents(again) == contents(whole)
    assert {str(EpisodeReader(path).about["branch"]) for path in list_episodes(dataset)} == set(
        PLANS
    )
    light.calls.clear()
    assert contents(grow(world, root, PLANS, seed=3, dataset=dataset)) == contents(whole)
    assert light.calls == [], "a whole tree asks for nothing"


@pytest.mark.parametrize("calls", [0, 1, 4])
def test_wherever_it_is_broken_off(
    calls: int, world: World, root: Observation, light: Any, dataset: Path, grow: Any
) -> None:
    whole = grow(world, root, PLANS, seed=3)
    needed, light.break_off = light.asked, calls
    light.calls.clear()
    with pytest.raises(KeyboardInterrupt):
        grow(world, root, PLANS, seed=3, dataset=dataset)
    asked, light.break_off = light.asked, None
    light.calls.clear()
    assert contents(grow(world, root, PLANS, seed=3, dataset=dataset)) == contents(whole)
    assert asked + light.asked == needed


def test_more_plans_join_a_tree(
    world: World, root: Observation, light: Any, dataset: Path, grow: Any
) -> None:
    grow(world, root, {"on": [2, 2]}, dataset=dataset)
    light.calls.clear()
    tree = grow(world, root, {"off": [2, 0], "on": [2, 2]}, dataset=dataset)
    assert light.asked == 1
    assert [branch.name for branch in tree.branches] == ["off", "on"]
    assert [branch.name for branch in load_tree(dataset).branches] == ["on", "off"]
    assert contents(load_tree(dataset))[1][2] == contents(tree)[0][2]


def test_what_died_while_an_episode_was_written_anew_is_put_back(
    world: World, root: Observation, light: Any, dataset: Path, grow: Any
) -> None:
    light.break_off = 3
    with pytest.raises(KeyboardInterrupt):
        grow(world, root, {"on": [2, 1, 2, 1]}, dataset=dataset)
    light.break_off = None
    light.calls.clear()
    draft, aside = dataset / ".0000000.draft", dataset / ".0000000.aside"
    draft.rename(aside)
    shutil.copytree(aside, dataset / f".0000001.{'a' * 32}.draft")  # another one, hardly begun
    tree = grow(world, root, {"on": [2, 1, 2, 1]}, dataset=dataset)
    assert light.asked == 1
    assert tree["on"].actions == [2, 1, 2, 1]
    assert sorted(entry.name for entry in dataset.iterdir()) == [".lock", "0000000"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "was grown with another seed"),
        (
            {"root": Observation(np.zeros((24, 24, 3), np.uint8), np.zeros(1, np.float32), 7)},
            "moment",
        ),
        ({"plans": {"on": [2, 0]}}, "another plan called 'on', which did 2 at step 1, not 0"),
        ({"plans": {"on": [2, 2, 2]}}, "another plan called 'on', of 2 steps, not 3"),
    ],
)
def test_another_tree_is_not_gone_on_with(
    change: dict[str, Any],
    said: str,
    world: World,
    root: Observation,
    dataset: Path,
    grow: Any,
) -> None:
    given: dict[str, Any] = {"root": root, "plans": {"on": [2, 2]}, "dataset": dataset}
    grow(world, **given)
    before = sorted(dataset.rglob("*"))
    with pytest.raises(InvalidEpisode, match=said):
        grow(world, **{**given, **change})
    assert sorted(dataset.rglob("*")) == before


def test_another_model_is_another_tree(
    world: World, root: Observation, light: Any, dataset: Path, grow: Any
) -> None:
    grow(world, root, {"on": [2]}, dataset=dataset)
    light.identity = {"name": "light", "threads": 3, "sampling": {"steps": 2}}
    with pytest.raises(InvalidEpisode, match=r"grown with another model\.sampling:"):
        grow(world, root, {"on": [2]}, dataset=dataset)


def test_two_processes_do_not_grow_one_tree(
    world: World, root: Observation, dataset: Path, grow: Any
) -> None:
    grow(world, root, {"on": [2]}, dataset=dataset)
    with (
        FileLock(dataset / ".lock"),
        pytest.raises(InvalidEpisode, match="another process is growing the tree"),
    ):
        grow(world, root, {"off": [0]}, dataset=dataset)


def test_what_is_no_tree_is_left_alone(
    world: World, root: Observation, dataset: Path, tmp_path: Path, grow: Any
) -> None:
    from chronosim import EpisodeWriter

    dataset.mkdir()
    EpisodeWriter(dataset / "0000000", root, {"source": "me"}).close()
    with pytest.raises(InvalidEpisode, match="is no branch of a tree"):
        grow(world, root, {"on": [2]}, dataset=dataset)
    with pytest.raises(InvalidEpisode, match="is no branch of a tree"):
        load_tree(dataset)
    with pytest.raises(EpisodeNotFound):
        load_tree(tmp_path / "nowhere")
    assert [path.name for path in list_episodes(dataset)] == ["0000000"]
