"""What truly happens: a reference simulator, and the episodes and moments drawn from it."""

from __future__ import annotations

import math
import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from chronosim.errors import InvalidConfig
from chronosim.metrics.pixels import squared_error
from chronosim.policies.acting import Act
from chronosim.processes import closing, deaf
from chronosim.protocols import Prompter
from chronosim.simulators.reference import ReferenceSimulator, branch
from chronosim.types import Frame, Frames, Observation, Trajectory

__all__ = [
    "Act",
    "Moment",
    "Recording",
    "Reference",
    "Region",
    "Steps",
    "draw_each",
    "draw_moments",
    "draw_recordings",
    "other_actions",
    "outcomes_only",
    "record",
]


Steps = Sequence[Frames]
"""After each step, a frame of each episode."""


@dataclass(frozen=True, slots=True)
class Region:
    """The lower part of a frame, to be judged with and without.

    Instruments, say: they move on their own, and tell of an action what the rest does not.

    Attributes:
        name: What is there.
        first_row: It covers the rows from here down, >= 1.

    Raises:
        InvalidConfig: `first_row` is below 1.
    """

    name: str
    first_row: int

    def __post_init__(self) -> None:
        if self.first_row < 1:
            raise InvalidConfig(
                f"a region to leave out must begin in row 1 or below, not in row {self.first_row}"
            )

    def cut(
        self, frames: UInt8[np.ndarray, "*many height width 3"]
    ) -> UInt8[np.ndarray, "*many rows width 3"]:
        """Gives what lies above it."""
        return frames[..., : self.first_row, :, :]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference simulator and who acts in it.

    It can be pickled where its parts can, so that several processes draw from it.

    Attributes:
        simulator: Makes the simulator.
        prompter: Words the actions, and keeps the commanded state.
        policy: Makes the policy of an episode from a seed.
        alternatives: Makes from a seed a policy that draws another action each time it is asked.
        left_out: A region in which outcomes need not differ to be told apart; None: no such region.
    """

    simulator: Callable[[], ReferenceSimulator]
    prompter: Prompter
    policy: Callable[[int], Act]
    alternatives: Callable[[int], Act]
    left_out: Region | None = None


def outcomes_only(reference: Reference) -> Reference:
    """Gives the same reference with trajectories of one frame, the outcome."""
    return replace(reference, simulator=partial(_coarse, reference.simulator))


def _coarse(make: Callable[[], ReferenceSimulator]) -> ReferenceSimulator:
    simulator = make()
    simulator.stride = simulator.hold
    return simulator


_PATIENCE = 100  # seeds in a row that may give nothing

Found = TypeVar("Found")


def draw_each(
    draw: Callable[[int], Found | None], number: int, *, first_seed: int, workers: int
) -> Iterator[Found]:
    """Draws from each seed in turn until enough of them gave something.

    Args:
        draw: Draws from a seed; None where it gives nothing. Pickled, if there are processes.
        number: How many to find.
        first_seed: Seeds count up from here.
        workers: Processes; 1: this one.

    Yields:
        What was found, in the order of the seeds.

    Raises:
        InvalidConfig: 100 seeds in a row gave nothing.
    """
    found, empty = 0, 0
    results = _mapped(draw, first_seed, workers)
    try:
        while found < number:
            result = next(results)
            if result is not None:
                found, empty = found + 1, 0
                yield result
                continue
            empty += 1
            if empty == _PATIENCE:
                raise InvalidConfig(
                    f"{_PATIENCE} episodes in a row gave nothing to judge by: they end too early, "
                    "or their actions lead to outcomes too much alike (a smaller apart= lets "
                    "more of them count)"
                )
    finally:
        results.close()


def _mapped(
    draw: Callable[[int], Found | None], first_seed: int, workers: int
) -> Generator[Found | None, None, None]:
    seeds = count(first_seed)
    if workers == 1:
        yield from map(draw, seeds)
        return
    # No further ahead than keeps every process busy, for nobody knows which seed is the last.
    context = multiprocessing.get_context("spawn")
    with closing(ProcessPoolExecutor(workers, context)) as pool:
        ahead: deque[Future[Found | None]] = deque()
        while True:
            with deaf():
                while len(ahead) < 2 * workers:
                    ahead.append(pool.submit(draw, next(seeds)))
            yield ahead.popleft().result()


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The beginning of an episode.

    Attributes:
        seed: Seed of the simulator's episode.
        actions: What was done, n of them.
        observations: What was seen, n + 1 of them: true frames, with the commanded state that the
            prompter reckons from the actions.
    """

    seed: int
    actions: tuple[Any, ...]
    observations: tuple[Observation, ...]


def draw_recordings(
    number: int, *, reference: Reference, steps: int, first_seed: int, workers: int = 1
) -> Iterator[Recording]:
    """Records the reference simulator; an episode that ends before `steps` is passed over.

    Args:
        number: How many.
        reference: What to record.
        steps: Held actions in each.
        first_seed: Seeds count up from here.
        workers: Processes; the recordings are the same whatever their number.

    Raises:
        InvalidConfig: 100 episodes in a row end too early.
    """
    return draw_each(
        partial(_draw_recording, reference, steps), number, first_seed=first_seed, workers=workers
    )


