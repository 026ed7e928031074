"""A ranking's picture: each policy's score on both sides."""

from __future__ import annotations

import math

import numpy as np

from chronosim.evaluation.ranking.tournament import Scoreboard
from chronosim.evaluation.reporting.plots import new_figure, to_png

__all__ = ["draw_scores"]

_MARKS = "osD^vP*X<>h"


def draw_scores(board: Scoreboard, *, source: str) -> bytes:
    """Draws the world model's scores against the reference's, a mark for each make.

    Args:
        board: All scores.
        source: Name of the reference simulator.

    Returns:
        A PNG file.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = new_figure(8, 6)
    axes = figure.add_subplot()
    half = 1.96 / math.sqrt(board.reference.shape[1])
    makes = list(dict.fromkeys(one.make for one in board.contestants))
    for index, make in enumerate(makes):
        rows = [row for row, one in enumerate(board.contestants) if one.make == make]
        axes.errorbar(
            board.reference[rows].mean(axis=1),
            board.model[rows].mean(axis=1),
            xerr=half * board.reference[rows].std(axis=1, ddof=1),
            yerr=half * board.model[rows].std(axis=1, ddof=1),
            fmt=_MARKS[index % len(_MARKS)],
            elinewidth=0.8,
            alpha=0.85,
            label=make,
        )
    named: list[np.ndarray] = []
    for row, one in enumerate(board.contestants):
        place = np.array([board.reference[row].mean(), board.model[row].mean()])
        # Names on top of one another could not be read; the table has them all.
        if all(np.abs((place - other) / (0.12, 0.025)).max() > 1 for other in named):
            named.append(place)
            axes.annotate(
                one.name, tuple(place), xytext=(5, 4), textcoords="offset points", fontsize=7
            )
    ends = [float(np.min([board.reference.mean(axis=1), board.model.mean(axis=1)])), 1.0]
    axes.axline((ends[0], ends[0]), slope=1, color="grey", linestyle="--", linewidth=1)
    axes.set(xlabel=f"score in {source}", ylabel="score in the world model")
    axes.grid(alpha=0.2)
    axes.legend(title="make", fontsize=8)
    return to_png(figure)
