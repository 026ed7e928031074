"""Is each prediction nearest to its own truth, and does it need its own action for that?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from chronosim.errors import InvalidConfig
from chronosim.evaluation.intervals import Interval, Share, ratio, resample
from chronosim.evaluation.truth import Act, Moment
from chronosim.files import whole_file
from chronosim.progress import watch
from chronosim.world import World

_BINS = 5


@dataclass(frozen=True, slots=True)
class RetrievalPoint:
    """How often predictions find their truth where truths lie so far apart.

    Attributes:
        margin: Mean distance from a truth to the nearest other one, RMS grey levels.
        share: How often.
    """

    margin: float
    share: Share


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """Which truth each prediction is nearest to.

    Attributes:
        taken: How often that of the taken action finds its own (Wilson's interval).
        every: The same over all actions; its interval resamples moments.
        guessing: What guessing finds.
        distinct: How many truths of a moment are found by some prediction, as a share; a model that
            ignores the action finds one.
        confusion: Share of moments at which the prediction of the i-th action is nearest to the
            truth of the j-th, float64 (actions, actions); actions in the order of their first
            number.
        curve: Against the margin, from near to far.
    """

    taken: Share
    every: Interval
    guessing: float
    distinct: float
    confusion: Float[np.ndarray, "actions actions"]
    curve: tuple[RetrievalPoint, ...]


def distances(
    ours: UInt8[np.ndarray, "moments actions *pixels"],
    theirs: UInt8[np.ndarray, "moments truths *pixels"],
) -> Float[np.ndarray, "moments actions truths"]:
    """Mean squared difference of every outcome of a moment to every one of another set.

    Args:
        ours: uint8 (moments, actions, height, width, 3).
        theirs: The same, with as many moments.

    Returns:
        Grey levels squared, float64 (moments, actions of ours, actions of theirs).
    """
    found = np.empty((len(ours), ours.shape[1], theirs.shape[1]))
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        pair = a.reshape(len(a), 1, -1).astype(np.float32), b.reshape(1, len(b), -1)
        found[index] = ((pair[0] - pair[1]) ** 2).mean(axis=-1)
    return found


def retrieve(
    errors: Float[np.ndarray, "moments actions truths"],
    apart: Float[np.ndarray, "moments actions truths"],
    actions: Sequence[Sequence[Any]],
) -> Retrieval:
    """Finds for each prediction the nearest truth of its moment.

    Args:
        errors: From each prediction to each truth, as `distances` gives it.
        apart: From each truth to each.
        actions: Of each moment.
    """
    moments, number, _ = errors.shape
    nearest = errors.argmin(axis=2)
    hits = nearest == np.arange(number)
    first = int(hits[:, 0].sum())
    found = [len(set(row)) for row in nearest.tolist()]
    return Retrieval(
        taken=Share.of(first, moments),
        every=resample(hits.mean(axis=1)),
        guessing=1 / number,
        distinct=float(np.mean(found)) / number,
        confusion=_confusion(nearest, actions),
        curve=_curve(hits, apart),
    )


def _confusion(
    nearest: np.ndarray, actions: Sequence[Sequence[Any]]
) -> Float[np.ndarray, "actions actions"]:
    number = nearest.shape[1]
    found = np.zeros((number, number))
    for row, of_moment in zip(nearest, actions, strict=True):
        order = sorted(range(number), key=lambda index: _first_number(of_moment[index]))
        place = {index: rank for rank, index in enumerate(order)}
        for index in range(number):
            found[place[index], place[int(row[index])]] += 1
    return found / len(nearest)


def _first_number(action: Any) -> float:
    """Words have no order: they stay as they are."""
    values = np.ravel(action)
    return float(values[0]) if values.size and values.dtype.kind in "biuf" else 0.0


def _curve(hits: np.ndarray, apart: np.ndarray) -> tuple[RetrievalPoint, ...]:
    others = apart + np.where(np.eye(apart.shape[1], dtype=bool), np.inf, 0.0)
    margins, found = np.sqrt(others.min(axis=2)).ravel(), hits.ravel()
    steps = []
    for chosen in np.array_split(np.argsort(margins, kind="stable"), min(_BINS, len(found))):
        hit = int(found[chosen].sum())
        share = Share.of(hit, len(chosen))
        steps.append(RetrievalPoint(float(margins[chosen].mean()), share))
    return tuple(steps)


_CHUNK = 10  # moments that are answered, then kept


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Predicted outcomes at moments.

    Attributes:
        own: Of each action, in the moment's order, uint8 (moments, actions, height, width, 3).
        idle: Of doing nothing, uint8 (moments, height, width, 3).
    """

    own: UInt8[np.ndarray, "moments actions height width 3"]
    idle: UInt8[np.ndarray, "moments height width 3"]


def answer_all(
    moments: Sequence[Moment], world: World, *, idle: Act, seed: int, folder: Path
) -> Answers:
    """Asks for the outcome of every action at every moment, and of doing nothing.

    All answers at a moment have the same noise, so that they differ by the action alone.

    Args:
        moments: Where; all with as many actions.
        world: The model, and the prompter that the moments were drawn with.
        idle: What doing nothing is.
        seed: Of the model's noise; moment i has seed + i.
        folder: For what is finished; it is read again.

    Raises:
        InvalidConfig: What is kept there cannot be read, or is of other moments.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    firsts = range(0, len(moments), _CHUNK)
    for first in watch(firsts, "answering every action", len(firsts)):
        path, chunk = folder / f"{first:06d}.npy", moments[first : first + _CHUNK]
        if not path.is_file():
            outcomes = _answer(chunk, world, idle, seed + first)
            with whole_file(path) as draft, draft.open("wb") as file:
                np.save(file, outcomes)
        parts.append(_load(path, chunk))
    outcomes = np.concatenate(parts)
    return Answers(outcomes[:, :-1], outcomes[:, -1])


def _answer(
    moments: Sequence[Moment], world: World, idle: Act, seed: int
) -> UInt8[np.ndarray, "moments answers height width 3"]:
    """Outcomes of all actions, then of doing nothing."""
    found = []
    for index, moment in enumerate(moments):
        actions = [*moment.actions, idle(moment.observation)]
        steps = world.advance(
            [moment.observation] * len(actions), actions, seeds=[seed + index] * len(actions)
        )
        found.append(np.stack([step.after.frame for step in steps]))
    return np.stack(found)


def _load(
    path: Path, moments: Sequence[Moment]
) -> UInt8[np.ndarray, "moments answers height width 3"]:
    try:
        outcomes = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidConfig(
            f"the kept answers {path} cannot be read ({error}): remove the file, and they are "
            "asked for anew"
        ) from error
    shape = (len(moments), len(moments[0].actions) + 1, *moments[0].observation.frame.shape)
    if outcomes.shape != shape:
        raise InvalidConfig(
            f"the kept answers {path} are of shape {outcomes.shape}, not {shape}: use the same "
            "settings to go on, or another output="
        )
    return np.asarray(outcomes, np.uint8)


@dataclass(frozen=True, slots=True)
class Controls:
    """Squared errors to a truth, over that of the prediction under the truth's own action.

    Attributes:
        own: Mean squared error under the own action, grey levels squared.
        swapped: Ratio of the error under another action; above 1: the right one is needed.
        idle: Ratio of the error under doing nothing; None where nobody knows what that is.
    """

    own: float
    swapped: Interval
    idle: Interval | None = None


def control(
    own: Float[np.ndarray, "items actions"],
    swapped: Float[np.ndarray, "items actions"],
    idle: Float[np.ndarray, "items actions"] | None = None,
) -> Controls:
    """Compares errors to the same truths; intervals resample the items.

    Args:
        own: Of the predictions under each truth's own action.
        swapped: Of those under other actions, averaged.
        idle: Of that under doing nothing.
    """
    total = own.sum(axis=1)
    return Controls(
        own=float(own.mean()),
        swapped=ratio(swapped.sum(axis=1), total),
        idle=None if idle is None else ratio(idle.sum(axis=1), total),
    )
