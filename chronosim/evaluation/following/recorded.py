"""Following the action where there are recorded episodes alone, and nobody knows the what-ifs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from chronosim.errors import InvalidConfig
from chronosim.evaluation.following.following import controls_table, probe_table, warn
from chronosim.evaluation.following.probe import (
    Recovery,
    learn_probe,
    pairs_of,
    probes_for,
    recover,
)
from chronosim.evaluation.following.retrieval import control
from chronosim.evaluation.report.section import Gauge, Section, finite
from chronosim.evaluation.truth.moments import other_actions
from chronosim.evaluation.truth.recordings import Recording
from chronosim.evaluation.truth.reference import Policy
from chronosim.protocols import Prompter
from chronosim.simulator import Simulator
from chronosim.types import Frame, Observation

__all__ = ["following_recorded"]

_JUDGED = 150  # transitions at most


def following_recorded(
    recordings: Sequence[Recording],
    *,
    simulator: Simulator,
    idle: Policy | None = None,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Section:
    """Judges whether predictions follow the action, by recorded transitions alone.

    The last quarter of the episodes is judged; a probe learns from the others. Another action is
    one that was taken at another judged transition and is worded otherwise; a transition without
    one is left out.

    Args:
        recordings: At least two.
        simulator: The model, and the prompter that words the recorded actions.
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
    judged, others = _with_others(judged, simulator.prompter)
    if len(judged) < 2:
        return _nothing_else_was_done(held)
    observations, actions, truths = (list(column) for column in zip(*judged, strict=True))
    own = _predict(simulator, observations, actions, seed, "its own action")
    swapped = _predict(simulator, observations, others, seed, "another action")
    still = None
    if idle is not None:
        nothing = [idle(observation) for observation in observations]
        still = _errors(_predict(simulator, observations, nothing, seed, "doing nothing"), truths)
    controls = control(_errors(own, truths), _errors(swapped, truths), still)
    recovered: dict[str, Recovery] = {}
    if probes_for(simulator.prompter.action_space):
        found = _recover(recordings[:-held], simulator, judged, own, names)
        recovered["whole frames"] = found
    where = f"{len(judged)} recorded steps of {held} episodes"
    tables = [controls_table(controls, where=where)]
    tables += [probe_table(found, where=where) for found in recovered.values()]
    times = controls.swapped
    return Section(
        name="following",
        title="Following the action",
        verdict=(
            f"Told another action it errs {times.value:.2f} times as much as told the right one "
            f"(95%: {times.low:.2f} to {times.high:.2f}; 1: the action makes no difference)."
        ),
        warnings=warn(controls, None, recovered),
        tables=tuple(tables),
        values=finite(
            {
                "controls": asdict(controls),
                "probe": {looked: asdict(found) for looked, found in recovered.items()},
            }
        ),
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


def _nothing_else_was_done(episodes: int) -> Section:
    return Section(
        name="following",
        title="Following the action",
        verdict=(
            f"Cannot be told: all judged steps ({episodes} episodes) have the same words, so there "
            "is no other action to compare with."
        ),
    )


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
    simulator: Simulator,
    observations: Sequence[Observation],
    actions: Sequence[Any],
    seed: int,
    what: str,
) -> list[Frame]:
    frames = []
    steps = enumerate(zip(observations, actions, strict=True))
    for index, (observation, action) in tqdm(steps, what, len(actions), unit="step"):
        after, _ = simulator.step(observation, action, seed=seed + index)
        frames.append(after.frame)
    return frames


def _errors(frames: Sequence[Frame], truths: Sequence[Frame]) -> Float[np.ndarray, "items 1"]:
    pairs = zip(frames, truths, strict=True)
    return np.array([[((a.astype(np.float32) - b) ** 2).mean()] for a, b in pairs], np.float64)


def _recover(
    recordings: Sequence[Recording],
    simulator: Simulator,
    judged: Sequence[tuple[Observation, Any, Frame]],
    predicted: Sequence[Frame],
    names: Sequence[str],
) -> Recovery:
    before, after, actions = pairs_of(recordings)
    with tqdm(desc="learning the probe", unit="epoch") as progress:
        space = simulator.prompter.action_space
        probe = learn_probe(before, after, actions, space=space, progress=progress.update)
    return recover(
        probe,
        np.stack([observation.frame for observation, _, _ in judged]),
        np.stack([truth for _, _, truth in judged]),
        np.stack(predicted),
        [action for _, action, _ in judged],
        groups=range(len(judged)),
        names=names,
    )
