"""Figures over the steps of rollouts, each with the interval that resampling the episodes gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from chronosim.evaluation.report.plots import new_figure, to_png

__all__ = ["Curve", "draw_curves", "resample"]

_RESAMPLES = 1000
_GREY = (0.53, 0.53, 0.53)  # legible on white and on black
_COLOURS = ("#2f7de1", "#8a8a8a", "#b7791f")

PerEpisode = Float64[np.ndarray, "steps episodes"]


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure after each step; intervals are 95%, by the bootstrap over episodes.

    Attributes:
        values: After each step.
        low: Lower end of each one's interval.
        high: Upper end.
        mean: Over all steps.
        mean_low: Lower end of its interval.
        mean_high: Upper end.
    """

    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: float
    mean_low: float
    mean_high: float


def resample(*measured: PerEpisode, of: Callable[..., Any]) -> Curve:
    """Makes a curve of what was measured in each episode.

    All curves of as many episodes are made by the same draws.

    Args:
        *measured: One or more arrays of one shape, (steps, episodes).
        of: From their means over episodes to the figure, element by element: such as `psnr` of a
            mean squared error.

    Returns:
        The figure of the means; episodes, not steps, are drawn with repetition.
    """
    episodes = measured[0].shape[1]
    draws = np.random.default_rng(0).integers(0, episodes, (_RESAMPLES, episodes))
    with np.errstate(invalid="ignore", divide="ignore"):  # figures of no error are infinite
        values = np.asarray(of(*(each.mean(1) for each in measured)), float)
        drawn = np.asarray(of(*(each[:, draws].mean(2) for each in measured)), float)
        low, high = _ends(drawn)
        mean_low, mean_high = _ends(drawn.mean(0))
        return Curve(
            values=tuple(values.tolist()),
            low=tuple(low.tolist()),
            high=tuple(high.tolist()),
            mean=float(values.mean()),
            mean_low=float(mean_low),
            mean_high=float(mean_high),
        )


def draw_curves(panels: Mapping[str, Mapping[str, Curve]]) -> bytes:
    """Draws panels side by side, in each some curves with their bands.

    Args:
        panels: Curves by name, by what each panel shows; in each the first one is the model's.

    Returns:
        A PNG with a transparent ground.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = new_figure(4.2 * len(panels), 3.4)  # first: it says so where matplotlib is missing
    from matplotlib.ticker import MaxNLocator

    for axes, (title, curves) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for (name, curve), colour in zip(curves.items(), _COLOURS, strict=False):
            steps, first = range(1, len(curve.values) + 1), name == next(iter(curves))
            axes.plot(steps, curve.values, "-" if first else "--", color=colour, label=name)
            axes.fill_between(steps, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
        axes.set(xlabel="step", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _suit_both_grounds(axes)
    return to_png(figure, transparent=True)


def _ends(drawn: Float64[np.ndarray, "*steps draws"]) -> Any:
    """The ends of the middle 95%; `nearest`, for infinities cannot be interpolated."""
    return np.percentile(np.nan_to_num(drawn, posinf=np.inf), (2.5, 97.5), -1, method="nearest")


def _suit_both_grounds(axes: Any) -> None:
    axes.tick_params(colors=_GREY)
    for text in (axes.xaxis.label, axes.title):
        text.set_color(_GREY)
    for side, spine in axes.spines.items():
        spine.set_color(_GREY)
        spine.set_visible(side in ("left", "bottom"))
    axes.grid(alpha=0.2)
    axes.legend(frameon=False, labelcolor=_GREY, fontsize="small")
