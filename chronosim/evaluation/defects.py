"""Defects that have a name: each looked for by one measured number and one limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from jaxtyping import Float64

from chronosim.envs.guard import DriftGuard, describe
from chronosim.evaluation.intervals import Curve, resample_steps
from chronosim.evaluation.report.section import Section, Table
from chronosim.evaluation.truth import Moment, Steps, other_actions
from chronosim.metrics.pixels import sharpness, squared_error
from chronosim.protocols import Prompter
from chronosim.types import Frame, Trajectory
from chronosim.world import World

_PROBED = 16  # moments at which every action is tried
_TRIED = 3  # other actions at each, where nobody knows what they would have led to
_AGAIN = 4  # moments asked about twice


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect that was looked for.

    Attributes:
        name: What it is called where it is found: "actions are ignored".
        measured: The number that decides.
        limit: Where the defect begins.
        above: Whether it begins above the limit; else below.
        meaning: What the number is, in one sentence.
    """

    name: str
    measured: float
    limit: float
    above: bool
    meaning: str

    @property
    def found(self) -> bool:
        """Whether the number is beyond the limit."""
        return self.measured > self.limit if self.above else self.measured < self.limit

    def values(self) -> dict[str, Any]:
        """Gives it as JSON values."""
        return asdict(self) | {"found": self.found}


def defects_section(findings: Sequence[Defect], silent: Sequence[str] = ()) -> Section:
    """Says which of the defects that were looked for were found, and what could find nothing."""
    found = tuple(finding.name for finding in findings if finding.found)
    verdict = (
        f"Of {len(findings)} defects looked for, found: {', '.join(found)}."
        if found
        else f"None of the {len(findings)} defects looked for was found."
    )
    rows = tuple(
        (
            finding.name,
            "FOUND" if finding.found else "no",
            f"{finding.measured:.3g}",
            f"{'above' if finding.above else 'below'} {finding.limit:g}",
            finding.meaning,
        )
        for finding in findings
    )
    header = ("defect", "found", "measured", "begins", "what was measured")
    return Section(
        name="defects",
        title="Defects looked for by name",
        verdict=verdict,
        warnings=found,
        tables=(Table(header, rows, "; ".join(silent)),),
        values={
            "findings": {finding.name: finding.values() for finding in findings},
            "silent": list(silent),
        },
    )


def find_defects(
    world: World,
    moments: Sequence[Moment],
    predicted: Sequence[Trajectory],
    *,
    seed: int,
) -> list[Defect]:
    """Looks for the defects that single steps show; long rollouts show others.

    Args:
        world: The model, and the prompter of the moments.
        moments: Where, at least two.
        predicted: The model's trajectory at each, of the taken action.
        seed: Of the noise that `predicted` was made with; moment i has seed + i.
    """
    findings = [
        _stands_still(moments, predicted),
        _ignores_actions(world, moments, seed),
        _changes_its_mind(world, moments[:_AGAIN], predicted, seed),
        _runs_backwards(moments, predicted),
    ]
    return [finding for finding in findings if finding is not None]


def _stands_still(moments: Sequence[Moment], predicted: Sequence[Trajectory]) -> Defect:
    ours = [squared_error(p[-1], m.observation.frame) for m, p in _pairs(moments, predicted)]
    true = [squared_error(m.trajectory[-1], m.observation.frame) for m in moments]
    return Defect(
        "the picture stands still",
        _ratio(ours, true),
        0.1,
        False,
        "How much predicted outcomes differ from the frame seen, over how much true ones do (RMS).",
    )


