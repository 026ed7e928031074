"""A what-if from end to end: a moment, plans or a search, and what is left in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chronosim.episodes import EpisodeReader, Step
from chronosim.errors import InvalidConfig, InvalidEpisode
from chronosim.policies.acting import act_alone
from chronosim.protocols import Prompter, WorldModel
from chronosim.seeds import generator
from chronosim.types import Observation
from chronosim.whatif.grower import Grower
from chronosim.whatif.plans import Plan, default_plans
from chronosim.whatif.report import write_report
from chronosim.whatif.search import Search
from chronosim.whatif.store import TreeStore, took_steps
from chronosim.whatif.tree import Tree
from chronosim.world import World

AS_LOGGED, IMAGINED = "as logged", "the same, imagined"
"""The branches that a logged moment brings along: the log's own, and its actions in this world."""


@dataclass(frozen=True, slots=True, eq=False)
class WhatIfResult:
    """What became of several plans from one moment.

    Attributes:
        tree: The branches to show; the first one is what the others are compared with.
        tried: Branches in all: after a search more than are shown.
        predictions: Predictions that all branches consist of.
        asked: Predictions that the model was asked for; the others were on disk or in a log.
    """

    tree: Tree
    tried: int
    predictions: int
    asked: int


@dataclass(frozen=True, slots=True, eq=False)
class LoggedMoment:
    """A moment of a logged episode: what if it had gone on otherwise?

    Attributes:
        episode: The episode.
        at: After how many of its steps.
    """

    episode: EpisodeReader
    at: int

    @property
    def root(self) -> Observation:
        """What was seen."""
        return self.episode.observation(self.at)

    def following(self, count: int) -> tuple[Step, ...]:
        """What happened from there on, at most so many steps."""
        last = min(self.at + count, self.episode.steps)
        return tuple(self.episode.step(index) for index in range(self.at, last))


def read_moment(path: str | Path, at: int, prompter: Prompter) -> LoggedMoment:
    """Reads a moment of a logged episode.

    Args:
        path: The episode.
        at: After how many of its steps, >= 0 and before its last one.
        prompter: Of the world that shall go on from there.

    Raises:
        EpisodeNotFound: There is no episode.
        InvalidEpisode: It has no such step, or commanded states that the prompter does not keep.
    """
    moment = LoggedMoment(EpisodeReader(path), at)
    if not 0 <= at < moment.episode.steps:
        raise InvalidEpisode(
            f"{path} has {moment.episode.steps} steps: what if it had done otherwise at step {at}? "
            f"Choose at= from 0 to {moment.episode.steps - 1}"
        )
    told, kept = moment.root.state.shape, prompter.state_space.shape
    if told != kept:
        raise InvalidEpisode(
            f"{path} keeps commanded states of shape {told}, but the prompter of {kept}: "
            "choose the prompter that the episode was logged with"
        )
    return moment


