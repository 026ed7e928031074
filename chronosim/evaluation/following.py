"""Does the action decide what the model predicts? The section of an evaluation that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from chronosim.errors import InvalidConfig
from chronosim.evaluation.probe import (
    Recovery,
    learn_and_recover,
    pairs_of,
    probe_moments,
    probes_for,
)
from chronosim.evaluation.report.plots import new_figure, to_png
from chronosim.evaluation.report.section import Gauge, Picture, Section, Table, finite
from chronosim.evaluation.retrieval import (
    Answers,
    Controls,
    Retrieval,
    answer_all,
    control,
    distances,
    retrieve,
)
from chronosim.evaluation.truth import Act, Moment, Recording, Reference, other_actions
from chronosim.progress import watch
from chronosim.protocols import Prompter
from chronosim.types import Frame, Observation
from chronosim.world import World

_TITLE = "Following the action"
_JUDGED = 150  # recorded transitions at most

_Frames = UInt8[np.ndarray, "..."]  # of any number of axes


def following(
    moments: Sequence[Moment],
    *,
    world: World,
    idle: Act,
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
        world: The model, and the prompter that the moments were drawn with.
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
    answers = answer_all(moments, world, idle=idle, seed=seed, folder=folder)
    retrieval, controls = _judge(moments, answers, reference)
    recovered: dict[str, Recovery] = {}
    if probes_for(world.prompter.action_space):
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


def _kept(reference: Reference, frames: _Frames) -> _Frames:
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
    strict = where + without
    pictures = [
        Picture(
            _draw_retrieval(retrieval),
            "Left: which truth each prediction is nearest to, the actions in the order of their "
            "first number. Right: how often it is its own, against how far the nearest other truth "
            "lies.",
        ),
        *(_probe_picture(recovery, looked) for looked, recovery in recovered.items()),
    ]
    return Section(
        name="following",
        title=_TITLE,
        verdict=(
            f"A prediction lies nearest to the true outcome of its own action in {every.value:.0%} "
            f"of cases (95%: {every.low:.0%} to {every.high:.0%}); guessing gives {guessing:.0%}. "
            f"Told another action it errs {controls.swapped.value:.1f} times as much."
        ),
        warnings=warn(controls, retrieval, recovered),
        tables=(
            _retrieval_table(retrieval, where=strict),
            _controls_table(controls, where=strict),
            *(_probe_table(each, where=f"{where}; {looked}") for looked, each in recovered.items()),
        ),
        pictures=tuple(pictures),
        values={"retrieval": finite(asdict(retrieval)), **_values(controls, recovered)},
        gauge=Gauge(
            "follows the action", every.value, every.low, every.high, guessing, "guessing",
            0.0, 1.0, "%",
        ),
    )  # fmt: skip


def _values(controls: Controls, recovered: Mapping[str, Recovery]) -> dict[str, Any]:
    probes = {looked: finite(asdict(recovery)) for looked, recovery in recovered.items()}
    return {"controls": finite(asdict(controls)), "probe": probes}


def _probe_picture(recovery: Recovery, looked: str) -> Picture:
    return Picture(
        _draw_probe(recovery.names, recovery.ceiling, [p.value for p in recovery.predicted]),
        f"How much of the action ({recovery.kind}) a network that learned from true frames tells "
        f"from true frames it never saw, and from predicted ones ({looked}).",
    )


def _retrieval_table(retrieval: Retrieval, *, where: str) -> Table:
    """How often predictions find their own truth, over all and by the margin."""
    taken, every = retrieval.taken, retrieval.every
    rows = [
        ("all actions", every.percent),
        ("the taken action", str(taken)),
        ("guessing", f"{retrieval.guessing:.0%}"),
        ("different truths found at a moment", f"{retrieval.distinct:.0%}"),
    ]
    rows += [
        (f"nearest other truth {step.margin:.0f} grey levels away", str(step.share))
        for step in retrieval.curve
    ]
    return Table(
        ("prediction nearest to its own truth", "share (95%)"),
        tuple(rows),
        f"{where}. Intervals resample moments; of the taken action, and by distance, Wilson's. A "
        "model that ignores the action finds one truth at each moment, whatever it is told.",
    )


def _controls_table(controls: Controls, *, where: str) -> Table:
    """Errors under wrong actions over those under the right one."""
    rows = [
        ("its own action", f"1 ({controls.own**0.5:.1f} grey levels RMS)"),
        ("another action", str(controls.swapped)),
    ]
    if controls.idle is not None:
        rows.append(("doing nothing", str(controls.idle)))
    return Table(
        ("told", "squared error, times that under its own action (95%)"),
        tuple(rows),
        f"{where}. Predictions of a moment share their noise. At 1 the action makes no difference.",
    )


def _probe_table(recovery: Recovery, *, where: str) -> Table:
    """What a probe tells of each number of the action."""
    rows = tuple(
        (name, f"{true:.2f}", str(p), "-" if share is None else f"{share:.0%}", verdict)
        for name, true, p, share, verdict in zip(
            recovery.names,
            recovery.ceiling,
            recovery.predicted,
            recovery.of_ceiling,
            recovery.verdicts,
            strict=True,
        )
    )
    blind = "" if recovery.tells else " Here it tells too little of true frames to judge by."
    return Table(
        (
            f"{recovery.kind} of",
            "from true frames (the ceiling)",
            "from predicted frames (95%)",
            "of the ceiling",
            "verdict",
        ),
        rows,
        f"{where}. A small network learned from {recovery.pairs:,} true pairs of frames, of other "
        "episodes, to tell the action between them. What it cannot tell from true frames no model "
        f"can show.{blind}",
    )


def _draw_retrieval(retrieval: Retrieval) -> bytes:
    """The confusion of actions, beside the share found against the margin: a PNG file."""
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


def _draw_probe(names: Sequence[str], true: Sequence[float], predicted: Sequence[float]) -> bytes:
    """How much of each number of the action is told from true and predicted frames: a PNG."""
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


def following_recorded(
    recordings: Sequence[Recording],
    *,
    world: World,
    idle: Act | None = None,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Section:
    """Judges whether predictions follow the action, by recorded transitions alone.

    The last quarter of the episodes is judged; a probe learns from the others. Another action is
    one that was taken at another judged transition and is worded otherwise; a transition without
    one is left out.

    Args:
        recordings: At least two.
        world: The model, and the prompter that words the recorded actions.
        idle: What doing nothing is; None: nobody knows, and that control is left out.
        names: Of the action's numbers; none: numbered.
        seed: Of the model's noise; transition i has seed + i.

    Raises:
        InvalidConfig: Fewer than two recordings, or fewer than two transitions to judge.
        ChronosimError: As the model.
    """
    if len(recordings) < 2:
        raise InvalidConfig(
            f"following the action is judged from 2 recorded episodes on, not {len(recordings)}"
        )
    held = max(len(recordings) // 4, 1)
    judged = _transitions(recordings[-held:])
    if len(judged) < 2:
        raise InvalidConfig("following the action is judged from 2 held-out steps on, not 1")
    judged, others = _with_others(judged, world.prompter)
    if len(judged) < 2:
        why = f"all judged steps ({held} episodes) have the same words"
        verdict = f"Cannot be told: {why}, so there is no other action to compare with."
        return Section("following", _TITLE, verdict)
    observations, actions, truths = (list(column) for column in zip(*judged, strict=True))
    own = _predict(world, observations, actions, seed, "its own action")
    swapped = _predict(world, observations, others, seed, "another action")
    still = None
    if idle is not None:
        nothing = [idle(observation) for observation in observations]
        still = _errors(_predict(world, observations, nothing, seed, "doing nothing"), truths)
    controls = control(_errors(own, truths), _errors(swapped, truths), still)
    recovered: dict[str, Recovery] = {}
    if probes_for(space := world.prompter.action_space):
        pairs = pairs_of(recordings[:-held])
        shown = [np.stack([seen.frame for seen in observations]), np.stack(truths), np.stack(own)]
        groups = range(len(judged))
        recovered["whole frames"] = learn_and_recover(pairs, shown, actions, space, groups, names)
    where = f"{len(judged)} recorded steps of {held} episodes"
    tables = [_controls_table(controls, where=where)]
    tables += [_probe_table(found, where=where) for found in recovered.values()]
    times = controls.swapped
    return Section(
        name="following",
        title=_TITLE,
        verdict=(
            f"Told another action it errs {times.value:.2f} times as much as told the right one "
            f"(95%: {times.low:.2f} to {times.high:.2f}; 1: the action makes no difference)."
        ),
        warnings=warn(controls, None, recovered),
        tables=tuple(tables),
        values=_values(controls, recovered),
        gauge=Gauge(
            "error under another action", times.value, times.low, times.high, 1.0,
            "no difference", 0.5, max(3.0, min(times.high, 10.0)),
        ),
    )  # fmt: skip


def _with_others(
    judged: Sequence[tuple[Observation, Any, Frame]], prompter: Prompter
) -> tuple[list[tuple[Observation, Any, Frame]], list[Any]]:
    """The transitions at which there is another action to try, and that action of each."""
    actions, half = [action for _, action, _ in judged], len(judged) // 2
    kept, others = [], []
    for index, transition in enumerate(judged):
        observation, action, _ = transition
        turned = [*actions[index + half :], *actions[: index + half]]
        for other in other_actions(prompter, observation, action, turned, 1):
            kept.append(transition)
            others.append(other)
    return kept, others


def _transitions(recordings: Sequence[Recording]) -> list[tuple[Observation, Any, Frame]]:
    """Evenly from all that there are."""
    found = [
        (before, action, after.frame)
        for recording in recordings
        for before, action, after in zip(
            recording.observations[:-1], recording.actions, recording.observations[1:], strict=True
        )
    ]
    places = np.linspace(0, len(found) - 1, min(_JUDGED, len(found))).round().astype(int)
    return [found[place] for place in places]


def _predict(
    world: World,
    observations: Sequence[Observation],
    actions: Sequence[Any],
    seed: int,
    what: str,
) -> list[Frame]:
    frames = []
    steps = enumerate(zip(observations, actions, strict=True))
    for index, (observation, action) in watch(steps, what, len(actions)):
        frames.append(world.step(observation, action, seed=seed + index).after.frame)
    return frames


def _errors(frames: Sequence[Frame], truths: Sequence[Frame]) -> Float[np.ndarray, "items 1"]:
    pairs = zip(frames, truths, strict=True)
    return np.array([[((a.astype(np.float32) - b) ** 2).mean()] for a, b in pairs], np.float64)
