"""Grows a tree: plays plans out from one moment, and asks for no prediction twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidAction, InvalidConfig, InvalidEpisode
from chronosim.seeds import noise_seed
from chronosim.types import Observation, Step
from chronosim.whatif.plans import Plan
from chronosim.whatif.store import StoredBranch, TreeStore
from chronosim.whatif.tree import Branch, Tree
from chronosim.world import World

__all__ = [
    "ActionKey",
    "ActionPath",
    "Grower",
    "Head",
    "Node",
    "action_key",
    "as_action",
    "grow",
    "open_store",
]


ActionKey = tuple[str, tuple[int, ...], bytes]
"""What two equal actions have in common: dtype, shape and bytes."""


def as_action(space: gym.Space[Any], action: Any, where: str = "") -> Any:
    """Gives an action in the types of its space: lists of numbers become arrays.

    Args:
        space: The prompter's action space.
        action: As a file or a policy gives it.
        where: Which action of which plan, for the error.

    Raises:
        InvalidAction: It does not lie in the space.
    """
    try:
        if isinstance(space, gym.spaces.Box | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
            action = np.asarray(action, space.dtype)
        elif isinstance(space, gym.spaces.Discrete) and isinstance(action, np.integer | np.ndarray):
            action = action.item()
        inside = space.contains(action)
    except (TypeError, ValueError, OverflowError):
        inside = False
    if not inside:
        given = action.tolist() if isinstance(action, np.ndarray) else action
        raise InvalidAction(f"{f'{where}: ' if where else ''}{given!r} does not lie in {space}")
    return action


def action_key(action: Any) -> ActionKey:
    """Gives what an action is looked up by; equal actions of one space have equal keys."""
    values = np.asarray(action)
    if values.dtype.kind in "US":
        return "words", values.shape, str(values.tolist()).encode()
    return values.dtype.str, values.shape, values.tobytes()


ActionPath = tuple[ActionKey, ...]
"""The actions that lead from the root to a moment."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A moment of the tree.

    Attributes:
        step: What led there.
        owner: The branch whose episode holds that step.
        place: How many steps of that episode lead there.
    """

    step: Step
    owner: str
    place: int


@dataclass(slots=True, eq=False)
class Head:
    """Where a plan has got to.

    Attributes:
        plan: The plan.
        observation: Where the world stands on its branch.
        path: The actions that led there, the one decided for included.
        stored: What the data set held of this branch from the beginning.
        action: What it does next.
        node: Where it stands; None at the root.
        steps: What happened so far.
        split: After how many steps its own episode begins; None: not yet.
        written: Steps of its own episode that are in the data set.
    """

    plan: Plan
    observation: Observation
    path: ActionPath = ()
    stored: StoredBranch | None = None
    action: Any = None
    node: Node | None = None
    steps: list[Step] = field(default_factory=list)
    split: int | None = field(init=False)
    written: int = field(init=False)

    def __post_init__(self) -> None:
        self.split = None if self.stored is None else self.stored.split
        self.written = 0 if self.stored is None else len(self.stored.steps) - self.stored.split

    @property
    def alive(self) -> bool:
        """Whether the plan goes on: neither done nor ended by the scenario."""
        ended = bool(self.steps) and self.steps[-1].terminated
        return not ended and len(self.steps) < self.plan.steps

    @property
    def unwritten(self) -> bool:
        """Whether the step to come belongs into its own episode and is not there yet."""
        return self.split is not None and len(self.steps) - self.split >= self.written

    def move(self, node: Node) -> None:
        """Goes on to a moment."""
        self.steps.append(node.step)
        self.node, self.observation = node, node.step.after


class Grower:
    """Plays plans out from one moment; what begins alike is predicted once.

    All plans of a call go on together, by one call of the model for each depth. The noise at a
    depth is the same for all branches, so they differ by their actions alone: it is
    `World.what_if` with a memory, scores and a data set.

    Args:
        world: What answers; its scenario says what counts, and where a branch ends.
        root: The moment.
        seed: Seed of the noise; that of depth d is `noise_seed(seed, d)`.
        seeds: Seeds of the noise at the first depths, where a log has them: the logged actions then
            lead to the logged frames.
        store: Where every step is written before the next is predicted; what is in it is not
            predicted again. None: nowhere.
        at_once: Predictions asked in one call, >= 1; None: all of a depth.
        progress: Called with how many more moments of the tree are there, after each call.

    Attributes:
        root: The moment.
        asked: Predictions that the model was asked for.

    Raises:
        InvalidConfig: `at_once` is below 1.
    """

    def __init__(
        self,
        world: World,
        root: Observation,
        *,
        seed: int,
        seeds: Sequence[int] = (),
        store: TreeStore | None = None,
        at_once: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        if at_once is not None and at_once < 1:
            raise InvalidConfig(f"a call asks for a prediction or more at once, not {at_once}")
        self.root, self.asked = root, 0
        # A branch ends where its plan does, or the scenario says so.
        self._world = replace(world, horizon=None, guard=None)
        self._seed, self._seeds, self._store = seed, tuple(seeds), store
        self._at_once = at_once
        self._progress = progress or (lambda more: None)
        self._space = world.prompter.action_space
        self._nodes: dict[ActionPath, Node] = {}
        self._seen: set[ActionPath] = set()
        self._branches: dict[str, Branch] = {}
        if store is not None:
            self._recall(store)

    @property
    def tree(self) -> Tree:
        """All that was grown so far."""
        return Tree(self.root, tuple(self._branches.values()))

    def keep(self, name: str, steps: Sequence[Step], *, own: bool) -> Branch:
        """Takes a branch that happened already, such as a logged one; the scenario scores it anew.

        Args:
            name: What to call it.
            steps: What happened, at least one step.
            own: Whether this model would predict the very same with the same noise: then plans that
                begin like it share its steps.

        Raises:
            InvalidConfig: There is a branch of that name, or no step.
            InvalidAction: An action does not lie in the prompter's action space.
        """
        plan = Plan.of(name, [step.action for step in steps])
        before, path = self.root, self._elsewhere(name) * (not own)
        head = self._head(plan, path)
        for place, step in enumerate(steps):
            action = as_action(self._space, step.action, f"step {place} of {name!r}")
            judged = self._world.judge(before, action, step.seed, step.prediction, step.after.state)
            scored = replace(
                step,
                before=before,
                action=action,
                reward=judged.reward,
                terminated=judged.terminated,
                success=judged.success,
            )
            path, before = (*path, action_key(action)), step.after
            self._nodes.setdefault(path, Node(scored, name, place + 1))
            self._seen.add(path)
        self._play([head], own=own)
        return self._branches[name]

    def grow(self, plans: Sequence[Plan]) -> list[Branch]:
        """Plays plans out, together.

        Args:
            plans: Any number, of names that the tree does not have yet.

        Returns:
            A branch for each plan.

        Raises:
            InvalidConfig: Two branches of one name.
            InvalidAction: An action does not lie in the prompter's action space.
            InvalidEpisode: The data set holds another plan of that name.
            EpisodeWriteError: The disk refuses.
            ChronosimError: As `World.advance`.
        """
        names = [plan.name for plan in plans]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise InvalidConfig(f"two branches of a tree cannot both be called {name!r}")
        self._play([self._head(plan) for plan in plans])
        return [self._branches[name] for name in names]

    def _play(self, heads: Sequence[Head], *, own: bool = True) -> None:
        alive = [head for head in heads if head.alive]
        while alive:
            for head in alive:
                self._decide(head)
            self._predict(alive)
            for head in alive:
                node = self._nodes[head.path]
                if head.split is None and node.owner == head.plan.name:
                    self._split(head, own)
                self._write(head, node.step)
                head.move(node)
            alive = [head for head in alive if head.alive]
        for head in heads:
            self._finish(head, own)

    def _decide(self, head: Head) -> None:
        """Asks a plan for its next action."""
        depth, name = len(head.steps), head.plan.name
        action = head.plan.act(head.observation, depth)
        head.action = as_action(self._space, action, f"step {depth} of the plan {name!r}")
        head.path = (*head.path, action_key(head.action))
        known = head.stored.steps[depth:] if head.stored else ()
        if known and action_key(known[0].action) != head.path[-1]:
            raise InvalidEpisode(
                f"the data set holds another plan called {name!r}, which did {known[0].action} at "
                f"step {depth}, not {head.action}: use another name, or another folder"
            )

    def _predict(self, heads: Sequence[Head]) -> None:
        """Predicts the moments that are not known yet; the first of several plans owns one."""
        missing: dict[ActionPath, Head] = {}
        for head in heads:
            if head.path not in self._nodes:
                missing.setdefault(head.path, head)
        fresh = {head.path for head in heads} - self._seen
        self._seen |= fresh
        self._progress(len(fresh - set(missing)))
        waiting = iter(missing.values())
        while chunk := list(islice(waiting, self._at_once)):
            self._ask(chunk)
            self._progress(len(chunk))

    def _ask(self, heads: Sequence[Head]) -> None:
        """Takes the next step of some branches by one call of the model, and writes it."""
        depth = len(heads[0].steps)
        known = self._seeds[depth:]
        seed = known[0] if known else noise_seed(self._seed, depth)
        taken = self._world.advance(
            [head.observation for head in heads],
            [head.action for head in heads],
            seeds=[seed] * len(heads),
        )
        self.asked += len(heads)
        for head, step in zip(heads, taken, strict=True):
            if head.split is None:
                self._split(head)
            self._nodes[head.path] = Node(step, head.plan.name, head.written + 1)
            self._write(head, step)

    def _split(self, head: Head, own: bool = True) -> None:
        """Begins a branch's own episode where it leaves the others."""
        head.split = len(head.steps)
        if self._store is not None:
            parent = None if head.node is None else (head.node.owner, head.node.place)
            name, steps = head.plan.name, head.plan.steps
            self._store.begin(name, head.observation, parent, planned=steps, own=own)

    def _write(self, head: Head, step: Step) -> None:
        """Writes the step to come to the branch's own episode, unless it is there."""
        if head.unwritten:
            if self._store is not None:
                self._store.append(head.plan.name, step)
            head.written += 1

    def _finish(self, head: Head, own: bool) -> None:
        name = head.plan.name
        if self._store is not None and not (head.stored and head.stored.finished):
            if head.split is None:
                self._split(head, own)  # it shares all its steps: its episode has none
            self._store.finish(name)
        self._branches[name] = Branch(name, tuple(head.steps), head.plan.steps)

    def _head(self, plan: Plan, path: ActionPath = ()) -> Head:
        if plan.name in self._branches:
            raise InvalidConfig(f"two branches of a tree cannot both be called {plan.name!r}")
        stored = None if self._store is None else self._store.branches.get(plan.name)
        if stored is not None and stored.planned != plan.steps:
            raise InvalidEpisode(
                f"the data set holds another plan called {plan.name!r}, of {stored.planned} steps, "
                f"not {plan.steps}: use another name, or another folder"
            )
        return Head(plan, self.root, path, stored)

    def _recall(self, store: TreeStore) -> None:
        """Takes what is in the data set for known."""
        for branch in store.branches.values():
            path = self._elsewhere(branch.name) * (not branch.own)
            for place, step in enumerate(branch.steps):
                path = (*path, action_key(step.action))
                node = Node(step, branch.name, place - branch.split + 1)
                self._nodes.setdefault(path, node)

    @staticmethod
    def _elsewhere(name: str) -> ActionPath:
        """Where the steps of a branch stand that this model did not predict: with no other's."""
        return (("elsewhere", (), name.encode()),)