def run(
    world: World,
    plans: Mapping[str, Sequence[Any]] | None = None,
    *,
    start: Observation | LoggedMoment | None = None,
    policy: Any = None,
    search: Search | None = None,
    steps: int = 5,
    keep: int = 5,
    seed: int = 0,
    folder: str | Path | None = None,
    apart: float = 10.0,
    trajectories: bool | None = None,
    at_once: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> WhatIfResult:
    """Plays several plans out from one moment, or searches for plans, and leaves what came of it.

    All branches meet the same noise at the same depth, so they differ by their actions alone; plans
    that begin alike share what they have in common. From a logged moment the log's own branch comes
    first, and, where another model took its steps, the same actions in this world.

    Args:
        world: What answers; its scenario says what counts, and where a branch ends.
        plans: Actions by the name of their plan; lists of numbers will do where arrays are meant.
            None: `default_plans`, or, with a search, none to begin with.
        start: The moment; None: a first frame of the scenario's.
        policy: Drives one more branch: whatever `chronosim.policies.as_policy` takes.
        search: How to look for plans of a high or low score; None: only the given ones are played.
        steps: Steps of the default plans and of the policy's branch.
        keep: Branches of a search that are shown, the best first.
        seed: Of the scenario's first frame, the search's draws and the noise.
        folder: Where the results go: a data set `episodes` with an episode for each branch, the
            pictures and figures of `write_report`. A tree that was broken off there is gone on
            with. None: nowhere.
        apart: RMS grey levels from which two frames count as different, above 0 to 255.
        trajectories: Whether the frames on the way are decoded; None: unless plans are searched.
        at_once: Predictions asked in one call of the model, >= 1; None: all of a depth.
        progress: Called with the predictions there are, and how many there will be at most.

    Raises:
        InvalidConfig: A plan without a name or an action, a name twice, or a setting out of range.
        InvalidAction: An action does not lie in the prompter's action space.
        InvalidEpisode: There is another tree in the folder.
        EpisodeWriteError: The disk refuses.
        ChronosimError: As `World.advance`.
    """
    _check(plans, steps=steps, keep=keep, apart=apart)
    if not (search is None if trajectories is None else trajectories):
        world = replace(world, model=_outcomes_only(world.model))
    moment = start if isinstance(start, LoggedMoment) else None
    root = _root(world, start, seed)
    first = _first(world.prompter, root, plans, steps, search)
    if policy is not None:
        name = str(getattr(policy, "__name__", type(policy).__name__))
        act = act_alone(policy, seed, instruction=world.instruction)
        first.append(Plan.following(name, act, steps))
    longest = max([steps, *(plan.steps for plan in first)])
    logged = () if moment is None else moment.following(longest)
    own = moment is not None and took_steps(world.model.identity, moment.episode.about)
    if logged and not own:
        first.insert(0, Plan.of(IMAGINED, [step.action for step in logged]))
    most = len(logged) + (search.budget if search else sum(plan.steps for plan in first))
    opened = None if folder is None else _store(folder, world, root, seed, moment)
    with nullcontext() if opened is None else opened as store:
        grower = Grower(
            world,
            root,
            seed=seed,
            seeds=_seeds(moment, logged),
            store=store,
            at_once=at_once,
            progress=progress and (lambda done: progress(done, max(done, most))),
        )
        shown = [grower.keep(AS_LOGGED, logged, own=own)] if logged else []
        if search is None:
            shown += grower.grow(first)
        else:
            space = world.prompter.action_space
            shown += search.best(search.run(grower, space, seed=seed, first=first), keep)
    tree, everything = Tree(root, tuple(shown)), grower.tree
    if folder is not None:
        pace = world.prompter.seconds_per_step
        write_report(tree, folder, apart=apart, seconds_per_step=pace)
    return WhatIfResult(tree, len(everything), everything.predictions, grower.asked)


def _check(
    plans: Mapping[str, Sequence[Any]] | None, *, steps: int, keep: int, apart: float
) -> None:
    for name in (AS_LOGGED, IMAGINED):
        if plans is not None and name in plans:
            raise InvalidConfig(f"a plan cannot be called {name!r}: that is the log's own branch")
    if steps < 1 or keep < 1:
        raise InvalidConfig(f"steps and keep must be at least 1, not {steps} and {keep}")
    if isinstance(apart, bool) or not isinstance(apart, int | float) or not 0 < apart <= 255:
        raise InvalidConfig(f"apart must be a number of grey levels above 0, not {apart!r}")


def _outcomes_only(model: WorldModel) -> WorldModel:
    """The same model without the frames on the way, where it can leave them out."""
    resampled: Any = getattr(model, "resampled", None)
    if resampled is None:
        return model
    sampling: Any = model.sampling  # type: ignore[attr-defined]  # what can be resampled has one
    quick: WorldModel = resampled(replace(sampling, decode_trajectory=False))
    return quick


def _root(world: World, start: Observation | LoggedMoment | None, seed: int) -> Observation:
    if start is None:
        return world.begin(generator(seed))[0]
    return start.root if isinstance(start, LoggedMoment) else start


def _first(
    prompter: Prompter,
    root: Observation,
    plans: Mapping[str, Sequence[Any]] | None,
    steps: int,
    search: Search | None,
) -> list[Plan]:
    """The plans that are played out first: all there are, where nothing is searched for."""
    if not plans:
        plans = default_plans(prompter, root, steps) if search is None else {}
    return [Plan.of(name, actions) for name, actions in plans.items()]


def _store(
    folder: str | Path, world: World, root: Observation, seed: int, moment: LoggedMoment | None
) -> TreeStore:
    lineage = None
    if moment is not None:
        episode = str(Path(str(moment.episode.path)).absolute())
        lineage = {"episode": episode, "step": moment.at, "branch": 1}
    about = {**world.about(seed=seed, lineage=lineage), "root_step": root.step}
    return TreeStore(Path(folder) / "episodes", root, about)


def _seeds(moment: LoggedMoment | None, logged: Sequence[Step]) -> list[int]:
    """The noise of a log's steps; none where no world model took them."""
    synthetic = moment is not None and moment.episode.about.get("synthetic") is True
    return [step.seed for step in logged] if synthetic else []
