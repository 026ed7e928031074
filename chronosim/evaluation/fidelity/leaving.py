"""When imagined frames leave the world, by a drift guard made of the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from chronosim.envs.guard import DriftGuard
from chronosim.envs.traits import describe
from chronosim.evaluation.outcomes.defects import Finding
from chronosim.evaluation.reporting.section import Table

__all__ = ["find_leaving", "leaving_table", "shares_lost"]

_FALSE_ALARMS = 0.1  # of true episodes
_LOST = 0.5  # of the rollouts

Frames = UInt8[np.ndarray, "episodes height width 3"]


def shares_lost(
    imagined: Sequence[Frames], true: Sequence[Frames], shown: Sequence[Frames] = ()
) -> tuple[float, ...] | None:
    """Gives after each step the share of rollouts of which a frame was lost by then.

    The guard learns from every second true episode; the others set its limit, so that it calls a
    true frame lost in a tenth of them. What a model's autoencoder makes of true frames counts as
    true as well: else a soft picture would pass for one that has left the world.

    Args:
        imagined: After each step, the model's frame of each episode.
        true: The first frames, then the true ones after each step.
        shown: The true frames after each step through the model's autoencoder; none if it has none.

    Returns:
        None where there are too few true frames, or they are too small, for a guard.
    """
    films = np.stack([*true, *shown], axis=1)
    learnt, held_out = list(films[::2]), list(films[1::2])
    if min(films.shape[2:4]) < 12 or len(held_out) * _FALSE_ALARMS < 1:
        return None
    if len(learnt) * films.shape[1] < 4 * len(describe(films[0, 0])):
        return None
    guard = DriftGuard.fit(learnt, held_out, false_alarms=_FALSE_ALARMS)
    lost = [[guard(frame) is not None for frame in frames] for frames in imagined]
    shares = np.logical_or.accumulate(np.array(lost)).mean(axis=1)
    return tuple(float(share) for share in shares)


def find_leaving(shares: Sequence[float]) -> Finding:
    """Looks at how many rollouts have left the world at their end."""
    return Finding(
        "frames leave the world",
        shares[-1],
        _LOST,
        True,
        f"Share of rollouts of which a drift guard has called a frame lost within {len(shares)} "
        f"steps; of true episodes it does so in {_FALSE_ALARMS:.0%}.",
    )


def leaving_table(shares: Sequence[float], steps: Sequence[int]) -> Table:
    """Gives the shares at some steps."""
    caption = (
        "Rollouts that have left the world by then, by a drift guard that was calibrated on true "
        "frames, as they are and as the model's autoencoder (if it has one) gives them back: it "
        f"calls one lost in {_FALSE_ALARMS:.0%} of the true episodes. It looks at colours and "
        "roughness, not at what is in the frame."
    )
    row = ("lost", *(f"{shares[step - 1]:.0%}" for step in steps))
    return Table(("step", *map(str, steps)), (row,), caption)
