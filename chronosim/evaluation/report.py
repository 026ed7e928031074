"""A model's figures as one value, one table in Markdown, and one JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chronosim.evaluation.reference import Region
from chronosim.evaluation.rollouts import Drift
from chronosim.evaluation.scores import Closeness, Scores, Share

__all__ = ["Report"]

_SHOWN = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20)  # steps of a rollout that the table has room for


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found out.

    Attributes:
        source: Name of the reference simulator.
        first_seed: Where its seeds begin.
        moments: How many moments were judged.
        others: Other actions at each.
        apart: Smallest difference of two true outcomes there, RMS grey levels.
        left_out: The region that was judged with and without; None: none.
        scores: Of each way of predicting, by its name.
        drift: Of the free-running rollouts.
        seconds: Of one prediction, on average.
    """

    source: str
    first_seed: int
    moments: int
    others: int
    apart: float
    left_out: Region | None
    scores: Mapping[str, Scores]
    drift: Drift
    seconds: float

    def markdown(self) -> str:
        """Gives the tables, each under a sentence that says what it shows."""
        sections = [self._outcomes(), self._between(), self._rollouts()]
        return "\n\n".join(section for section in sections if section)

    def values(self) -> dict[str, Any]:
        """Gives every figure as JSON values; an infinite PSNR (no error at all) is null."""
        return {name: _finite(value) for name, value in asdict(self).items()}

    def _outcomes(self) -> str:
        without = "" if self.left_out is None else f", the {self.left_out.name} left out"
        rows = [_outcome_row(name, scores.whole) for name, scores in self.scores.items()]
        rows += [
            _outcome_row(f"{name}, no {self.left_out.name}", scores.without)
            for name, scores in self.scores.items()
            if self.left_out is not None and scores.without is not None
        ]
        text = (
            f"Outcomes at {self.moments} moments of {self.source} (seeds from {self.first_seed:,} "
            f"on), PSNR in dB of the pooled squared error. {self.others} other actions at each "
            f"moment, true outcomes at least {self.apart:g} grey levels (RMS) apart{without}: "
            f"guessing follows {1 / (self.others + 1):.0%}. {self.seconds:.2f} s a prediction."
        )
        if "oracle" in self.scores:
            text += " Oracle: the truth, through the model's autoencoder and back."
        header = ["outcome", "all", "moving half", "follows the action (95%)"]
        return f"{text}\n\n{_table(header, rows)}"

    def _between(self) -> str:
        known = {n: s.between for n, s in self.scores.items() if s.between is not None}
        if not all(scores.between is not None for scores in self.scores.values()):
            return (
                "The model's trajectories have another length than the simulator's: "
                "only the outcomes were judged."
            )
        times = len(next(iter(known.values())))
        if times == 0:
            return ""
        header = ["frame", *(str(time) for time in range(1, times + 1))]
        rows = [[name, *map(_decibels, values)] for name, values in known.items()]
        text = "Frames on the way to the outcome, moving half:"
        return f"{text}\n\n{_table(header, rows)}"

    def _rollouts(self) -> str:
        drift = self.drift
        steps = [step for step in _SHOWN if step <= len(drift.model)]
        lines = {
            "model": drift.model,
            "copy-last-frame (the first)": drift.first_frame,
            "mean frame of other episodes": drift.mean_frame,
        }
        rows = [
            [name, *(_decibels(line[step - 1]) for step in steps)] for name, line in lines.items()
        ]
        text = (
            f"Free-running, {drift.episodes} episodes of {len(drift.model)} steps. The model is "
            f"above copy-last-frame for {drift.steps_above_first} steps from the beginning, above "
            f"the mean frame for {drift.steps_above_mean}:"
        )
        return f"{text}\n\n{_table(['step', *map(str, steps)], rows)}"


def _outcome_row(name: str, closeness: Closeness) -> list[str]:
    psnrs = _decibels(closeness.psnr), _decibels(closeness.psnr_moving)
    return [name, *psnrs, _share(closeness.following)]


def _share(share: Share) -> str:
    return f"{share.share:.0%} ({share.low:.0%} to {share.high:.0%})"


def _decibels(value: float) -> str:
    return f"{value:.1f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned for who reads it as it is."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
