"""Does the action decide what the model predicts? The section of an evaluation that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from chronosim.evaluation.following.answers import Answers, answer_all
from chronosim.evaluation.following.controls import Controls, control
from chronosim.evaluation.following.pictures import draw_probe, draw_retrieval
from chronosim.evaluation.following.probe import probes_for
from chronosim.evaluation.following.probing import probe_moments
from chronosim.evaluation.following.recovery import Recovery
from chronosim.evaluation.following.retrieval import Retrieval, distances, retrieve
from chronosim.evaluation.following.tables import controls_table, probe_table, retrieval_table
from chronosim.evaluation.reporting.finite import finite
from chronosim.evaluation.reporting.section import Gauge, Picture, Section
from chronosim.evaluation.truth.moments import Moment
from chronosim.evaluation.truth.reference import Policy, Reference
from chronosim.simulator import Simulator

__all__ = ["following", "warn"]

Frames = UInt8[np.ndarray, "..."]


def following(
    moments: Sequence[Moment],
    *,
    simulator: Simulator,
    idle: Policy,
    reference: Reference,
    folder: Path,
    first_seed: int,
    names: Sequence[str] = (),
    episodes: int = 64,
    workers: int = 1,
    seed: int = 0,
) -> Section:
    """Judges whether predictions follow the action, at moments of a reference simulator.

    Args:
        moments: States with the true outcomes of several actions each.
        simulator: The model, and the prompter that the moments were drawn with.
        idle: What doing nothing is.
        reference: Where the moments come from; its region left out is not looked at.
        folder: For answers that are finished; the same call goes on with them.
        first_seed: Of the recordings that the probe learns from; keep it away from the moments.
        names: Of the action's numbers, such as steering; none: numbered.
        episodes: Recordings that the probe learns from, of 25 held actions each.
        workers: Processes that record.
        seed: Of the model's noise; moment i has seed + i.

    Raises:
        ChronosimError: As the simulators and the model.
    """
    answers = answer_all(moments, simulator, idle=idle, seed=seed, folder=folder)
    retrieval, controls = _judge(moments, answers, reference)
    recovered: dict[str, Recovery] = {}
    if probes_for(simulator.prompter.action_space):
        recovered = probe_moments(
            moments,
            answers,
            reference=reference,
            names=names,
            episodes=episodes,
            first_seed=first_seed,
            workers=workers,
        )
    region = reference.left_out
    where = f"{len(moments)} moments, {len(moments[0].actions)} actions at each"
    without = "" if region is None else f", the {region.name} left out"
    return _section(retrieval, controls, recovered, where=where, without=without)


def warn(
    controls: Controls, retrieval: Retrieval | None, recovered: Mapping[str, Recovery]
) -> tuple[str, ...]:
    """Names what is wrong: actions, or some of their numbers, that make no difference.

    A number counts as ignored by the last, strictest look alone: instruments in the frame may be
    wrong where the world is right.
    """
    guessed = retrieval is not None and retrieval.every.low <= retrieval.guessing + 1e-9
    nothing = any(0 < len(r.tells) == len(r.lost) for r in recovered.values())
    if guessed or controls.swapped.low <= 1 or nothing:
        return ("actions are ignored",)
    found = [f"{name} is ignored" for name in [*recovered.values()][-1].lost] if recovered else []
    if controls.idle is not None and controls.idle.low <= 1:
        found.append("doing nothing predicts as well as the right action")
    return tuple(found)


def _judge(
    moments: Sequence[Moment], answers: Answers, reference: Reference
) -> tuple[Retrieval, Controls]:
    truths = np.stack([moment.outcomes for moment in moments])
    truths, own = _kept(reference, truths), _kept(reference, answers.own)
    idle = _kept(reference, answers.idle[:, None])
    errors = distances(own, truths)
    retrieval = retrieve(errors, distances(truths, truths), [moment.actions for moment in moments])
    right = np.diagonal(errors, axis1=1, axis2=2)
    # Of each truth, under each other action of the moment.
    swapped = (errors.sum(axis=1) - right) / (errors.shape[1] - 1)
    return retrieval, control(right, swapped, distances(idle, truths)[:, 0])


def _kept(reference: Reference, frames: Frames) -> Frames:
    """Frames without the region that is left out."""
    return frames if reference.left_out is None else reference.left_out.cut(frames)


def _section(
    retrieval: Retrieval,
    controls: Controls,
    recovered: Mapping[str, Recovery],
    *,
    where: str,
    without: str,
) -> Section:
    every, guessing = retrieval.every, retrieval.guessing
    verdict = (
        f"A prediction lies nearest to the true outcome of its own action in {every.value:.0%} of "
        f"cases (95%: {every.low:.0%} to {every.high:.0%}); guessing gives {guessing:.0%}. Told "
        f"another action it errs {controls.swapped.value:.1f} times as much."
    )
    strict = where + without
    tables = [retrieval_table(retrieval, where=strict), controls_table(controls, where=strict)]
    pictures = [
        Picture(
            draw_retrieval(retrieval),
            "Left: which truth each prediction is nearest to, the actions in the order of their "
            "first number. Right: how often it is its own, against how far the nearest other truth "
            "lies.",
        )
    ]
    for looked, recovery in recovered.items():
        tables.append(probe_table(recovery, where=f"{where}; {looked}"))
        pictures.append(_probe_picture(recovery, looked))
    return Section(
        name="following",
        title="Following the action",
        verdict=verdict,
        warnings=warn(controls, retrieval, recovered),
        tables=tuple(tables),
        pictures=tuple(pictures),
        values=finite(
            {
                "retrieval": asdict(retrieval),
                "controls": asdict(controls),
                "probe": {looked: asdict(recovery) for looked, recovery in recovered.items()},
            }
        ),
        gauge=Gauge(
            "follows the action", every.value, every.low, every.high, guessing, "guessing",
            0.0, 1.0, "%",
        ),
    )  # fmt: skip


def _probe_picture(recovery: Recovery, looked: str) -> Picture:
    return Picture(
        draw_probe(recovery.names, recovery.ceiling, [p.value for p in recovery.predicted]),
        f"How much of the action ({recovery.kind}) a network that learned from true frames tells "
        f"from true frames it never saw, and from predicted ones ({looked}).",
    )
