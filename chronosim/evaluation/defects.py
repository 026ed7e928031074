"""Defects that have a name: each looked for by one measured number and one limit, as a section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from chronosim.evaluation.report.section import Section, Table
from chronosim.evaluation.truth.moments import Moment, other_actions
from chronosim.metrics.pixels import squared_error
from chronosim.protocols import Prompter
from chronosim.simulator import Simulator
from chronosim.types import Frame, Trajectory

__all__ = ["Finding", "defects_section", "find_defects"]

_PROBED = 16  # moments at which every action is tried
_TRIED = 3  # other actions at each, where nobody knows what they would have led to
_AGAIN = 4  # moments asked about twice


@dataclass(frozen=True, slots=True)
class Finding:
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


def defects_section(findings: Sequence[Finding]) -> Section:
    """Says which of the defects that were looked for were found."""
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
    known = {each.name: asdict(each) | {"found": each.found} for each in findings}
    header = ("defect", "found", "measured", "begins", "what was measured")
    return Section(
        name="defects",
        title="Defects looked for by name",
        verdict=verdict,
        warnings=found,
        tables=(Table(header, rows, ""),),
        values={"findings": known},
    )


def find_defects(
    simulator: Simulator,
    moments: Sequence[Moment],
    predicted: Sequence[Trajectory],
    *,
    seed: int,
) -> list[Finding]:
    """Looks for the defects that single steps show; long rollouts show others.

    Args:
        simulator: The model, and the prompter of the moments.
        moments: Where, at least two.
        predicted: The model's trajectory at each, of the taken action.
        seed: Of the noise that `predicted` was made with; moment i has seed + i.
    """
    findings = [
        _stands_still(moments, predicted),
        _ignores_actions(simulator, moments, seed),
        _changes_its_mind(simulator, moments[:_AGAIN], predicted, seed),
        _runs_backwards(moments, predicted),
    ]
    return [finding for finding in findings if finding is not None]


def _stands_still(moments: Sequence[Moment], predicted: Sequence[Trajectory]) -> Finding:
    ours = [squared_error(p[-1], m.observation.frame) for m, p in _pairs(moments, predicted)]
    true = [squared_error(m.trajectory[-1], m.observation.frame) for m in moments]
    return Finding(
        "the picture stands still",
        _ratio(ours, true),
        0.1,
        False,
        "How much predicted outcomes differ from the frame seen, over how much true ones do (RMS).",
    )


def _ignores_actions(simulator: Simulator, moments: Sequence[Moment], seed: int) -> Finding | None:
    """Where nobody knows what other actions lead to, those of other moments are tried.

    None where they all have the same words.
    """
    ours, true = [], []
    for index, moment in enumerate(moments[:_PROBED]):
        actions = _alternatives(moments, index, simulator.prompter)
        if len(actions) < 2:
            continue
        steps = simulator.step_all(
            [moment.observation] * len(actions), actions, seeds=[seed + index] * len(actions)
        )
        ours.append(_spread([prediction.frame for _, prediction in steps]))
        known = len(moment.others) > 0
        true.append(
            _spread(list(moment.outcomes))
            if known
            else squared_error(moment.observation.frame, moment.trajectory[-1])
        )
    if not ours:
        return None
    than = "true outcomes" if len(moments[0].others) else "the truth from the frame seen"
    return Finding(
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
    simulator: Simulator, moments: Sequence[Moment], predicted: Sequence[Trajectory], seed: int
) -> Finding:
    again = simulator.step_all(
        [moment.observation for moment in moments],
        [moment.actions[0] for moment in moments],
        seeds=range(seed, seed + len(moments)),
    )
    worst = max(
        float(np.abs(p.trajectory[-1].astype(np.int16) - known[-1]).mean())
        for (_, p), known in zip(again, predicted, strict=False)
    )
    return Finding(
        "the same question gets different answers",
        worst,
        1.0,
        True,
        f"Grey levels by which an outcome differs when it is asked for again with the same seed "
        f"(mean over pixels, the worst of {len(moments)}).",
    )


def _runs_backwards(moments: Sequence[Moment], predicted: Sequence[Trajectory]) -> Finding | None:
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
    return Finding(
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
