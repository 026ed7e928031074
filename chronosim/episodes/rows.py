"""One row of an episode's records: an observation's state, and the step that led to it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chronosim.episodes.step import Step

__all__ = ["Row", "action_array", "row_of"]

_FIRST = frozenset({"state"})  # what a row without a step holds


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of a step beside frames. Row 0 is the beginning: no step led to it.

    As JSON it is an object with these names; numbers that are not finite are the strings `NaN`,
    `Infinity` and `-Infinity`, as Zarr itself writes them.

    Attributes:
        state: The commanded state after the step.
        action: Numbers in nested lists, or strings; the attributes know their dtype and shape.
        text: The words of the edit prompt.
        seed: Seed of the world model's noise.
        reward: The scenario's reward.
        terminated: Whether the scenario ended the episode.
        truncated: Whether a limit cut it.
        latency: Seconds the world took to answer; NaN if unknown.
        between: Frames strictly between the observation before and the one after.
        clip: Length of their video, bytes; 0 if they are kept otherwise or not at all.
    """

    state: list[float]
    action: Any = None
    text: str = ""
    seed: int = 0
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    latency: float = math.nan
    between: int = 0
    clip: int = 0

    @staticmethod
    def loads(text: str) -> Row:
        """Reads a row back.

        Raises:
            ValueError: It is no row.
        """
        try:
            values = json.loads(text)
            values["state"] = [float(value) for value in values["state"]]
            if len(values) > len(_FIRST):
                values.update({name: float(values[name]) for name in ("reward", "latency")})
            return Row(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no record of a step: {text[:80]!r}") from error

    def dumps(self) -> str:
        """Writes the row as JSON."""
        values = {"state": self.state} if self.action is None else asdict(self)
        try:
            return json.dumps(values, ensure_ascii=False, allow_nan=False)
        except ValueError:
            return json.dumps(_named(values), ensure_ascii=False, allow_nan=False)


def row_of(step: Step, dtype: str, *, between: int, clip: int) -> Row:
    """Makes the row of a step.

    Args:
        step: The step.
        dtype: Of the episode's actions.
        between: Frames kept between the observation before and the one after.
        clip: Length of their video, bytes.
    """
    action = np.asarray(step.action)
    return Row(
        state=step.after.state.tolist(),
        action=(action if dtype == "string" else action.astype(dtype)).tolist(),
        text=step.text,
        seed=int(step.seed),
        reward=float(step.reward),
        terminated=bool(step.terminated),
        truncated=bool(step.truncated),
        latency=float(step.latency),
        between=between,
        clip=clip,
    )


def action_array(actions: Sequence[Any], dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Gives rows' actions as one array, (rows, *shape), in the dtype they were logged with."""
    kind: Any = np.dtypes.StringDType() if dtype == "string" else np.dtype(dtype)
    return np.array(actions, dtype=kind).reshape(len(actions), *shape)


def _named(value: Any) -> Any:
    """Spells numbers that JSON has no way to write."""
    if isinstance(value, dict):
        return {name: _named(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_named(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
