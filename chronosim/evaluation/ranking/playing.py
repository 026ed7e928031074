"""Episodes of a policy from given starts: in the reference simulator, and in the world model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from chronosim.adapters.simulators.reference import ReferenceSimulator
from chronosim.evaluation.ranking.starts import Start
from chronosim.evaluation.truth.reference import Policy
from chronosim.protocols import Prompter, Scenario
from chronosim.simulator import Simulator, noise_seed
from chronosim.types import Observation, Prediction

__all__ = ["Game", "Played", "See", "imagine", "play", "witness"]

See = Callable[[list[Observation], list[Any], list[Prediction], list[int]], list[Prediction]]
"""Makes what is to be scored of observations, actions, what truly came of them, noise seeds."""


@dataclass(frozen=True, slots=True)
class Game:
    """What is played; it can be pickled where its parts can.

    Attributes:
        simulator: Makes the reference simulator.
        prompter: Words the actions, and keeps the commanded state.
        scenario: Reads the score of a step off the frames, true ones and predicted ones alike.
        horizon: Held actions in an episode.
    """

    simulator: Callable[[], ReferenceSimulator]
    prompter: Prompter
    scenario: Scenario
    horizon: int


@dataclass(frozen=True, slots=True)
class Played:
    """What an episode came to.

    Attributes:
        score: Mean of the scenario's reward over the horizon, read off the frames. After an early
            end its last reward counts on: where the road is lost nothing is won any more, and a
            goal once reached stays reached.
        own: Sum of the simulator's own rewards, counted on alike; None in a world model.
        steps: Held actions until the end.
    """

    score: float
    own: float | None
    steps: int


def play(game: Game, policy: Callable[[int], Policy], start: Start) -> Played:
    """Plays an episode in the reference simulator.

    Args:
        game: What is played.
        policy: Makes the policy; it gets the start's seed.
        start: Where to begin.
    """
    simulator = _begin(game, start)
    observation, act = start.observation, policy(start.seed)
    scores: list[float] = []
    rewards: list[float] = []
    ended = False
    while not ended and len(scores) < game.horizon:
        action = act(observation)
        _, state = game.prompter(observation, action)
        prediction, reward, over = simulator.step(action)
        assert prediction is not None  # it was drawn
        after = Observation(prediction.frame, state, observation.step + 1)
        score, terminated = game.scenario.score(observation, action, prediction, after)
        scores.append(score)
        rewards.append(reward)
        observation, ended = after, terminated or over
    own = float(_held(rewards, game.horizon).sum())
    return Played(float(_held(scores, game.horizon).mean()), own, len(scores))


def imagine(
    game: Game,
    policy: Callable[[int], Policy],
    starts: Sequence[Start],
    simulator: Simulator,
    *,
    seed: int,
) -> Iterator[list[Played]]:
    """Plays an episode from each start in the world model, all of them side by side.

    Args:
        game: What is played.
        policy: Makes the policies; each gets its start's seed.
        starts: Where to begin.
        simulator: The model, and the game's prompter.
        seed: The noise from start i at depth d is `noise_seed(seed + i, d)`, whatever the policy.

    Yields:
        After each held action, what the episodes have come to by then; the last is the result.
    """
    observations = [start.observation for start in starts]
    policies = [policy(start.seed) for start in starts]
    scores: list[list[float]] = [[] for _ in starts]
    alive = list(range(len(starts)))
    for depth in range(game.horizon):
        actions: list[Any] = [policies[index](observations[index]) for index in alive]
        steps = simulator.step_all(
            [observations[index] for index in alive],
            actions,
            seeds=[noise_seed(seed + index, depth) for index in alive],
        )
        going = []
        for index, action, (after, prediction) in zip(alive, actions, steps, strict=True):
            score, terminated = game.scenario.score(observations[index], action, prediction, after)
            scores[index].append(score)
            observations[index] = after
            if not terminated:
                going.append(index)
        alive = going
        yield [_so_far(found, game.horizon) for found in scores]
        if not alive:
            return


def witness(
    game: Game, policy: Callable[[int], Policy], starts: Sequence[Start], see: See, *, seed: int
) -> Iterator[list[Played]]:
    """Plays an episode from each start in the reference simulator, but scores what `see` shows.

    The policy is shown the truth, so that no error of a step reaches the next one.

    Args:
        game: What is played.
        policy: Makes the policies; each gets its start's seed.
        starts: Where to begin.
        see: What is scored.
        seed: As of `imagine`.

    Yields:
        As `imagine`.
    """
    worlds = [_begin(game, start) for start in starts]
    observations = [start.observation for start in starts]
    policies = [policy(start.seed) for start in starts]
    scores: list[list[float]] = [[] for _ in starts]
    alive = list(range(len(starts)))
    for depth in range(game.horizon):
        before = [observations[index] for index in alive]
        actions: list[Any] = [
            policies[index](seen) for index, seen in zip(alive, before, strict=True)
        ]
        steps = [worlds[index].step(action) for index, action in zip(alive, actions, strict=True)]
        truths = [prediction for prediction, _, _ in steps if prediction is not None]
        shown = see(before, actions, truths, [noise_seed(seed + index, depth) for index in alive])
        going = []
        for row, index in enumerate(alive):
            _, state = game.prompter(before[row], actions[row])
            after = Observation(shown[row].frame, state, before[row].step + 1)
            score, ended = game.scenario.score(before[row], actions[row], shown[row], after)
            scores[index].append(score)
            observations[index] = Observation(truths[row].frame, state, before[row].step + 1)
            if not (ended or steps[row][2]):
                going.append(index)
        alive = going
        yield [_so_far(found, game.horizon) for found in scores]
        if not alive:
            return


def _begin(game: Game, start: Start) -> ReferenceSimulator:
    """A reference simulator in the state of a start."""
    simulator = game.simulator()
    simulator.reset(start.seed)
    for action in start.history:
        simulator.step(action, draw=False)
    return simulator


def _so_far(scores: Sequence[float], horizon: int) -> Played:
    """What an episode has come to; a world model has no rewards of its own."""
    return Played(float(_held(scores, horizon).mean()), None, len(scores))


def _held(rewards: Sequence[float], horizon: int) -> Float[np.ndarray, " horizon"]:
    """An episode's rewards, the last one counting on."""
    return np.concatenate([rewards, np.full(horizon - len(rewards), rewards[-1])])
