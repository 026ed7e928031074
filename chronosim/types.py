"""The values that travel through chronosim: what is seen, asked, answered, and a step taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import index
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from chronosim.errors import InvalidAction, InvalidConfig, InvalidFrame

__all__ = [
    "Chunk",
    "EditPrompt",
    "Frame",
    "Frames",
    "Guard",
    "Observation",
    "Prediction",
    "State",
    "Step",
    "Trajectory",
]

Frame = UInt8[np.ndarray, "height width 3"]
"""One RGB picture; rows from the top, columns from the left, values 0 to 255."""

Trajectory = UInt8[np.ndarray, "time height width 3"]
"""The frames strictly after the observed one, up to and including the outcome; time >= 1."""

Frames = UInt8[np.ndarray, "n height width 3"]
"""Several RGB frames of one size."""

State = Float32[np.ndarray, " state"]
"""The commanded state: what a prompter keeps by dead reckoning, in the units it documents."""

Guard = Callable[[Frame], str | None]
"""Tells of an imagined frame why an episode must not go on from it; None: it may."""

_NO_STATE = np.zeros(0, np.float32)
_NO_STATE.setflags(write=False)


def _check_frame(frame: object) -> None:
    if not isinstance(frame, np.ndarray):
        raise InvalidFrame(
            f"a frame must be a numpy array, not {type(frame).__name__}: "
            "convert with numpy.asarray(picture.convert('RGB'))"
        )
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise InvalidFrame(
            f"a frame must be uint8 of shape (height, width, 3), RGB, "
            f"not {frame.dtype} of shape {frame.shape}"
        )


def as_seed(seed: Any) -> int:
    """Gives a seed as Python's int; NumPy's integers will do.

    Raises:
        InvalidConfig: It is no whole number, or does not lie in 0 to 2**63 - 1.
    """
    whole = None
    if not isinstance(seed, bool | np.bool):
        with suppress(TypeError):
            whole = index(seed)
    if whole is None:
        raise InvalidConfig(f"a seed must be a whole number, not {seed!r:.80}")
    if not 0 <= whole < 2**63:
        raise InvalidConfig(f"a seed must lie from 0 to 2**63 - 1, not {whole}")
    return whole


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What an agent sees at one step.

    Attributes:
        frame: RGB, uint8 (height, width, 3).
        state: Commanded state, float32 (n,), in the units the prompter documents; empty if none.
        step: Steps taken since the episode began, >= 0.

    Raises:
        InvalidFrame: `frame` is not an RGB uint8 array.
    """

    frame: Frame
    state: State = field(default_factory=lambda: _NO_STATE)
    step: int = 0

    def __post_init__(self) -> None:
        _check_frame(self.frame)


@dataclass(frozen=True, slots=True, eq=False)
class EditPrompt:
    """All that a world model is told; sampler settings belong to the model.

    Attributes:
        frame: The observed frame, RGB uint8 (height, width, 3).
        text: The edit in words.
        seed: Seed of the sampler's noise, 0 to 2**63 - 1; NumPy's integers will do.

    Raises:
        InvalidFrame: `frame` is not an RGB uint8 array.
        InvalidConfig: `seed` is no whole number, or out of range.
    """

    frame: Frame
    text: str
    seed: int

    def __post_init__(self) -> None:
        _check_frame(self.frame)
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            object.__setattr__(self, "seed", as_seed(self.seed))


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a world model answers.

    Attributes:
        trajectory: Frames strictly after the observed one, up to and including the outcome, each
            instant once; uint8 (time, height, width, 3), time >= 1.
        text: The words the model finally used (a prompt enhancer rewrites them); None: as given.
        metrics: Scalars worth logging, by name.

    Raises:
        InvalidFrame: `trajectory` is empty or not RGB uint8.
    """

    trajectory: Trajectory
    text: str | None = None
    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __reduce__(self) -> tuple[Any, ...]:
        """Goes to another process: a mapping that cannot be changed could not."""
        return Prediction, (self.trajectory, self.text, dict(self.metrics))

    def __post_init__(self) -> None:
        if not isinstance(self.trajectory, np.ndarray) or self.trajectory.ndim != 4:
            shape = getattr(self.trajectory, "shape", None)
            raise InvalidFrame(
                f"a trajectory must be an array of shape (time, height, width, 3), not {shape}"
            )
        if len(self.trajectory) == 0:
            raise InvalidFrame("a trajectory must hold at least the outcome, but it has no frame")
        _check_frame(self.trajectory[-1])

    @property
    def frame(self) -> Frame:
        """The outcome: the last frame of the trajectory, uint8 (height, width, 3)."""
        return self.trajectory[-1]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """What a policy does next, for more than one step.

    Attributes:
        actions: One or more, taken one after the other before the policy is asked again; an array
            of (steps, ...) will do.

    Raises:
        InvalidAction: There is none.
    """

    actions: Sequence[Any] | np.ndarray

    def __post_init__(self) -> None:
        if isinstance(self.actions, str) or not len(self.actions):
            raise InvalidAction(f"a chunk is a list of actions, at least one, not {self.actions!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step taken: what recorders, the studio, what-ifs and ranking share.

    Attributes:
        before: What was seen before the action.
        action: A vector, an id or an instruction.
        text: The words of the prompt: the prompter's, or what a prompt enhancer made of them.
        seed: Seed of the world model's noise.
        prediction: What the world did; its outcome is the next observation's frame.
        after: The next observation.
        reward: The scenario's reward; 0 where no scenario scores.
        terminated: Whether the scenario ended the episode.
        truncated: Whether the horizon, the guard or another limit cut it.
        latency: Seconds the world took to answer the call that this step was part of; NaN if
            unknown.
        truncation_reason: `"horizon"`, or the guard's word (`"drift"`); None: not truncated, or
            nobody said why.
        success: Whether the scenario's goal is reached; None where it knows no success.
    """

    before: Observation
    action: Any
    text: str
    seed: int
    prediction: Prediction
    after: Observation
    reward: float
    terminated: bool
    truncated: bool
    latency: float = float("nan")
    truncation_reason: str | None = None
    success: bool | None = None

    @property
    def ended(self) -> bool:
        """Whether the episode ends with this step."""
        return self.terminated or self.truncated
