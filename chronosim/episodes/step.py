"""One step of an episode, as it is logged and as it is read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chronosim.types import Observation, Prediction

__all__ = ["Step"]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What happened between two observations.

    Attributes:
        action: A vector, an id or an instruction.
        text: The words of the prompt: the prompter's, or what a prompt enhancer made of them.
        seed: Seed of the world model's noise.
        prediction: What the world did; its outcome is the next observation's frame.
        after: The next observation.
        reward: The scenario's reward.
        terminated: Whether the scenario ended the episode.
        truncated: Whether the horizon (or another limit) cut it.
        latency: Seconds the world took to answer, measured by the recorder; NaN if unknown.
    """

    action: Any
    text: str
    seed: int
    prediction: Prediction
    after: Observation
    reward: float
    terminated: bool
    truncated: bool
    latency: float = float("nan")
