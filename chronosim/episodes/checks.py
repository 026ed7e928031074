"""What is refused before it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast, get_args

import numpy as np

from chronosim.episodes.layout import Trajectories
from chronosim.episodes.step import Step
from chronosim.errors import InvalidAction, InvalidConfig, InvalidEpisode, InvalidFrame

__all__ = ["check_about", "check_step", "check_trajectories"]


def check_step(
    step: Step,
    frame: tuple[int, ...],
    state: tuple[int, ...],
    action: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Holds a step to the episode that it is appended to.

    Args:
        step: The step.
        frame: Shape of the episode's frames.
        state: Shape of its states.
        action: dtype and shape of its actions; None: this step decides.

    Returns:
        dtype and shape of the episode's actions from now on.

    Raises:
        InvalidFrame: A frame is of another size.
        InvalidEpisode: The commanded state is of another shape.
        InvalidAction: The action is neither numbers nor a string, of another shape or kind, or too
            large a whole number for the kind.
    """
    for found in (step.prediction.frame, step.after.frame):
        if found.shape != frame:
            raise InvalidFrame(f"this episode's frames are {frame}, but a step has {found.shape}")
    if step.after.state.shape != state:
        raise InvalidEpisode(
            f"this episode's states are of shape {state}, but a step has one of "
            f"{step.after.state.shape}"
        )
    values = _values(step.action)
    if values.dtype.kind not in "biufUS":
        raise InvalidAction(f"an action must be numbers or a string, not {step.action!r}")
    dtype = "string" if values.dtype.kind in "US" else str(values.dtype)
    kind: dict[str, Any] = dict(action or {"dtype": dtype, "shape": list(values.shape)})
    if kind["shape"] != list(values.shape) or not _fits(values, kind["dtype"]):
        raise InvalidAction(
            f"this episode's actions are {kind['dtype']} of shape {tuple(kind['shape'])}, "
            f"but a step has {step.action!r}"
        )
    return kind


def check_about(about: Mapping[str, Any]) -> None:
    """Refuses what JSON cannot hold.

    Raises:
        InvalidConfig: A value is no JSON value.
    """
    try:
        json.dumps(dict(about))
    except (TypeError, ValueError) as error:
        raise InvalidConfig(
            f"what is said about an episode must be JSON values ({error}): {about!r}"
        ) from error


def check_trajectories(kept: str) -> Trajectories:
    """Refuses a way to keep trajectories that there is not.

    Raises:
        InvalidConfig: There is no such way.
    """
    for known in get_args(Trajectories):
        if kept == known:
            return cast("Trajectories", known)
    raise InvalidConfig(
        f"trajectories are kept as one of {', '.join(get_args(Trajectories))}, not {kept!r}"
    )


def _values(action: Any) -> np.ndarray:
    try:
        return np.asarray(action)
    except ValueError as error:
        raise InvalidAction(f"an action must have rows of one width, not {action!r}") from error


def _fits(values: np.ndarray, known: str) -> bool:
    """Whether an action can be kept as `known` without losing its kind, or whole numbers."""
    words = values.dtype.kind in "US"
    if words or known == "string":
        return words and known == "string"
    if not np.can_cast(values.dtype, known, "same_kind"):
        return False
    if values.dtype.kind == "f":
        return True  # a float may lose digits, but a whole number would become another
    with np.errstate(invalid="ignore"):
        return bool((values.astype(known).astype(values.dtype) == values).all())
