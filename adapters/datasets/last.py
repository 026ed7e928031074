"""An episode's last observation, in formats that pair each one with an action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from chronosim.adapters.datasets.recording import Recording
from chronosim.errors import InvalidConfig

__all__ = ["LAST", "check_last", "unused_row", "with_last_row", "without_last_row"]

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

    It is the one that an import could not use, if there was one; else it has the last action and
    the last words again, earns nothing and ends nothing.
    """
    if choice == "drop" or not recording.closed:
        return recording
    row = _own_row(recording.about) or {}
    text = row.get("text")
    added: dict[str, Any] = {
        "actions": _like(row.get("action"), recording.actions),
        "rewards": _number(row.get("reward", 0.0)),
        "terminated": bool(row.get("terminated", False)),
        "truncated": bool(row.get("truncated", False)),
        "seeds": int(row.get("seed", recording.seeds[-1])),
        "latency": _number(row.get("latency")),
    }
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(recording, name), np.asarray(value)[None]])
        for name, value in added.items()
    }
    texts = (*recording.texts, recording.texts[-1] if text is None else str(text))
    return replace(recording, closed=False, texts=texts, **columns)


def without_last_row(recording: Recording) -> Recording:
    """Makes a row that `with_last_row` made up the last observation again; a real one stays."""
    if _own_row(recording.about) is not None:
        return recording
    columns: dict[str, Any] = {
        name: getattr(recording, name)[:-1]
        for name in ("actions", "rewards", "terminated", "truncated", "seeds", "latency", "texts")
    }
    return replace(recording, closed=True, **columns)


def unused_row(recording: Recording, *, rows_per_step: int, worded: bool) -> dict[str, Any] | None:
    """Keeps the row that no step can hold: the last one, where its outcome is not known.

    Args:
        recording: The rows, as steps are made of them.
        rows_per_step: Rows in a step.
        worded: Whether the steps have other words than their rows.

    Returns:
        JSON values: `action`, `reward`, `terminated`, `truncated`, `text` (None if `worded`),
        `seed`, `latency`; and `gap`, the rows before it that make no whole step. None if the
        outcome is known.
    """
    if recording.closed:
        return None
    return {
        "action": recording.actions[-1].tolist(),
        "reward": _finite(recording.rewards[-1]),
        "terminated": bool(recording.terminated[-1]),
        "truncated": bool(recording.truncated[-1]),
        "text": None if worded else recording.texts[-1],
        "seed": int(recording.seeds[-1]),
        "latency": _finite(recording.latency[-1]),
        "gap": (len(recording) - 1) % rows_per_step,
    }


def _own_row(about: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The source's row at the last observation, as `unused_row` kept it; None: there is none."""
    row = about.get("unused_row")
    if isinstance(row, Mapping):
        return None if row.get("gap") else row  # after a gap it is that of a later observation
    action = about.get("unused_action")  # all that imports once kept
    return None if action is None else {"action": action}


def _like(unused: Any, actions: np.ndarray) -> np.ndarray:
    """The unused action, if it is one of these rows: of a chunk, its last."""
    if unused is None:
        return np.asarray(actions[-1])
    action = np.asarray(unused, actions.dtype)
    return action if action.shape == actions.shape[1:] else np.asarray(actions[-1])


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