def record(
    simulator: ReferenceSimulator, prompter: Prompter, policy: Act, seed: int, steps: int
) -> Recording | None:
    """Records the first steps of an episode; None if it ends with them or before."""
    frame, values = simulator.reset(seed)
    actions: list[Any] = []
    observations = [Observation(frame, prompter.begin(values))]
    for step in range(steps):
        actions.append(policy(observations[-1]))
        _, state = prompter(observations[-1], actions[-1])
        prediction, _, ended = simulator.step(actions[-1])
        if ended or prediction is None:
            return None
        observations.append(Observation(prediction.frame, state, step + 1))
    return Recording(seed, tuple(actions), tuple(observations))


def _draw_recording(reference: Reference, steps: int, seed: int) -> Recording | None:
    return record(reference.simulator(), reference.prompter, reference.policy(seed), seed, steps)


_TRIES = 40  # actions drawn at a moment before it is given up
_STEPS = (3, 25)  # held actions before a moment: at least, fewer than


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One state, the action taken there and others, and what truly came of each.

    Attributes:
        seed: Seed of the simulator's episode.
        observation: What was seen.
        actions: The taken one first, then the others.
        trajectory: What came of the taken one, uint8 (time, height, width, 3).
        others: The outcome of each of the others, uint8 (others, height, width, 3).
    """

    seed: int
    observation: Observation
    actions: tuple[Any, ...]
    trajectory: Trajectory
    others: UInt8[np.ndarray, "others height width 3"]

    @property
    def outcomes(self) -> UInt8[np.ndarray, "actions height width 3"]:
        """The outcome of each action, the taken one's first."""
        return np.concatenate([self.trajectory[-1:], self.others])


def draw_moments(
    number: int,
    *,
    reference: Reference,
    first_seed: int,
    others: int = 4,
    apart: float = 10.0,
    workers: int = 1,
) -> Iterator[Moment]:
    """Draws moments from fresh episodes, one from each, by going there under the policy.

    Other actions are drawn until the true outcomes of all, the taken one's included, lie at least
    `apart` from one another, the region left out; where that cannot be had (a car that stands still
    with its brakes on) the episode is passed over and the next seed tried.

    Args:
        number: How many.
        reference: Where.
        first_seed: Seeds count up from here.
        others: Actions beside the taken one.
        apart: Smallest difference of two true outcomes, RMS grey levels.
        workers: Processes; the moments are the same whatever their number.

    Raises:
        InvalidConfig: 100 episodes in a row have no such moment.
    """
    draw = partial(_draw_moment, reference, others, apart)
    return draw_each(draw, number, first_seed=first_seed, workers=workers)


def _draw_moment(reference: Reference, others: int, apart: float, seed: int) -> Moment | None:
    steps = int(np.random.default_rng(seed).integers(*_STEPS))
    simulator, policy = reference.simulator(), reference.policy(seed)
    way = record(simulator, reference.prompter, policy, seed, steps)
    if way is None:
        return None
    observation, alternatives = way.observations[-1], reference.alternatives(seed)
    taken = policy(observation)
    actions, trajectories = [taken], [branch(simulator, seed, way.actions, taken).trajectory]
    for _ in range(_TRIES):
        action = alternatives(observation)
        trajectory = branch(simulator, seed, way.actions, action).trajectory
        if all(_differ(trajectory[-1], o[-1], reference.left_out) >= apart for o in trajectories):
            actions.append(action)
            trajectories.append(trajectory)
        if len(actions) == others + 1:
            outcomes = np.stack([other[-1] for other in trajectories[1:]])
            return Moment(seed, observation, tuple(actions), trajectories[0], outcomes)
    return None


def _differ(a: Frame, b: Frame, left_out: Region | None) -> float:
    """By how many grey levels two frames differ, RMS."""
    if left_out is not None:
        a, b = left_out.cut(a), left_out.cut(b)
    return math.sqrt(squared_error(a, b))


def other_actions(
    prompter: Prompter,
    observation: Observation,
    own: Any,
    candidates: Sequence[Any],
    number: int,
) -> list[Any]:
    """Picks the first actions that a model is told apart from the own one, and from each other.

    Steps may share their words (an episode of one instruction): a model that does the same under
    the same words has not ignored anything.

    Args:
        prompter: Words them.
        observation: Where they would be taken.
        own: The action that was taken there.
        candidates: Where to pick from, in this order.
        number: How many at most.

    Returns:
        None or more.
    """
    known = {prompter(observation, own)[0]}
    found: list[Any] = []
    for action in candidates:
        if len(found) == number:
            break
        text, _ = prompter(observation, action)
        if text not in known:
            known.add(text)
            found.append(action)
    return found
