"""Plays every contestant from every start on both sides, and goes on where it was broken off."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from chronosim.errors import InvalidConfig
from chronosim.evaluation.ranking.contestants import (
    Contestant,
    Start,
    check_contestants,
    draw_starts,
    learn,
)
from chronosim.evaluation.truth import Act, Reference, outcomes_only
from chronosim.files import write_text
from chronosim.policies import PerEpisode, Unchunked
from chronosim.processes import closing, deaf
from chronosim.progress import teller, watch
from chronosim.protocols import Policy, Prompter, Scenario
from chronosim.seeds import noise_seed
from chronosim.simulators.reference import ReferenceSimulator
from chronosim.types import Observation, Prediction
from chronosim.world import World

_RECORDED = 40  # held actions in each episode that clones learn from


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Who is to be ranked, and by what.

    Attributes:
        contestants: The policies; those of the make "random" say what is better than random.
        scorer: Reads a step's score off the frames.
        starts: Episodes of each policy on each side; 2 or more.
        horizon: Held actions in an episode; 1 or more.
        lead_in: Who acts before the starts; None: nobody.
        lead_steps: For how many held actions at most.

    Raises:
        InvalidConfig: Fewer than 3 contestants, 2 starts or 1 step; names that are not unique.
    """

    contestants: Sequence[Contestant]
    scorer: Scenario
    starts: int = 50
    horizon: int = 12
    lead_in: Act | None = None
    lead_steps: int = 0

    def __post_init__(self) -> None:
        if len(self.contestants) < 3 or self.starts < 2 or self.horizon < 1:
            raise InvalidConfig(
                "policies are ranked from 3 contestants, 2 starts and a horizon of 1 on, not from "
                f"{len(self.contestants)}, {self.starts} and {self.horizon}"
            )
        check_contestants(self.contestants)


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Policies that begin on the same true frames on both sides.

    Attributes:
        ranking: Who they are, and by what they are ranked.
        reference: The simulator, its prompter, and in its policy who acts in the recordings that
            clones learn from.
        folder: For what is finished: policies learned, results.
        first_seed: Of the starts. Clones learn from seeds a million further on.
        workers: Processes that run the reference simulator.
    """

    ranking: Ranking
    reference: Reference
    folder: Path
    first_seed: int
    workers: int = 1

    @property
    def game(self) -> Game:
        """What each of them plays."""
        simulator = outcomes_only(self.reference).simulator
        ranking = self.ranking
        return Game(simulator, self.reference.prompter, ranking.scorer, ranking.horizon)

    def train(self) -> list[Contestant]:
        """Gives the contestants, all able to act: clones learn first, or are found in the folder.

        Raises:
            ChronosimError: As the simulator and the policies.
        """
        return learn(
            self.ranking.contestants,
            reference=outcomes_only(self.reference),
            folder=self.folder / "policies",
            steps=_RECORDED,
            first_seed=self.first_seed + 1_000_000,
            workers=self.workers,
        )

    def draw(self, number: int | None = None) -> list[Start]:
        """Draws the first `number` of the starts; None: all of them.

        Raises:
            ChronosimError: As the simulator and who leads in.
        """
        number = self.ranking.starts if number is None else number
        drawn = draw_starts(
            number,
            reference=outcomes_only(self.reference),
            lead_in=self.ranking.lead_in,
            longest=self.ranking.lead_steps,
            first_seed=self.first_seed,
            workers=self.workers,
        )
        return list(watch(drawn, "drawing starts", number))

    def ledger(self, side: str, starts: int | None = None) -> Ledger:
        """Where results are kept: of "reference", "model", or another side of fewer starts."""
        number = self.ranking.starts if starts is None else starts
        return Ledger(self.folder / side, self.first_seed, number, self.ranking.horizon)


@dataclass(frozen=True, slots=True, eq=False)
class Scoreboard:
    """What came of all episodes.

    Attributes:
        contestants: In the order of the rows.
        reference: The scenario's score in the reference simulator, 0 to 1 where its rewards are.
        own: The reference simulator's own rewards, summed over an episode.
        model: The scenario's score in the world model.
    """

    contestants: tuple[Contestant, ...]
    reference: Float[np.ndarray, "policies starts"]
    own: Float[np.ndarray, "policies starts"]
    model: Float[np.ndarray, "policies starts"]


def hold(contest: Contest, world: World, *, seed: int) -> Scoreboard:
    """Plays what has not been played yet.

    Args:
        contest: Who plays what, and where.
        world: The model, and the reference's prompter.
        seed: Of the model's noise.

    Raises:
        InvalidConfig: What is kept is of other settings.
        ChronosimError: As the simulators, the policies and the model.
    """
    contestants, game = contest.train(), contest.game
    real, imagined = contest.ledger("reference"), contest.ledger("model")
    missing = [one for one in contestants if real.read(one.name) is None]
    unseen = [one for one in contestants if imagined.read(one.name) is None]
    where = contest.draw() if missing or unseen else []
    _play_all(missing, where, game, real, contest.workers)
    for one in watch(unseen, "imagining", len(unseen)):
        imagined.write(one.name, imagine(game, one.policy, where, world, seed=seed))
    return Scoreboard(
        contestants=tuple(contestants),
        reference=_table(contestants, real, lambda episode: episode.score),
        own=_table(contestants, real, lambda episode: episode.own or 0.0),
        model=_table(contestants, imagined, lambda episode: episode.score),
    )


def _play_all(
    contestants: Sequence[Contestant],
    starts: Sequence[Start],
    game: Game,
    ledger: Ledger,
    workers: int,
) -> None:
    played = teller("playing", len(contestants) * len(starts))
    if workers == 1:
        for one in contestants:
            ledger.write(one.name, [_told(play(game, one.policy, s), played) for s in starts])
        return
    context = multiprocessing.get_context("spawn")
    with closing(ProcessPoolExecutor(workers, context, initializer=_alone)) as pool:
        with deaf():
            waiting = {
                one.name: [pool.submit(play, game, one.policy, start) for start in starts]
                for one in contestants
            }
        for name, futures in waiting.items():
            ledger.write(name, [_told(future.result(), played) for future in futures])


def _told(played: Played, tell: Callable[[], object]) -> Played:
    tell()
    return played


def _table(
    contestants: Sequence[Contestant], ledger: Ledger, figure: Callable[[Played], float]
) -> Float[np.ndarray, "policies starts"]:
    rows = []
    for one in contestants:
        played = ledger.read(one.name)
        assert played is not None  # it was played
        rows.append([figure(episode) for episode in played])
    return np.array(rows, np.float64)


def _alone() -> None:
    """A process of several must not take all cores for a clone's little network."""
    torch.set_num_threads(1)


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


