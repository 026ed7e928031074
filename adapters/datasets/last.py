"""What becomes of an episode's last observation in formats that pair each one with an action."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from chronosim.adapters.datasets.recording import Recording
from chronosim.errors import InvalidConfig

__all__ = ["LAST", "check_last", "with_last_row", "without_last_row"]

LAST = "the last observation"
_CHOICES = ("drop", "keep")


def check_last(choice: str) -> None:
    """Refuses what is no choice.

    Raises:
        InvalidConfig: It is neither `drop` nor `keep`.
    """
    if choice not in _CHOICES:
        raise InvalidConfig(f"last_observation must be drop or keep, not {choice!r}")


def with_last_row(recording: Recording, choice: str) -> Recording:
    """Gives the last observation a row of its own, if it is to be kept.

    Its action is the one that an import could not use, if there was one, else the last one again;
    it earns nothing.
    """
    if choice == "drop" or not recording.closed:
        return recording
    unused = recording.about.get("unused_action")
    action = recording.actions[-1] if unused is None else _like(unused, recording.actions)
    added: dict[str, Any] = {
        "actions": action,
        "rewards": 0.0,
        "terminated": False,
        "truncated": False,
        "seeds": recording.seeds[-1],
        "latency": np.nan,
    }
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(recording, name), np.asarray(value)[None]])
        for name, value in added.items()
    }
    texts = (*recording.texts, recording.texts[-1])
    return replace(recording, closed=False, texts=texts, **columns)


def without_last_row(recording: Recording) -> Recording:
    """Makes a row that `with_last_row` added the last observation again."""
    columns: dict[str, Any] = {
        name: getattr(recording, name)[:-1]
        for name in ("actions", "rewards", "terminated", "truncated", "seeds", "latency", "texts")
    }
    return replace(recording, closed=True, **columns)


def _like(unused: Any, actions: np.ndarray) -> np.ndarray:
    """The unused action, if it is one of these rows: of a chunk, its last."""
    action = np.asarray(unused, actions.dtype)
    return action if action.shape == actions.shape[1:] else actions[-1]
