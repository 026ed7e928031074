"""What moves a ranking: each thing changed alone, and how the same policies rank then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from chronosim.evaluation.experiments import OTHER_NOISE, tell_less
from chronosim.evaluation.intervals import Interval
from chronosim.evaluation.predictions import Autoencoding, see_through
from chronosim.evaluation.ranking.agreement import means, mmrv, pearson, percentiles
from chronosim.evaluation.ranking.contestants import Contestant, Start
from chronosim.evaluation.ranking.tournament import (
    Contest,
    Game,
    Played,
    See,
    hold,
    imagine,
    witness,
)
from chronosim.evaluation.report.section import Section, Table, finite
from chronosim.progress import watch
from chronosim.types import Prediction
from chronosim.world import World

Scores = Float[np.ndarray, "policies starts"]
_Play = Callable[[Contestant, Sequence[Start]], list[Played]]

_STARTS = 6  # each experiment plays all policies from all of them once more
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Moved:
    """How policies rank with one thing changed.

    Attributes:
        name: A word for JSON.
        changed: What, in words.
        pearson: Correlation with the reference's scores.
        mmrv: Mean maximum rank violation, in units of the score.
        gain: Of Pearson over the ranking in which nothing is changed, from the same starts; its
            interval resamples policies and starts.
    """

    name: str
    changed: str
    pearson: float
    mmrv: float
    gain: Interval


def move_ranking(contest: Contest, world: World, *, seed: int) -> list[Moved]:
    """Ranks the contestants anew in every way that the model and its prompter allow.

    It is done from the first 6 starts of the contest; what is finished is kept in its folder.

    Args:
        contest: Who plays what, and where.
        world: The model, and the reference's prompter.
        seed: Of the model's noise.

    Returns:
        First the ranking in which nothing is changed, then the others by what they gain.

    Raises:
        InvalidConfig: What is kept is of other settings.
        ChronosimError: As the simulators, the policies and the model.
    """
    starts = min(_STARTS, contest.ranking.starts)
    board = hold(contest, world, seed=seed)
    truth, unchanged = board.reference[:, :starts], board.model[:, :starts]
    where = contest.draw(starts)
    found = [_moved("nothing", "nothing", truth, unchanged, unchanged)]
    for name, changed, play in _changes(contest.game, world, seed):
        scores = _scores(contest, board.contestants, where, name, play)
        found.append(_moved(name, changed, truth, unchanged, scores))
    return [found[0], *sorted(found[1:], key=lambda one: -np.nan_to_num(abs(one.gain.value)))]


def moved_section(moved: Sequence[Moved], contest: Contest) -> Section:
    """Lays the rankings out, each beside the one in which nothing is changed."""
    return Section(
        name="moved",
        title="What moves the ranking",
        verdict=_verdict(moved, min(_STARTS, contest.ranking.starts)),
        tables=(_table(moved, contest),),
        values=finite({"ranking": {one.name: asdict(one) for one in moved}}),
    )


def _verdict(moved: Sequence[Moved], starts: int) -> str:
    unchanged, *changes = moved
    shown = [one for one in changes if one.gain.low > 0 or one.gain.high < 0]
    most = (shown or changes)[0]
    said = "What moves it most" if shown else "Nothing is shown to move it; the most"
    return (
        f"From the first {starts} starts alone policies rank with a Pearson of "
        f"{unchanged.pearson:.2f}. {said}: {most.changed} ({most.gain.signed})."
    )


def _table(moved: Sequence[Moved], contest: Contest) -> Table:
    ranking = contest.ranking
    rows = [
        (one.name, one.changed, f"{one.pearson:.2f}", one.gain.signed, f"{one.mmrv:.2f}")
        for one in moved
    ]
    return Table(
        ("experiment", "what was changed, alone", "Pearson", "moves it by (95%)", "MMRV"),
        tuple(rows),
        f"{len(ranking.contestants)} policies from {min(_STARTS, ranking.starts)} starts, "
        f"{ranking.horizon} held actions; intervals over policies and starts.",
    )


def _changes(game: Game, world: World, seed: int) -> Iterator[tuple[str, str, _Play]]:
    model = world.model

    def free(changed: World, noise: int = seed) -> _Play:
        return lambda one, where: imagine(game, one.policy, where, changed, seed=noise)

    def true(see: See) -> _Play:
        return lambda one, where: witness(game, one.policy, where, see, seed=seed)

    yield (
        "noise",
        "another seed of the noise: how much is chance",
        free(world, seed + OTHER_NOISE),
    )
    yield (
        "error fed back",
        "the policy acts in the reference, steps are scored as predicted",
        true(
            lambda seen, actions, truths, seeds: [
                step.prediction for step in world.advance(seen, actions, seeds=seeds)
            ]
        ),
    )
    if isinstance(model, Autoencoding):
        yield (
            "autoencoder alone",
            "the policy acts in the reference, whose frames are scored as autoencoded",
            true(
                lambda seen, actions, truths, seeds: [
                    Prediction(see_through(model, before.frame, after.frame)[None])
                    for before, after in zip(seen, truths, strict=True)
                ]
            ),
        )
    for name, changed, told in tell_less(world):
        yield name, changed, free(told)


def _scores(
    contest: Contest,
    contestants: Sequence[Contestant],
    where: Sequence[Start],
    name: str,
    play: _Play,
) -> Scores:
    """Scores of all contestants, those that are kept and those that were yet to be played."""
    ledger = contest.ledger(f"experiments/{name.replace(' ', '-')}", len(where))
    rows: list[Any] = []
    for one in watch(contestants, f"ranking: {name}", len(contestants)):
        played = ledger.read(one.name)
        if played is None:
            played = play(one, where)
            ledger.write(one.name, played)
        rows.append([episode.score for episode in played])
    return np.array(rows, np.float64)


def _moved(name: str, changed: str, truth: Scores, unchanged: Scores, scores: Scores) -> Moved:
    """Compares two rankings from the same starts, drawn alike."""
    policies, starts = truth.shape
    rng = np.random.default_rng(0)
    drawn = (
        rng.integers(0, policies, (_RESAMPLES, policies, 1)),
        rng.integers(0, starts, (_RESAMPLES, 1, starts)),
    )

    def correlate(ours: Scores) -> tuple[float, np.ndarray]:
        alike = pearson(reference=means(truth[drawn]), model=means(ours[drawn]))
        return float(pearson(reference=means(truth), model=means(ours))), alike

    (before, befores), (after, afters) = correlate(unchanged), correlate(scores)
    return Moved(
        name=name,
        changed=changed,
        pearson=after,
        mmrv=float(mmrv(reference=means(truth), model=means(scores))),
        gain=percentiles(after - before, afters - befores),
    )
