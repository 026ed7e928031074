"""Plans in, a tree out: the short way to what-ifs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronosim.envs.about import about_world
from chronosim.protocols import Scenario
from chronosim.simulator import Simulator
from chronosim.types import Observation
from chronosim.whatif.grower import Grower
from chronosim.whatif.plan import Plan
from chronosim.whatif.store import TreeStore
from chronosim.whatif.tree import Tree

__all__ = ["grow", "open_store"]


def grow(
    simulator: Simulator,
    root: Observation,
    plans: Mapping[str, Sequence[Any]],
    *,
    scenario: Scenario,
    seed: int = 0,
    dataset: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tree:
    """Plays several plans out from one moment.

    Args:
        simulator: The world.
        root: The moment.
        plans: Actions by the name of their plan; lists of numbers will do where arrays are meant.
        scenario: What counts, and where a branch ends.
        seed: Seed of the noise, the same for all branches at the same depth.
        dataset: Folder for the tree, an episode for each branch; a tree that was broken off there
            is gone on with. None: in memory only.
        progress: Called with how many more moments of the tree are there, after each call of the
            model.

    Returns:
        The tree.

    Raises:
        InvalidAction: An action does not lie in the prompter's action space.
        InvalidConfig: A plan without a name, or without an action.
        InvalidEpisode: There is another tree in the folder.
        EpisodeWriteError: The disk refuses.
        ChronosimError: As `Simulator.step_all`.
    """
    whole = [Plan.of(name, actions) for name, actions in plans.items()]
    if dataset is None:
        grower = Grower(simulator, scenario, root, seed=seed, progress=progress)
        return Tree(root, tuple(grower.grow(whole)))
    with open_store(Path(dataset), simulator, scenario, root, seed=seed) as store:
        grower = Grower(simulator, scenario, root, seed=seed, store=store, progress=progress)
        return Tree(root, tuple(grower.grow(whole)))


def open_store(
    dataset: Path,
    simulator: Simulator,
    scenario: Scenario,
    root: Observation,
    *,
    seed: int,
    lineage: Mapping[str, Any] | None = None,
) -> TreeStore:
    """Opens the data set of a tree, new or broken off.

    Args:
        dataset: The folder.
        simulator: The world.
        scenario: What counts.
        root: The moment that the tree grows from.
        seed: Seed of the noise.
        lineage: The `episode` that the moment is from, and after which `step` of it; None: none.

    Raises:
        InvalidEpisode: There is another tree, or something that is no tree, or another process.
    """
    about = about_world(simulator, scenario, seed=seed, lineage=lineage)
    return TreeStore(dataset, root, {**about, "root_step": root.step})
