"""Controls: does a prediction need its own action, or would another do as well, or none at all?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chronosim.evaluation.following.bootstrap import Figure, ratio

__all__ = ["Controls", "control"]


@dataclass(frozen=True, slots=True)
class Controls:
    """Squared errors to a truth, over that of the prediction under the truth's own action.

    Attributes:
        own: Mean squared error under the own action, grey levels squared.
        swapped: Ratio of the error under another action; above 1: the right one is needed.
        idle: Ratio of the error under doing nothing; None where nobody knows what that is.
    """

    own: float
    swapped: Figure
    idle: Figure | None = None


def control(
    own: Float[np.ndarray, "items actions"],
    swapped: Float[np.ndarray, "items actions"],
    idle: Float[np.ndarray, "items actions"] | None = None,
) -> Controls:
    """Compares errors to the same truths; intervals resample the items.

    Args:
        own: Of the predictions under each truth's own action.
        swapped: Of those under other actions, averaged.
        idle: Of that under doing nothing.
    """
    total = own.sum(axis=1)
    return Controls(
        own=float(own.mean()),
        swapped=ratio(swapped.sum(axis=1), total),
        idle=None if idle is None else ratio(idle.sum(axis=1), total),
    )