def _ignores_actions(world: World, moments: Sequence[Moment], seed: int) -> Defect | None:
    """Where nobody knows what other actions lead to, those of other moments are tried.

    None where they all have the same words.
    """
    ours, true = [], []
    for index, moment in enumerate(moments[:_PROBED]):
        actions = _alternatives(moments, index, world.prompter)
        if len(actions) < 2:
            continue
        steps = world.advance(
            [moment.observation] * len(actions), actions, seeds=[seed + index] * len(actions)
        )
        ours.append(_spread([step.after.frame for step in steps]))
        known = len(moment.others) > 0
        true.append(
            _spread(list(moment.outcomes))
            if known
            else squared_error(moment.observation.frame, moment.trajectory[-1])
        )
    if not ours:
        return None
    than = "true outcomes" if len(moments[0].others) else "the truth from the frame seen"
    return Defect(
        "actions are ignored",
        _ratio(ours, true),
        0.1,
        False,
        f"How much outcomes of different actions from one state differ, over {than} (RMS; "
        f"{len(ours)} states, the same noise).",
    )


def _alternatives(moments: Sequence[Moment], index: int, prompter: Prompter) -> list[Any]:
    moment = moments[index]
    if len(moment.actions) > 1:
        return list(moment.actions)
    [own] = moment.actions
    turned = [other.actions[0] for other in (*moments[index + 1 :], *moments[:index])]
    return [own, *other_actions(prompter, moment.observation, own, turned, _TRIED)]


def _spread(frames: Sequence[Frame]) -> float:
    return float(np.mean([squared_error(a, b) for a, b in combinations(frames, 2)]))


def _changes_its_mind(
    world: World, moments: Sequence[Moment], predicted: Sequence[Trajectory], seed: int
) -> Defect:
    again = world.advance(
        [moment.observation for moment in moments],
        [moment.actions[0] for moment in moments],
        seeds=range(seed, seed + len(moments)),
    )
    worst = max(
        float(np.abs(step.after.frame.astype(np.int16) - known[-1]).mean())
        for step, known in zip(again, predicted, strict=False)
    )
    return Defect(
        "the same question gets different answers",
        worst,
        1.0,
        True,
        f"Grey levels by which an outcome differs when it is asked for again with the same seed "
        f"(mean over pixels, the worst of {len(moments)}).",
    )


def _runs_backwards(moments: Sequence[Moment], predicted: Sequence[Trajectory]) -> Defect | None:
    """None where the model shows the outcome alone, or nothing that moves."""
    known = [(m, p) for m, p in _pairs(moments, predicted) if len(p) > 1]
    if not known:
        return None
    changes = np.array([squared_error(m.observation.frame, m.trajectory[-1]) for m, _ in known])
    moving = changes >= np.median(changes)
    ends = [
        (squared_error(p[0], m.observation.frame), squared_error(p[-1], m.observation.frame))
        for (m, p), moves in zip(known, moving, strict=True)
        if moves
    ]
    nearer = [first < last for first, last in ends if first != last]
    if not nearer:
        return None
    return Defect(
        "the trajectory runs backwards",
        float(np.mean(nearer)),
        0.5,
        False,
        f"How often a trajectory's first frame is nearer to the frame seen than its last "
        f"({len(nearer)} moments at which much changes).",
    )


def _ratio(ours: Sequence[float], true: Sequence[float]) -> float:
    """Of squared differences, as RMS."""
    return float(np.sqrt(np.mean(ours) / max(float(np.mean(true)), 1e-9)))


def _pairs(
    moments: Sequence[Moment], predicted: Sequence[Trajectory]
) -> list[tuple[Moment, Trajectory]]:
    return list(zip(moments, predicted, strict=True))


_COLOURS = 8.0  # grey levels
_BLUR = 0.5  # of the truth's sharpness
_STILL = 0.25  # of the truth's movement


def sharpness_curve(predicted: Steps, true: Steps) -> Curve:
    """Gives the sharpness of predicted frames over that of the true ones, step by step."""
    return resample_steps(_sharpness(predicted), _sharpness(true), of=_over)


