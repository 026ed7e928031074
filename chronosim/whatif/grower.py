"""Grows a tree: plays plans out from one moment, and predicts nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
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

ActionKey = tuple[str, tuple[int, ...], bytes]
"""The dtype, the shape and the bytes of an action."""


def as_action(space: gym.Space[Any], action: Any, where: str = "") -> Any:
    """Gives an action in the types of its space: lists of numbers become arrays.

    Args:
        space: The prompter's action space.
        action: As a file or a policy gives it.
        where: The subject of the error: "step 3 of the plan 'left'".

    Raises:
        InvalidAction: The action does not lie in the space.
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
    """Gives the key that an action is looked up by; equal actions of a space have equal keys."""
    values = np.asarray(action)
    if values.dtype.kind in "US":
        return "words", values.shape, str(values.tolist()).encode()
    return values.dtype.str, values.shape, values.tobytes()


ActionPath = tuple[ActionKey, ...]
"""The actions that lead from the root to a moment."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnedStep:
    """A step of the tree and the episode that holds it.

    Attributes:
        step: The step.
        owner: Name of the branch whose episode holds it.
        place: How many steps of that episode lead up to it, itself included.
    """

    step: Step
    owner: str
    place: int


@dataclass(slots=True, eq=False)
class GrowingBranch:
    """A plan while it is played out.

    Attributes:
        plan: The plan.
        observation: Where the world stands on this branch.
        path: The actions that led there, and the next one once it is decided.
        stored: The branch as the data set held it from the beginning; None: it is new.
        action: The next action.
        last: The last step; None at the root.
        steps: The steps taken.
        split: After how many steps its own episode begins; None: it shares all so far.
        written: Steps of its own episode that are in the data set.
    """

    plan: Plan
    observation: Observation
    path: ActionPath = ()
    stored: StoredBranch | None = None
    action: Any = None
    last: OwnedStep | None = None
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
        """Whether the next step belongs to its own episode and is not written yet."""
        return self.split is not None and len(self.steps) - self.split >= self.written

    def take(self, taken: OwnedStep) -> None:
        """Takes a step."""
        self.steps.append(taken.step)
        self.last, self.observation = taken, taken.step.after


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
        progress: Called with how many moments of the tree are there, after each call.

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
        self._progress = progress or (lambda done: None)
        self._space = world.prompter.action_space
        self._known: dict[ActionPath, OwnedStep] = {}
        self._seen: set[ActionPath] = set()
        self._branches: dict[str, Branch] = {}
        if store is not None:
            self._recall(store)

    @property
    def tree(self) -> Tree:
        """All that was grown so far."""
        return Tree(self.root, tuple(self._branches.values()))

    def keep(self, name: str, steps: Sequence[Step], *, own: bool) -> Branch:
        """Adds a branch that was taken already, such as a logged one; the scenario scores it anew.

        Args:
            name: Of the branch.
            steps: Its steps, at least one.
            own: Whether this model would predict the very same with the same noise: then plans that
                begin like it share its steps.

        Raises:
            InvalidConfig: There is a branch of that name, or no step.
            InvalidAction: An action does not lie in the prompter's action space.
        """
        plan = Plan.of(name, [step.action for step in steps])
        before, path = self.root, self._elsewhere(name) * (not own)
        branch = self._begin(plan, path)
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
            self._known.setdefault(path, OwnedStep(scored, name, place + 1))
            self._seen.add(path)
        self._play([branch], own=own)
        return self._branches[name]

    def grow(self, plans: Sequence[Plan]) -> list[Branch]:
        """Plays plans out together, and gives a branch for each.

        Raises:
            InvalidConfig: Two branches have one name.
            InvalidAction: An action does not lie in the prompter's action space.
            InvalidEpisode: The data set holds another plan of that name.
            EpisodeWriteError: The disk refuses.
            ChronosimError: As `World.advance`.
        """
        names = [plan.name for plan in plans]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise InvalidConfig(f"two branches of a tree cannot both be called {name!r}")
        self._play([self._begin(plan) for plan in plans])
        return [self._branches[name] for name in names]

    def _play(self, growing: Sequence[GrowingBranch], *, own: bool = True) -> None:
        alive = [branch for branch in growing if branch.alive]
        while alive:
            for branch in alive:
                self._decide(branch)
            self._predict(alive)
            for branch in alive:
                taken = self._known[branch.path]
                if branch.split is None and taken.owner == branch.plan.name:
                    self._split(branch, own)
                self._write(branch, taken.step)
                branch.take(taken)
            alive = [branch for branch in alive if branch.alive]
        for branch in growing:
            self._finish(branch, own)

    def _decide(self, branch: GrowingBranch) -> None:
        """Asks a plan for its next action."""
        depth, name = len(branch.steps), branch.plan.name
        action = branch.plan.act(branch.observation, depth)
        branch.action = as_action(self._space, action, f"step {depth} of the plan {name!r}")
        branch.path = (*branch.path, action_key(branch.action))
        known = branch.stored.steps[depth:] if branch.stored else ()
        if known and action_key(known[0].action) != branch.path[-1]:
            raise InvalidEpisode(
                f"the data set holds another plan called {name!r}, which did {known[0].action} at "
                f"step {depth}, not {branch.action}: use another name, or another folder"
            )

    def _predict(self, growing: Sequence[GrowingBranch]) -> None:
        """Predicts the steps that are not known yet; the first of several plans owns a step."""
        missing: dict[ActionPath, GrowingBranch] = {}
        for branch in growing:
            if branch.path not in self._known:
                missing.setdefault(branch.path, branch)
        self._seen |= {branch.path for branch in growing}
        done = len(self._seen) - len(missing)
        self._progress(done)
        waiting = iter(missing.values())
        while chunk := list(islice(waiting, self._at_once)):
            self._ask(chunk)
            done += len(chunk)
            self._progress(done)

    def _ask(self, growing: Sequence[GrowingBranch]) -> None:
        """Takes the next step of some branches by one call of the model, and writes it."""
        depth = len(growing[0].steps)
        known = self._seeds[depth:]
        seed = known[0] if known else noise_seed(self._seed, depth)
        taken = self._world.advance(
            [branch.observation for branch in growing],
            [branch.action for branch in growing],
            seeds=[seed] * len(growing),
        )
        self.asked += len(growing)
        for branch, step in zip(growing, taken, strict=True):
            if branch.split is None:
                self._split(branch)
            self._known[branch.path] = OwnedStep(step, branch.plan.name, branch.written + 1)
            self._write(branch, step)

    def _split(self, branch: GrowingBranch, own: bool = True) -> None:
        """Begins a branch's own episode where it leaves the others."""
        branch.split = len(branch.steps)
        if self._store is not None:
            parent = None if branch.last is None else (branch.last.owner, branch.last.place)
            name, steps = branch.plan.name, branch.plan.steps
            self._store.begin(name, branch.observation, parent, planned=steps, own=own)

    def _write(self, branch: GrowingBranch, step: Step) -> None:
        """Writes the next step to the branch's own episode, unless it is there."""
        if branch.unwritten:
            if self._store is not None:
                self._store.append(branch.plan.name, step)
            branch.written += 1

    def _finish(self, branch: GrowingBranch, own: bool) -> None:
        name = branch.plan.name
        if self._store is not None and not (branch.stored and branch.stored.finished):
            if branch.split is None:
                self._split(branch, own)  # it shares all its steps: its episode has none
            self._store.finish(name)
        self._branches[name] = Branch(name, tuple(branch.steps), branch.plan.steps)

    def _begin(self, plan: Plan, path: ActionPath = ()) -> GrowingBranch:
        if plan.name in self._branches:
            raise InvalidConfig(f"two branches of a tree cannot both be called {plan.name!r}")
        stored = None if self._store is None else self._store.branches.get(plan.name)
        if stored is not None and stored.planned != plan.steps:
            raise InvalidEpisode(
                f"the data set holds another plan called {plan.name!r}, of {stored.planned} steps, "
                f"not {plan.steps}: use another name, or another folder"
            )
        return GrowingBranch(plan, self.root, path, stored)

    def _recall(self, store: TreeStore) -> None:
        """Knows the steps that the data set holds."""
        for branch in store.branches.values():
            path = self._elsewhere(branch.name) * (not branch.own)
            for place, step in enumerate(branch.steps):
                path = (*path, action_key(step.action))
                owned = OwnedStep(step, branch.name, place - branch.split + 1)
                self._known.setdefault(path, owned)

    @staticmethod
    def _elsewhere(name: str) -> ActionPath:
        """The beginning of the path of a branch that another model predicted: nobody shares it."""
        return (("elsewhere", (), name.encode()),)
