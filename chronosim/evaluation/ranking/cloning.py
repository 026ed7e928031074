"""Contestants that have yet to learn: networks cloned from recordings of the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from chronosim.adapters.policies.cloned import ClonedPolicy, clone
from chronosim.evaluation.ranking.contestants import Contestant
from chronosim.evaluation.truth.recordings import Recording, draw_recordings
from chronosim.evaluation.truth.reference import Policy, Reference

__all__ = ["learn"]


def learn(
    contestants: Sequence[Contestant],
    *,
    reference: Reference,
    folder: Path,
    steps: int,
    first_seed: int,
    workers: int = 1,
) -> list[Contestant]:
    """Lets every contestant learn that has to; what has been learned in `folder` is kept.

    The reference's own policy acts, with its whims, and so comes to places that a good driver never
    sees; the teacher says for each frame what it would have done there, and that is learned.

    Args:
        contestants: All; those that have a policy are given back as they are.
        reference: Where recordings come from, and who acts in them.
        folder: Of the weights.
        steps: Held actions of a recording.
        first_seed: Of the recordings; keep it away from the starts.
        workers: Processes that record.

    Raises:
        InvalidConfig: The actions are no numbers, or recordings end too early.
    """
    paths = {one.name: folder / f"{one.name}.safetensors" for one in contestants if one.cloning}
    waiting = [one for one in contestants if one.name in paths and not paths[one.name].is_file()]
    if waiting:
        episodes = max(one.cloning.episodes for one in waiting if one.cloning)
        drawn = draw_recordings(
            episodes, reference=reference, steps=steps, first_seed=first_seed, workers=workers
        )
        recordings = list(tqdm(drawn, "recording for clones", episodes, unit="episode"))
        for one in waiting:
            _learn(one, recordings, reference, paths[one.name])
    return [
        replace(one, policy=partial(_load, paths[one.name])) if one.name in paths else one
        for one in contestants
    ]


def _learn(
    one: Contestant, recordings: Sequence[Recording], reference: Reference, path: Path
) -> None:
    assert one.cloning is not None
    settings, chosen = one.cloning, recordings[: one.cloning.episodes]
    seen = [observation for recording in chosen for observation in recording.observations[:-1]]
    with tqdm(total=settings.epochs, desc=f"cloning {one.name}", unit="epoch") as progress:
        clone(
            path,
            np.stack([observation.frame for observation in seen]),
            np.stack([observation.state for observation in seen]),
            np.stack([np.asarray(action, np.float32) for action in _shown(one, chosen)]),
            space=reference.prompter.action_space,
            width=settings.width,
            epochs=settings.epochs,
            seed=settings.seed,
            progress=progress.update,
        )


def _shown(one: Contestant, recordings: Sequence[Recording]) -> list[Any]:
    """What is to be learned: what was done, or what the teacher would have done."""
    assert one.cloning is not None
    actions: list[Any] = []
    for recording in recordings:
        if one.cloning.teacher is None:
            actions += recording.actions
        else:
            teacher = one.cloning.teacher(recording.seed)
            actions += [teacher(observation) for observation in recording.observations[:-1]]
    return actions


def _load(path: Path, seed: int) -> Policy:
    """Makes a clone for an episode; it draws nothing, so the seed makes no difference."""
    return ClonedPolicy(path)
