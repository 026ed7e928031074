"""Does the world model rank policies as the reference simulator does?"""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np

from chronosim.evaluation.ranking.agreement import Agreement, agree
from chronosim.evaluation.ranking.claim import Claim, judge
from chronosim.evaluation.ranking.contest import Contest
from chronosim.evaluation.ranking.pictures import draw_scores
from chronosim.evaluation.ranking.statistics import pearson
from chronosim.evaluation.ranking.tables import agreement_table, policies_table
from chronosim.evaluation.ranking.tournament import Scoreboard, hold
from chronosim.evaluation.reporting.finite import finite
from chronosim.evaluation.reporting.section import Gauge, Picture, Section
from chronosim.simulator import Simulator

__all__ = ["rank", "ranking_section"]

_FEW = 5  # policies better than random, below which they are not looked at alone
_FLATTERED = 0.15  # score by which the model may think better of the worst policies


def rank(contest: Contest, simulator: Simulator, *, seed: int = 0) -> Section:
    """Plays policies from the same true frames on both sides, and compares their scores.

    Every policy reads the observation alone, so the same one acts in the reference simulator and in
    the world model. What is finished is kept in the contest's folder; the same call goes on.

    Args:
        contest: Who plays what, and where.
        simulator: The model, and the reference's prompter.
        seed: Of the model's noise.

    Raises:
        InvalidConfig: What is kept is of other settings.
        ChronosimError: As the simulators, the policies and the model.
    """
    return ranking_section(
        hold(contest, simulator, seed=seed),
        source=contest.reference.simulator().source,
        horizon=contest.horizon,
        first_seed=contest.first_seed,
    )


def ranking_section(board: Scoreboard, *, source: str, horizon: int, first_seed: int) -> Section:
    """Compares two sides' scores, and says what they carry.

    Args:
        board: All scores.
        source: Name of the reference simulator.
        horizon: Held actions in an episode.
        first_seed: Of the starts.
    """
    names = tuple(one.name for one in board.contestants)
    makes = [one.make for one in board.contestants]
    every = agree(reference=board.reference, model=board.model, makes=makes)
    chosen = _better_than_random(board)
    better = _among(board, chosen) if len(chosen) >= _FEW else None
    own = agree(reference=_scaled(board.own), model=board.model, makes=makes)
    ruler = float(pearson(reference=board.own.mean(axis=1), model=board.reference.mean(axis=1)))
    claim = judge(every, better, source=source, names=names)
    where = f"{horizon} held actions from {every.starts} true frames (seeds from {first_seed:,} on)"
    return Section(
        name="ranking",
        title="Policy ranking",
        verdict=str(claim),
        warnings=_warnings(board, claim),
        tables=(
            agreement_table(every, better, own, ruler=ruler, source=source, where=where),
            policies_table(board, source=source, where=where),
        ),
        pictures=(
            Picture(
                draw_scores(board, source=source),
                f"Each policy's mean score over {every.starts} starts in {source} and in the world "
                "model, with 95% intervals; on the dashed line both say the same.",
            ),
        ),
        values=finite(
            {
                "policies": {
                    one.name: {
                        "make": one.make,
                        "reference": board.reference[row].tolist(),
                        "own_reward": board.own[row].tolist(),
                        "model": board.model[row].tolist(),
                    }
                    for row, one in enumerate(board.contestants)
                },
                "horizon": horizon,
                "first_seed": first_seed,
                "all": asdict(every),
                "better_than_random": None if better is None else asdict(better),
                "own_reward": asdict(own),
                "score_against_own_reward": ruler,
                "claim": asdict(claim) | {"carried": claim.carried},
            }
        ),
        gauge=_gauge(every),
    )


def _better_than_random(board: Scoreboard) -> list[int]:
    """Rows whose reference score is above that of every policy of the make random."""
    scores = board.reference.mean(axis=1)
    rows = [row for row, one in enumerate(board.contestants) if one.make == "random"]
    if not rows:
        return []
    limit = scores[rows].max()
    return [row for row, score in enumerate(scores) if score > limit]


def _among(board: Scoreboard, rows: list[int]) -> Agreement:
    return agree(
        reference=board.reference[rows],
        model=board.model[rows],
        makes=[board.contestants[row].make for row in rows],
    )


def _scaled(own: np.ndarray) -> np.ndarray:
    """Own rewards scaled so that the policies' means go from 0 to 1: MMRV has their unit."""
    means = own.mean(axis=1)
    width = float(means.max() - means.min())
    return np.asarray((own - means.min()) / (width if width > 0 else 1.0))


def _warnings(board: Scoreboard, claim: Claim) -> tuple[str, ...]:
    found = [] if claim.carried else ["policies cannot be ranked in it"]
    real, ours = board.reference.mean(axis=1), board.model.mean(axis=1)
    worst = np.argsort(real)[: max(len(real) // 3, 1)]
    best = np.argsort(real)[-max(len(real) // 3, 1) :]
    if (ours - real)[worst].mean() > _FLATTERED:
        found.append("bad policies are flattered")
    if (real - ours)[best].mean() > _FLATTERED:
        found.append("good policies fail in it")
    return tuple(found)


def _gauge(every: Agreement) -> Gauge | None:
    r = every.pearson
    if math.isnan(r.value):
        return None
    low, high = (0.0 if math.isnan(end) else end for end in (r.low, r.high))
    return Gauge("ranks policies (Pearson)", r.value, low, high, 0.0, "chance", -1.0, 1.0)