def find_wear(imagined: Steps, true: Steps) -> list[Defect]:
    """Looks at the last quarter of rollouts for what they have lost.

    Args:
        imagined: After each step, the model's frame of each episode.
        true: The first frames, then the true ones after each step.
    """
    last = max(1, len(imagined) // 4)
    ours, theirs = imagined[-last:], true[-last:]
    where = f"over the last {last} of {len(imagined)} steps alone"
    gaps = np.mean([a.mean((1, 2)) - b.mean((1, 2)) for a, b in zip(ours, theirs, strict=True)], 0)
    blur = _over(_sharpness(ours).mean(), _sharpness(theirs).mean())
    moved = [true[0], *imagined][-last - 1 :], true[-last - 1 :]
    return [
        Defect(
            "colours drift",
            float(np.abs(gaps.mean(0)).max()),
            _COLOURS,
            True,
            f"Grey levels by which the mean red, green or blue leaves the truth's {where} (the "
            f"worst colour, mean of {len(gaps)} episodes: a drift that they share).",
        ),
        Defect(
            "frames blur",
            float(blur),
            _BLUR,
            False,
            f"Sharpness of imagined frames over that of true ones {where}.",
        ),
        Defect(
            "frames freeze",
            float(_over(_movement(moved[0]), _movement(moved[1]))),
            _STILL,
            False,
            f"How much one imagined frame differs from the next, over true ones, {where} (RMS).",
        ),
    ]


def _sharpness(steps: Steps) -> Float64[np.ndarray, "steps episodes"]:
    return np.array([[sharpness(frame) for frame in frames] for frames in steps])


def _movement(steps: Steps) -> float:
    """By how many grey levels one frame differs from the next, RMS."""
    return float(np.sqrt(np.mean([squared_error(a, b) for a, b in pairwise(steps)])))


def _over(ours: Any, theirs: Any) -> Any:
    """Of a world in which there is nothing to lose, nothing is lost."""
    return np.where(theirs > 0, ours / np.where(theirs > 0, theirs, 1), 1.0)


_FALSE_ALARMS = 0.1  # of true episodes
_LOST = 0.5  # of the rollouts


def shares_lost(imagined: Steps, true: Steps, shown: Steps = ()) -> tuple[float, ...] | None:
    """Gives after each step the share of rollouts of which a frame was lost by then.

    The guard learns from every second true episode; the others set its limit, so that it calls a
    true frame lost in a tenth of them. What a model's autoencoder makes of true frames counts as
    true as well: else a soft picture would pass for one that has left the world.

    Args:
        imagined: After each step, the model's frame of each episode.
        true: The first frames, then the true ones after each step.
        shown: The true frames after each step through the model's autoencoder; none if it has none.

    Returns:
        None where there are too few true frames, or they are too small, for a guard.
    """
    films = np.stack([*true, *shown], axis=1)
    learnt, held_out = list(films[::2]), list(films[1::2])
    if min(films.shape[2:4]) < 12 or len(held_out) * _FALSE_ALARMS < 1:
        return None
    if len(learnt) * films.shape[1] < 4 * len(describe(films[0, 0])):
        return None
    guard = DriftGuard.fit(learnt, held_out, false_alarms=_FALSE_ALARMS)
    lost = [[guard(frame) is not None for frame in frames] for frames in imagined]
    shares = np.logical_or.accumulate(np.array(lost)).mean(axis=1)
    return tuple(float(share) for share in shares)


def find_leaving(shares: Sequence[float]) -> Defect:
    """Looks at how many rollouts have left the world at their end."""
    return Defect(
        "frames leave the world",
        shares[-1],
        _LOST,
        True,
        f"Share of rollouts of which a drift guard has called a frame lost within {len(shares)} "
        f"steps; of true episodes it does so in {_FALSE_ALARMS:.0%}.",
    )


LEAVING = (
    "Rollouts that have left the world by then, by a drift guard that was calibrated on true "
    "frames, as they are and as the model's autoencoder (if it has one) gives them back: it calls "
    f"one lost in {_FALSE_ALARMS:.0%} of the true episodes. It looks at colours and roughness, not "
    "at what is in the frame."
)
"""What a table of `shares_lost` says."""
