"""Moments to be judged at: one state of the reference simulator, several actions, what came."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronosim.evaluation.truth.recordings import record
from chronosim.evaluation.truth.reference import Reference, Region, draw_each
from chronosim.metrics.pixels import squared_error
from chronosim.protocols import Prompter
from chronosim.simulators.reference import branch
from chronosim.types import Frame, Observation, Trajectory

__all__ = ["Moment", "draw_moments", "other_actions"]

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
    draw = partial(_draw, reference, others, apart)
    return draw_each(draw, number, first_seed=first_seed, workers=workers)


def _draw(reference: Reference, others: int, apart: float, seed: int) -> Moment | None:
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
