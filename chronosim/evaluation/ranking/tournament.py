"""Plays every contestant from every start on both sides, and goes on where it was broken off."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from chronosim.evaluation.ranking.contest import Contest
from chronosim.evaluation.ranking.contestants import Contestant
from chronosim.evaluation.ranking.ledger import Ledger
from chronosim.evaluation.ranking.playing import Game, Played, imagine, play
from chronosim.evaluation.ranking.starts import Start
from chronosim.simulator import Simulator

__all__ = ["Scoreboard", "hold"]


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


def hold(contest: Contest, simulator: Simulator, *, seed: int) -> Scoreboard:
    """Plays what has not been played yet.

    Args:
        contest: Who plays what, and where.
        simulator: The model, and the reference's prompter.
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
    steps = len(unseen) * game.horizon
    with tqdm(total=steps, unit="step", desc="imagining", disable=not unseen) as progress:
        for one in unseen:
            _imagine(one, where, game, simulator, imagined, seed, progress)
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
    total = len(contestants) * len(starts)
    with tqdm(total=total, unit="episode", desc="playing", disable=not total) as progress:
        if workers == 1 or not total:
            for one in contestants:
                played = []
                for start in starts:
                    played.append(play(game, one.policy, start))
                    progress.update()
                ledger.write(one.name, played)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=_alone) as pool:
            waiting = {
                one.name: [pool.submit(play, game, one.policy, start) for start in starts]
                for one in contestants
            }
            try:
                for name, futures in waiting.items():
                    played = []
                    for future in futures:
                        played.append(future.result())
                        progress.update()
                    ledger.write(name, played)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _imagine(
    one: Contestant,
    starts: Sequence[Start],
    game: Game,
    simulator: Simulator,
    ledger: Ledger,
    seed: int,
    progress: tqdm[None],
) -> None:
    progress.set_postfix_str(one.name, refresh=False)
    played: list[Played] = []
    depth = 0
    for depth, played in enumerate(  # noqa: B007
        imagine(game, one.policy, starts, simulator, seed=seed), start=1
    ):
        progress.update()
    progress.update(game.horizon - depth)
    ledger.write(one.name, played)


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