def play(game: Game, policy: Any, start: Start) -> Played:
    """Plays an episode in the reference simulator.

    Args:
        game: What is played.
        policy: A contestant's.
        start: Where to begin.
    """
    simulator = _begin(game, start)
    observation, acting = start.observation, _crew(game, policy, [start])
    scores: list[float] = []
    rewards: list[float] = []
    ended = False
    while not ended and len(scores) < game.horizon:
        [action] = acting.act([observation], [0])
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
    policy: Any,
    starts: Sequence[Start],
    simulator: World,
    *,
    seed: int,
) -> list[Played]:
    """Plays an episode from each start in the world model, all of them side by side.

    Args:
        game: What is played.
        policy: A contestant's; each row gets its start's seed.
        starts: Where to begin.
        simulator: The model, and the game's prompter.
        seed: The noise from start i at depth d is `noise_seed(seed + i, d)`, whatever the policy.
    """
    world = World(simulator.model, simulator.prompter, game.scenario)

    def advance(alive: list[int], seen: list[Observation], actions: list[Any], depth: int) -> Any:
        seeds = [noise_seed(seed + index, depth) for index in alive]
        for step in world.advance(seen, actions, seeds=seeds):
            yield step.reward, step.terminated, step.after

    return _side_by_side(game, policy, starts, advance)


