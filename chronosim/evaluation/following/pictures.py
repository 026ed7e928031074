"""Plots of action following: which truth a prediction finds, and how that hangs on the margin."""

from __future__ import annotations

from collections.abc import Sequence

from chronosim.evaluation.following.retrieval import Retrieval
from chronosim.evaluation.reporting.plots import new_figure, to_png

__all__ = ["draw_probe", "draw_retrieval"]


def draw_retrieval(retrieval: Retrieval) -> bytes:
    """Draws the confusion of actions beside the share found against the margin: a PNG file.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = new_figure(9.5, 4.2)
    left, right = figure.subplots(1, 2)
    number = len(retrieval.confusion)
    left.imshow(retrieval.confusion, cmap="Blues", vmin=0, vmax=1)
    for row in range(number):
        for column in range(number):
            share = retrieval.confusion[row, column]
            colour = "white" if share > 0.5 else "black"
            left.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour)
    places = range(number)
    left.set(
        xlabel="nearest truth", ylabel="prediction of action", xticks=places, yticks=places,
        xticklabels=[str(place + 1) for place in places],
        yticklabels=[str(place + 1) for place in places],
    )  # fmt: skip
    shares = [step.share for step in retrieval.curve]
    right.errorbar(
        [step.margin for step in retrieval.curve],
        [share.share for share in shares],
        yerr=[
            [share.share - share.low for share in shares],
            [share.high - share.share for share in shares],
        ],
        fmt="o-",
        capsize=3,
    )
    right.axhline(retrieval.guessing, color="grey", linestyle="--", label="guessing")
    right.set(xlabel="nearest other truth, RMS grey levels", ylabel="finds its own", ylim=(0, 1.02))
    right.legend()
    right.grid(alpha=0.2)
    return to_png(figure)


def draw_probe(names: Sequence[str], true: Sequence[float], predicted: Sequence[float]) -> bytes:
    """Draws how much of each number of the action is told from true and predicted frames: a PNG.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = new_figure(1.6 + 1.4 * len(names), 3.4)
    axes = figure.subplots()
    places = range(len(names))
    axes.bar([p - 0.2 for p in places], true, 0.4, label="true frames (ceiling)", color="grey")
    axes.bar([p + 0.2 for p in places], predicted, 0.4, label="predicted frames")
    low = min([0.0, *predicted, *true])
    axes.set(xticks=places, xticklabels=names, ylabel="recovered", ylim=(max(low, -1.0), 1.02))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.legend(fontsize=8)
    return to_png(figure)
