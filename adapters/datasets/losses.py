"""What an episode loses on its way in, in the words of a report."""

from __future__ import annotations

from typing import Any

import numpy as np

from chronosim.adapters.datasets.recording import Recording

__all__ = ["LAST_ROW", "left_behind"]

LAST_ROW = "each episode's last row (action, reward, end, words): its outcome is not known"


def left_behind(
    found: Recording, recording: Recording, *, rows_per_step: int, action: str
) -> set[str]:
    """Compares what was found with the steps that will be made of it.

    Args:
        found: The rows as the source has them, at their rate, which may have been given.
        recording: The same at the rate asked for.
        rows_per_step: Rows in a step.
        action: What a step's action is made of.
    """
    rows = len(recording) - (not recording.closed)
    lost: dict[str, Any] = {
        LAST_ROW: not recording.closed,
        "rows between those of the new rate": recording.fps != found.fps,
        "rows at the end that make no whole step": rows % rows_per_step > 0,
    }
    steps = rows // rows_per_step
    if rows_per_step > 1 and steps:
        kept = steps * rows_per_step
        rewards = recording.rewards[:kept].reshape(steps, -1)
        lost |= {
            "the rewards of single rows (a step has their sum)": rewards[:, :-1].any(),
            "the states within a step": _vary(recording.states[:kept], steps),
            f"the actions of single rows (a step has: {action})": (
                action != "chunk" and _vary(recording.actions[:kept], steps)
            ),
            "the words of single rows": _vary(np.array(recording.texts[:kept]), steps),
        }
    return {what for what, happened in lost.items() if happened}


def _vary(values: np.ndarray, steps: int) -> bool:
    """Whether rows differ within a step."""
    grouped = values.reshape(steps, -1, *values.shape[1:])
    return bool((grouped != grouped[:, :1]).any())
