"""The truth in a world's own terms: metres and degrees, where grey levels tell little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from chronosim.evaluation.defects import Defect
from chronosim.evaluation.report.section import finite
from chronosim.evaluation.truth import Moment, Steps
from chronosim.types import Frame, Observation, Step
from chronosim.world import World

__all__ = [
    "Reader",
    "Reading",
    "Term",
    "Trial",
    "difference",
    "hold_trials",
    "own_errors",
    "ratio",
    "read_rollouts",
    "turned",
]

_ASKED = 24  # moments at most at which a trial is held
_LEAST = 6  # moments that must be readable for a trial to find anything

Reading = Mapping[str, tuple[float, ...]]
"""What a step shows, by the name of the term; a term that cannot be read is left out."""


def difference(told: Sequence[float], true: Sequence[float]) -> float:
    """How far two readings of a term are apart."""
    return float(np.linalg.norm(np.subtract(told, true)))


def turned(told: Sequence[float], true: Sequence[float]) -> float:
    """How far two directions are apart, in degrees, 0 to 180."""
    return float(abs((told[0] - true[0] + 180) % 360 - 180))


def ratio(told: Sequence[float], true: Sequence[float]) -> float:
    """How much one reading is of another."""
    return float(told[0] / true[0])


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that a reader tells of a step.

    Attributes:
        name: What it is, with its unit: "block's place, % of the board".
        own: Error of the reader itself on true frames, against the simulator's own state: the
            median, in words; of a `ratio` nothing.
        compare: From what is told of predicted frames and of true ones to the figure that is shown.
    """

    name: str
    own: str = ""
    compare: Callable[[Sequence[float], Sequence[float]], float] = difference


@dataclass(frozen=True, slots=True)
class Trial:
    """Something asked of a model on purpose, whose answer has to be a certain one.

    Attributes:
        name: The defect, where the answer is another one: "moves at 0 m/s".
        ask: From what was seen at a moment and what was done there to what is to be seen and done.
        measure: A number from the step that came of it; None where it cannot be read.
        limit: Where the defect begins, of the mean over moments.
        above: Whether it begins above the limit; else below.
        meaning: What the number is, in one sentence.
    """

    name: str
    ask: Callable[[Observation, Any], tuple[Observation, Any]]
    measure: Callable[[Step], float | None]
    limit: float
    above: bool
    meaning: str


@runtime_checkable
class Reader(Protocol):
    """Tells of frames in a world's own terms; any world can bring one (`Judging.reader`)."""

    @property
    def terms(self) -> Sequence[Term]:
        """What it tells."""
        ...

    @property
    def trials(self) -> Sequence[Trial]:
        """What is asked on purpose."""
        ...

    def read(self, before: Frame, after: Frame) -> Reading:
        """Reads a step, off the frames before and after it."""
        ...


def read_rollouts(
    reader: Reader, true: Steps, imagined: Steps, shown: Steps = ()
) -> tuple[list[tuple[str, list[float], str]], dict[str, Any]]:
    """Compares rollouts with the truth, term by term and step by step.

    Args:
        reader: Of the world.
        true: The first frames, then the true ones after each step.
        imagined: After each step, the model's frame of each episode.
        shown: The truth through the model's autoencoder, the oracle; none if it has none.

    Returns:
        Rows for a table: a name, the median over the episodes after each step, a format; and the
        same as JSON values. Beside each term of the model stand the oracle's, and that of a copy of
        the first frame; and the share of episodes of which the model's frame could not be read.
    """
    ways = {"model": [true[0], *imagined]}
    if len(shown):
        ways["oracle"] = [true[0], *shown]
    ways["copy of the first frame"] = [true[0]] * len(true)
    told = {name: _read(reader, frames) for name, frames in ways.items()}
    truth, rows = _read(reader, true), []
    values: dict[str, dict[str, Any]] = {}
    for term in reader.terms:
        for name, readings in told.items():
            figures = [_figures(term, *step) for step in zip(readings, truth, strict=True)]
            medians = [float(np.median(step)) if len(step) else np.nan for step in figures]
            rows.append((f"{term.name}: {name}", medians, ".2f"))
            values.setdefault(term.name, {})[name] = medians
        lost = [_lost(term, *step) for step in zip(told["model"], truth, strict=True)]
        if any(share > 0 for share in lost):
            rows.append((f"{term.name}: model, cannot be read", lost, ".0%"))
        values[term.name]["lost"] = lost
    return rows, finite(values)


def _read(reader: Reader, frames: Steps) -> list[list[Reading]]:
    """What each step shows, of each episode."""
    return [
        [reader.read(before, after) for before, after in zip(*pair, strict=True)]
        for pair in pairwise(frames)
    ]


def _figures(
    term: Term, told: Sequence[Reading], true: Sequence[Reading]
) -> Float64[np.ndarray, " n"]:
    return np.array(
        [
            term.compare(ours[term.name], theirs[term.name])
            for ours, theirs in zip(told, true, strict=True)
            if term.name in ours and term.name in theirs
        ],
        np.float64,
    )


def _lost(term: Term, told: Sequence[Reading], true: Sequence[Reading]) -> float:
    """The share that cannot be read of the model's frames, where it can of the true ones."""
    known = [
        term.name in ours for ours, theirs in zip(told, true, strict=True) if term.name in theirs
    ]
    return 1 - float(np.mean(known)) if known else 0.0


def own_errors(reader: Reader) -> str:
    """Says how well the reader reads true frames, in one sentence."""
    told = [f"{term.name}: {term.own}" for term in reader.terms if term.own]
    return f"On true frames the reader itself errs by ({'; '.join(told)})." if told else ""


def hold_trials(
    reader: Reader, world: World, moments: Sequence[Moment], *, seed: int
) -> tuple[list[Defect], tuple[str, ...]]:
    """Asks on purpose, at moments of the truth, what has only one right answer.

    Args:
        reader: Whose trials.
        world: The model and its prompter.
        moments: Where.
        seed: Of the model's noise; moment i has seed + i.

    Returns:
        A finding of each trial, and a sentence of each one that could find nothing, since too few
        answers could be read.
    """
    findings, silent = [], []
    for trial in reader.trials:
        asked = [trial.ask(each.observation, each.actions[0]) for each in moments[:_ASKED]]
        steps = world.advance(
            [seen for seen, _ in asked],
            [action for _, action in asked],
            seeds=range(seed, seed + len(asked)),
        )
        measured = [value for step in steps if (value := trial.measure(step)) is not None]
        if len(measured) < _LEAST:
            silent.append(
                f"{trial.name}: not found out, since only {len(measured)} of {len(asked)} answers "
                f"could be read, and it takes {_LEAST}"
            )
            continue
        meaning = f"{trial.meaning} (the mean of {len(measured)})"
        mean = float(np.mean(measured))
        findings.append(Defect(trial.name, mean, trial.limit, trial.above, meaning))
    return findings, tuple(silent)
