"""Pushing PushT's block onto its goal, judged by the predicted frame alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import InvalidFrame
from chronosim.scenarios.board import goal_coverage, pusher_place
from chronosim.scenarios.starts import Starts, load_small
from chronosim.types import Frame, Observation, Prediction

_WHOLE = 0.95  # share of the goal that counts as all of it: PushTEnv.success_threshold


@dataclass(frozen=True, slots=True)
class PushTScenario:
    """Begins with block and pusher somewhere on the board; covering the goal is what counts.

    The reward of a step, 0 to 1, is read off the predicted outcome: the share of the goal that the
    block covers, where 95 % counts as 1. The episode terminates above 95 %. Both rules are
    gym-pusht's. On 2,497 true frames the share read off the frame correlates with the simulator's
    by 0.9994; where any of the goal is covered (1,240 frames) by 0.9988, without bias.

    Attributes:
        starts: Path of the first frames: an .npz with `frames`, uint8 (n, 96, 96, 3), or a folder
            of RGB PNGs; None for the shipped ones. The pusher's place is read off the frame.

    Raises:
        EpisodeNotFound: There is nothing at `starts`.
        InvalidFrame: The first frames are not RGB uint8 of 96 x 96, or one shows no pusher.
    """

    starts: str | Path | None = None
    _starts: Starts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = load_small("pusht", self.starts)
        for index, frame in enumerate(starts.frames):
            if pusher_place(frame) is None:
                raise InvalidFrame(f"first frame {index} shows no pusher, a blue disc")
        object.__setattr__(self, "_starts", starts)

    @property
    def instruction(self) -> str:
        """What a policy is asked to do, in words."""
        return "Push the T-shaped block onto the T-shaped target."

    def begin(self, rng: np.random.Generator) -> tuple[Frame, Mapping[str, float]]:
        """Draws a first frame, uint8 (96, 96, 3), and the pusher's `x` and `y`, board units."""
        frame = self._starts.frames[int(rng.integers(len(self._starts)))].copy()
        place = pusher_place(frame)
        assert place is not None  # checked when it was made
        return frame, {"x": float(place[0]), "y": float(place[1])}

    def score(
        self, before: Observation, action: Any, prediction: Prediction, after: Observation
    ) -> tuple[float, bool]:
        """Judges one step: the reward, 0 to 1, and whether the goal is covered."""
        covered = goal_coverage(after.frame)
        return min(covered / _WHOLE, 1.0), covered > _WHOLE

    def succeeded(self, reward: float, terminated: bool) -> bool:
        """Whether a step with this score covered the goal: what ends an episode."""
        return terminated
