"""What a model makes of every action at a moment, and of doing nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from chronosim.errors import InvalidConfig
from chronosim.evaluation.truth.moments import Moment
from chronosim.evaluation.truth.reference import Policy
from chronosim.simulator import Simulator

__all__ = ["Answers", "answer_all"]

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
    moments: Sequence[Moment], simulator: Simulator, *, idle: Policy, seed: int, folder: Path
) -> Answers:
    """Asks for the outcome of every action at every moment, and of doing nothing.

    All answers at a moment have the same noise, so that they differ by the action alone.

    Args:
        moments: Where; all with as many actions.
        simulator: The model, and the prompter that the moments were drawn with.
        idle: What doing nothing is.
        seed: Of the model's noise; moment i has seed + i.
        folder: For what is finished; it is read again.

    Raises:
        InvalidConfig: What is kept there cannot be read, or is of other moments.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    firsts = range(0, len(moments), _CHUNK)
    for first in tqdm(firsts, "answering every action", unit=f"{_CHUNK} moments"):
        path, chunk = folder / f"{first:06d}.npy", moments[first : first + _CHUNK]
        if not path.is_file():
            outcomes = _answer(chunk, simulator, idle, seed + first)
            draft = folder / f".{first:06d}.npy"  # a run may be killed here too
            np.save(draft, outcomes)
            draft.replace(path)
        parts.append(_load(path, chunk))
    outcomes = np.concatenate(parts)
    return Answers(outcomes[:, :-1], outcomes[:, -1])


def _answer(
    moments: Sequence[Moment], simulator: Simulator, idle: Policy, seed: int
) -> UInt8[np.ndarray, "moments answers height width 3"]:
    """Outcomes of all actions, then of doing nothing."""
    found = []
    for index, moment in enumerate(moments):
        actions = [*moment.actions, idle(moment.observation)]
        steps = simulator.step_all(
            [moment.observation] * len(actions), actions, seeds=[seed + index] * len(actions)
        )
        found.append(np.stack([prediction.frame for _, prediction in steps]))
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
