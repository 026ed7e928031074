"""Moments to be judged at: one state of the reference simulator, several actions, what came."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from chronosim.adapters.simulators.carracing import CarRacingSimulator
from chronosim.evaluation.fidelity import squared_error
from chronosim.protocols import Prompter
from chronosim.scenarios.road import DASHBOARD_ROW
from chronosim.types import Frame, Observation

__all__ = ["Moment", "draw_moments"]

_TRIES = 40  # actions drawn at a moment before it is given up

Policy = Callable[[Observation], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One state, the action taken there and others, and the true outcome of each.

    Attributes:
        seed: Seed of the simulator's episode.
        observation: What was seen.
        actions: float32 (k, 3); the taken one first.
        texts: The words for each.
        outcomes: True frames after each, uint8 (k, height, width, 3).
    """

    seed: int
    observation: Observation
    actions: Float32[np.ndarray, "k action"]
    texts: tuple[str, ...]
    outcomes: UInt8[np.ndarray, "k height width 3"]


def draw_moments(
    moments: int,
    *,
    simulator: CarRacingSimulator,
    prompter: Prompter,
    policy: Callable[[int], Policy],
    first_seed: int,
    others: int = 4,
    apart: float = 10.0,
) -> Iterator[Moment]:
    """Draws moments from fresh episodes, one from each, by driving there under a policy.

    Actions are drawn until the true outcomes of all of them, the taken one's included, lie at
    least `apart` from one another above the dashboard; where that cannot be had (a car that stands
    still with its brakes on) the episode is passed over and the next seed tried.

    Args:
        moments: How many.
        simulator: The reference.
        prompter: Words the actions.
        policy: Makes a policy from a seed; it drives to the moment.
        first_seed: Seeds count up from here.
        others: Actions beside the taken one.
        apart: Smallest difference of two true outcomes, RMS grey levels.
    """
    found = 0
    for seed in count(first_seed):
        if found == moments:
            return
        moment = _draw(seed, simulator, prompter, policy(seed), others, apart)
        if moment is not None:
            found += 1
            yield moment


def _draw(
    seed: int,
    simulator: CarRacingSimulator,
    prompter: Prompter,
    policy: Policy,
    others: int,
    apart: float,
) -> Moment | None:
    rng = np.random.default_rng(seed)
    frame, values = simulator.reset(seed)
    observation, history = Observation(frame, prompter.begin(values)), []
    for step in range(int(rng.integers(3, 25))):
        action = policy(observation)
        _, state = prompter(observation, action)
        prediction, _, ended = simulator.step(action)
        if ended or prediction is None:
            return None
        history.append(action)
        observation = Observation(prediction.frame, state, step + 1)
    actions: list[Any] = []
    outcomes: list[Frame] = []
    for attempt in range(_TRIES):
        action = policy(observation) if attempt == 0 else _any_action(rng)
        outcome = _outcome(simulator, seed, history, action)
        if all(_apart(outcome, other) >= apart for other in outcomes):
            actions.append(action)
            outcomes.append(outcome)
        if len(actions) == others + 1:
            texts = tuple(prompter(observation, action)[0] for action in actions)
            return Moment(seed, observation, np.stack(actions), texts, np.stack(outcomes))
    return None


def _outcome(simulator: CarRacingSimulator, seed: int, history: list[Any], action: Any) -> Frame:
    """Replays an episode and takes another action at its end."""
    simulator.reset(seed)
    for earlier in history:
        simulator.step(earlier, draw=False)
    prediction = simulator.step(action)[0]
    assert prediction is not None
    return prediction.frame


def _apart(a: Frame, b: Frame) -> float:
    return math.sqrt(squared_error(a[:DASHBOARD_ROW], b[:DASHBOARD_ROW]))


def _any_action(rng: np.random.Generator) -> Float32[np.ndarray, 3]:
    """Steering about as far as the wheels turn (0.4), moderate throttle, sometimes brakes."""
    throttle = rng.choice([0.0, rng.uniform(0, 0.3), rng.uniform(0, 1)], p=[0.3, 0.5, 0.2])
    brake = rng.choice([0.0, rng.uniform(0, 0.5)], p=[0.7, 0.3])
    return np.array([rng.uniform(-0.5, 0.5), throttle, brake], np.float32)