def grow(
    world: World,
    root: Observation,
    plans: Mapping[str, Sequence[Any]],
    *,
    seed: int = 0,
    dataset: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tree:
    """Plays several plans out from one moment.

    Args:
        world: What answers; its scenario says what counts, and where a branch ends.
        root: The moment.
        plans: Actions by the name of their plan; lists of numbers will do where arrays are meant.
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
        ChronosimError: As `World.advance`.
    """
    whole = [Plan.of(name, actions) for name, actions in plans.items()]
    if dataset is None:
        grower = Grower(world, root, seed=seed, progress=progress)
        return Tree(root, tuple(grower.grow(whole)))
    with open_store(Path(dataset), world, root, seed=seed) as store:
        grower = Grower(world, root, seed=seed, store=store, progress=progress)
        return Tree(root, tuple(grower.grow(whole)))


def open_store(
    dataset: Path,
    world: World,
    root: Observation,
    *,
    seed: int,
    lineage: Mapping[str, Any] | None = None,
) -> TreeStore:
    """Opens the data set of a tree, new or broken off.

    Args:
        dataset: The folder.
        world: What answers, and what counts.
        root: The moment that the tree grows from.
        seed: Seed of the noise.
        lineage: The `episode` that the moment is from, and after which `step` of it; None: none.

    Raises:
        InvalidEpisode: There is another tree, or something that is no tree, or another process.
    """
    about = world.about(seed=seed, lineage=lineage)
    return TreeStore(dataset, root, {**about, "root_step": root.step})
