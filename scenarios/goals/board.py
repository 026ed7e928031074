"""Goals on PushT's board, read off the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronosim.errors import InvalidConfig
from chronosim.scenarios.board import GOAL, block_pose, goal_coverage
from chronosim.scenarios.goals.criterion import check_share
from chronosim.types import Observation, Prediction


@dataclass(frozen=True, slots=True)
class GoalCovered:
    """Holds where the block covers enough of its goal, and in part where it covers less.

    Attributes:
        share: Share of the goal that is enough, above 0 to 1; 0.95 is gym-pusht's own.

    Raises:
        InvalidConfig: The share is out of range.
    """

    share: float = 0.95

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Reads it off the outcome, 0 to 1."""
        return min(goal_coverage(after.frame) / self.share, 1.0)

    def __str__(self) -> str:
        return f"the T covers {round(100 * self.share)}% of its goal"


@dataclass(frozen=True, slots=True)
class BlockAway:
    """Holds where the block's middle is between two distances from its goal.

    Attributes:
        least: Board units (512 from edge to edge), >= 0.
        most: Board units, above `least`.

    Raises:
        InvalidConfig: The distances are negative or reversed.
    """

    least: float = 0.0
    most: float = 724.0

    def __post_init__(self) -> None:
        if not 0 <= self.least < self.most:
            raise InvalidConfig(f"least must be below most: {self.least} and {self.most}")

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Reads it off the outcome: 0 or 1."""
        pose = block_pose(after.frame)
        if pose is None:
            return 0.0
        away = np.hypot(pose.x - GOAL.x, pose.y - GOAL.y)
        return float(self.least <= away <= self.most)

    def __str__(self) -> str:
        return f"the T lies {self.least:g} to {self.most:g} board units from its goal"


@dataclass(frozen=True, slots=True)
class BlockGone:
    """Holds where the frame shows hardly any block: the model lost it."""

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Reads it off the outcome: 0 or 1."""
        return float(block_pose(after.frame) is None)

    def __str__(self) -> str:
        return "no T is to be seen any more"
