"""A ranking's tables: the figures of agreement, and the policies."""

from __future__ import annotations

import math

import numpy as np

from chronosim.evaluation.ranking.agreement import Agreement
from chronosim.evaluation.ranking.tournament import Scoreboard
from chronosim.evaluation.reporting.section import Table

__all__ = ["agreement_table", "policies_table"]


def agreement_table(
    every: Agreement,
    better: Agreement | None,
    own: Agreement,
    *,
    ruler: float,
    source: str,
    where: str,
) -> Table:
    """Sets the figures side by side: all policies, those better than random, the own reward.

    Args:
        every: Over all policies, by the scenario's score on both sides.
        better: Over those better than random; None: too few.
        own: Over all policies, by the reference simulator's own reward on its side.
        ruler: Pearson of that reward and the scenario's score, both in the reference simulator.
        source: Name of the reference simulator.
        where: What was played, in words.
    """
    columns = {"all": every}
    if better is not None:
        columns["better than random"] = better
    columns[f"all, by {source}'s own reward"] = own
    rows = [[name] for name in _figures(every)]
    for agreement in columns.values():
        for row, cell in zip(rows, _figures(agreement).values(), strict=True):
            row.append(cell)
    return Table(
        ("agreement", *columns),
        tuple(map(tuple, rows)),
        f"{where}. In brackets 95% intervals over resampled policies and starts. MMRV: what is "
        "lost at worst by believing the model's order, in units of the score (own rewards scaled "
        "to 0 to 1 over the policies), 0 is best. Scores and own rewards of the simulator itself "
        f"correlate by {ruler:.2f}: no model's scores can tell its own rewards much better.",
    )


def policies_table(board: Scoreboard, *, source: str, where: str) -> Table:
    """Lists the policies, the best in the reference first.

    Args:
        board: All scores.
        source: Name of the reference simulator.
        where: What was played, in words.
    """
    real, ours = board.reference.mean(axis=1), board.model.mean(axis=1)
    places = np.argsort(np.argsort(-ours, kind="stable"), kind="stable") + 1
    rows = []
    for rank, row in enumerate(np.argsort(-real, kind="stable"), start=1):
        one = board.contestants[row]
        rows.append(
            (
                f"{rank}",
                one.name,
                one.make,
                _spread(board.reference[row]),
                f"{board.own[row].mean():.1f}",
                _spread(board.model[row]),
                f"{places[row]}",
                f"{ours[row] - real[row]:+.2f}",
            )
        )
    header = (
        "rank", "policy", "make", f"score in {source}", "its own reward", "score in the model",
        "rank there", "difference",
    )  # fmt: skip
    return Table(
        header,
        tuple(rows),
        "Score: mean of the scenario's reward over the steps, read off the frames on both sides, "
        f"± a standard error over starts. {where}.",
    )


def _figures(agreement: Agreement) -> dict[str, str]:
    a = agreement
    return {
        "policies, of makes": f"{a.policies}, {a.makes}",
        "Pearson": str(a.pearson),
        "Pearson, Fisher's interval": str(a.fisher),
        "Pearson, whole makes resampled": str(a.by_make),
        "Spearman": str(a.spearman),
        "MMRV": str(a.mmrv),
        "MMRV by chance": f"{a.chance.mmrv:.2f} (1 in 20 below {a.chance.mmrv_low:.2f})",
        "p by permutation": f"{a.chance.p:.2g} (at least {a.chance.floor:.2g})",
        "a perfect model's Pearson": f"{a.noise.pearson:.2f} (1 in 20 below "
        f"{a.noise.pearson_low:.2f})",
        "a perfect model's MMRV": f"{a.noise.mmrv:.3f} (1 in 20 above {a.noise.mmrv_high:.3f})",
        "one policy left out moves Pearson by": _moved(a.swing),
        "one make left out moves it by": f"{_moved(a.make_swing)} {a.swing_make}".strip(),
        "different scores, there and here": f"{a.distinct[0]}, {a.distinct[1]}",
        "standard error of a score, there and here": f"{a.standard_error[0]:.3f}, "
        f"{a.standard_error[1]:.3f}",
    }


def _moved(swing: float) -> str:
    return "-" if math.isnan(swing) else f"{swing:.2f}"


def _spread(scores: np.ndarray) -> str:
    return f"{scores.mean():.2f} ± {scores.std(ddof=1) / math.sqrt(len(scores)):.2f}"
