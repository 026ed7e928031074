"""The probe at moments of a reference simulator: it learns from other episodes, then tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from chronosim.evaluation.following.answers import Answers
from chronosim.evaluation.following.probe import learn_probe
from chronosim.evaluation.following.recovery import Recovery, recover
from chronosim.evaluation.truth.moments import Moment
from chronosim.evaluation.truth.outcomes_only import outcomes_only
from chronosim.evaluation.truth.recordings import Recording, draw_recordings
from chronosim.evaluation.truth.reference import Reference

__all__ = ["pairs_of", "probe_moments"]

_STEPS = 25  # held actions of a recording


def probe_moments(
    moments: Sequence[Moment],
    answers: Answers,
    *,
    reference: Reference,
    names: Sequence[str],
    episodes: int,
    first_seed: int,
    workers: int,
) -> dict[str, Recovery]:
    """Learns from true frames, and tells the actions at moments from true and predicted ones.

    Args:
        moments: What is judged.
        answers: The model's, at these moments.
        reference: Where the moments come from, and other episodes are recorded.
        names: Of the action's numbers.
        episodes: Recordings to learn from, of 25 held actions each.
        first_seed: Of the recordings.
        workers: Processes that record.

    Returns:
        What is recovered, by what was looked at: whole frames and, where a region is left out,
        frames without it. Instruments may show the action itself, and be all that a probe reads.
    """
    drawn = draw_recordings(
        episodes,
        reference=outcomes_only(reference),
        steps=_STEPS,
        first_seed=first_seed,
        workers=workers,
    )
    pairs = pairs_of(list(tqdm(drawn, "recording for the probe", episodes, unit="episode")))
    found = {"whole frames": _recover(moments, answers, pairs, reference, names, lambda f: f)}
    if (region := reference.left_out) is not None:
        found[f"no {region.name}"] = _recover(moments, answers, pairs, reference, names, region.cut)
    return found


def pairs_of(recordings: Sequence[Recording]) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Gives the frames before and after each action of recordings, and the actions."""
    before = [o.frame for recording in recordings for o in recording.observations[:-1]]
    after = [o.frame for recording in recordings for o in recording.observations[1:]]
    actions = [action for recording in recordings for action in recording.actions]
    return np.stack(before), np.stack(after), actions


def _recover(
    moments: Sequence[Moment],
    answers: Answers,
    pairs: tuple[np.ndarray, np.ndarray, list[Any]],
    reference: Reference,
    names: Sequence[str],
    cut: Callable[[np.ndarray], np.ndarray],
) -> Recovery:
    before, after, actions = pairs
    space = reference.prompter.action_space
    with tqdm(desc="learning the probe", unit="epoch") as progress:
        probe = learn_probe(cut(before), cut(after), actions, space=space, progress=progress.update)
    number = answers.own.shape[1]
    seen = np.stack([moment.observation.frame for moment in moments])
    return recover(
        probe,
        cut(np.repeat(seen, number, axis=0)),
        cut(np.concatenate([moment.outcomes for moment in moments])),
        cut(np.concatenate(list(answers.own))),
        [action for moment in moments for action in moment.actions],
        groups=[index for index in range(len(moments)) for _ in range(number)],
        names=names,
    )