def witness(
    game: Game, policy: Any, starts: Sequence[Start], see: See, *, seed: int
) -> list[Played]:
    """Plays an episode from each start in the reference simulator, but scores what `see` shows.

    The policy is shown the truth, so that no error of a step reaches the next one.

    Args:
        game: What is played.
        policy: A contestant's; each row gets its start's seed.
        starts: Where to begin.
        see: What is scored.
        seed: As of `imagine`.
    """
    worlds = [_begin(game, start) for start in starts]

    def advance(alive: list[int], seen: list[Observation], actions: list[Any], depth: int) -> Any:
        steps = [worlds[index].step(action) for index, action in zip(alive, actions, strict=True)]
        truths = [prediction for prediction, _, _ in steps if prediction is not None]
        shown = see(seen, actions, truths, [noise_seed(seed + index, depth) for index in alive])
        rows = zip(seen, actions, truths, shown, steps, strict=True)
        for before, action, truth, prediction, (_, _, over) in rows:
            _, state = game.prompter(before, action)
            after = Observation(prediction.frame, state, before.step + 1)
            score, ended = game.scenario.score(before, action, prediction, after)
            yield score, ended or over, replace(after, frame=truth.frame)

    return _side_by_side(game, policy, starts, advance)


def _side_by_side(
    game: Game,
    policy: Any,
    starts: Sequence[Start],
    advance: Callable[[list[int], list[Observation], list[Any], int], Any],
) -> list[Played]:
    """Plays all starts at once.

    `advance` takes those alive, what is seen there, the actions and the depth, and gives for each
    its score, whether it has ended, and what is seen next.
    """
    observations = [start.observation for start in starts]
    acting = _crew(game, policy, starts)
    scores: list[list[float]] = [[] for _ in starts]
    alive = list(range(len(starts)))
    for depth in range(game.horizon):
        seen = [observations[index] for index in alive]
        actions: list[Any] = acting.act(seen, alive)
        going = []
        for index, (score, ended, after) in zip(
            alive, advance(alive, seen, actions, depth), strict=True
        ):
            scores[index].append(score)
            observations[index] = after
            going += [] if ended else [index]
        alive = going
        if not alive:
            break
    # A world model has no rewards of its own.
    means = [float(_held(found, game.horizon).mean()) for found in scores]
    return [Played(mean, None, len(found)) for mean, found in zip(means, scores, strict=True)]


def _crew(game: Game, policy: Any, starts: Sequence[Start]) -> Unchunked:
    """A policy that begins an episode at each start, each in its row, with the start's seed."""
    own = isinstance(policy, Policy) and not isinstance(policy, type)
    acting = Unchunked(policy if own else PerEpisode(policy, "contestant"))
    asked = str(getattr(game.scenario, "instruction", ""))
    acting.begin({row: start.seed for row, start in enumerate(starts)}, instruction=asked)
    return acting


def _begin(game: Game, start: Start) -> ReferenceSimulator:
    """A reference simulator in the state of a start."""
    simulator = game.simulator()
    simulator.reset(start.seed)
    for action in start.history:
        simulator.step(action, draw=False)
    return simulator


def _held(rewards: Sequence[float], horizon: int) -> Float[np.ndarray, " horizon"]:
    """An episode's rewards, the last one counting on."""
    return np.concatenate([rewards, np.full(horizon - len(rewards), rewards[-1])])


@dataclass(frozen=True, slots=True)
class Ledger:
    """Results of one side, a JSON file for each policy.

    Attributes:
        folder: Where they are.
        first_seed: Of the starts.
        starts: How many there are.
        horizon: Held actions in an episode.
    """

    folder: Path
    first_seed: int
    starts: int
    horizon: int

    def read(self, name: str) -> list[Played] | None:
        """Gives a policy's results; None where there are none yet.

        Raises:
            InvalidConfig: They cannot be read, or are of other starts or another horizon.
        """
        path = self.folder / f"{name}.json"
        if not path.is_file():
            return None
        try:
            kept: Any = json.loads(path.read_text(encoding="utf-8"))
            played = [Played(**episode) for episode in kept.pop("episodes")]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidConfig(
                f"the kept results {path} cannot be read ({error}): remove the file, and they are "
                "made anew"
            ) from error
        if kept != self._settings:
            raise InvalidConfig(
                f"the kept results {path} are of {kept}, not of {self._settings}: use the same "
                "settings to go on, or another output="
            )
        return played

    def write(self, name: str, played: Sequence[Played]) -> None:
        """Keeps a policy's results."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = self._settings | {"episodes": [asdict(episode) for episode in played]}
        write_text(self.folder / f"{name}.json", json.dumps(kept) + "\n")

    @property
    def _settings(self) -> dict[str, int]:
        return {
            "first_seed": self.first_seed,
            "starts": self.starts,
            "horizon": self.horizon,
        }
