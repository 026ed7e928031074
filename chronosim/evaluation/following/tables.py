"""The tables of action following."""

from __future__ import annotations

from chronosim.evaluation.following.bootstrap import Figure
from chronosim.evaluation.following.controls import Controls
from chronosim.evaluation.following.recovery import Recovery
from chronosim.evaluation.following.retrieval import Retrieval
from chronosim.evaluation.reporting.section import Table

__all__ = ["controls_table", "probe_table", "retrieval_table"]


def retrieval_table(retrieval: Retrieval, *, where: str) -> Table:
    """How often predictions find their own truth, over all and by the margin."""
    taken, every = retrieval.taken, retrieval.every
    rows = [
        ("all actions", _percent(every.value, every.low, every.high)),
        ("the taken action", _percent(taken.share, taken.low, taken.high)),
        ("guessing", f"{retrieval.guessing:.0%}"),
        ("different truths found at a moment", f"{retrieval.distinct:.0%}"),
    ]
    rows += [
        (
            f"nearest other truth {step.margin:.0f} grey levels away",
            _percent(step.share.share, step.share.low, step.share.high),
        )
        for step in retrieval.curve
    ]
    return Table(
        ("prediction nearest to its own truth", "share (95%)"),
        tuple(rows),
        f"{where}. Intervals resample moments; of the taken action, and by distance, Wilson's. A "
        "model that ignores the action finds one truth at each moment, whatever it is told.",
    )


def controls_table(controls: Controls, *, where: str) -> Table:
    """Errors under wrong actions over those under the right one."""
    rows = [
        ("its own action", f"1 ({controls.own**0.5:.1f} grey levels RMS)"),
        ("another action", _times(controls.swapped)),
    ]
    if controls.idle is not None:
        rows.append(("doing nothing", _times(controls.idle)))
    return Table(
        ("told", "squared error, times that under its own action (95%)"),
        tuple(rows),
        f"{where}. Predictions of a moment share their noise. At 1 the action makes no difference.",
    )


def probe_table(recovery: Recovery, *, where: str) -> Table:
    """What a probe tells of each number of the action."""
    rows = tuple(
        (name, f"{true:.2f}", f"{p.value:.2f} ({p.low:.2f} to {p.high:.2f})")
        for name, true, p in zip(recovery.names, recovery.ceiling, recovery.predicted, strict=True)
    )
    blind = "" if recovery.tells else " Here it tells too little of true frames to judge by."
    return Table(
        (f"{recovery.kind} of", "from true frames (the ceiling)", "from predicted frames (95%)"),
        rows,
        f"{where}. A small network learned from {recovery.pairs:,} true pairs of frames, of other "
        "episodes, to tell the action between them. What it cannot tell from true frames no model "
        f"can show.{blind}",
    )


def _percent(share: float, low: float, high: float) -> str:
    return f"{share:.0%} ({low:.0%} to {high:.0%})"


def _times(figure: Figure) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"
