"""Whether a model's frames and clips look on the whole like true ones: FID and FVD of rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronosim.evaluation.reporting.section import Table
from chronosim.metrics.distribution import Distance
from chronosim.metrics.perceptual import Perceptual

__all__ = ["Networks", "compare_sets", "sets_table"]

Steps = Sequence[UInt8[np.ndarray, "episodes height width 3"]]


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """Trained networks for the measures that need one; None: that measure is left out.

    Attributes:
        lpips: Compares frame with frame.
        fid: Compares all frames of the rollouts with all true ones.
        fvd: Compares whole rollouts with whole episodes.
    """

    lpips: Perceptual | None = None
    fid: Distance | None = None
    fvd: Distance | None = None


def compare_sets(networks: Networks, imagined: Steps, true: Steps) -> dict[str, Any]:
    """Gives FID and FVD, each beside that of one half of the truth from the other half.

    Args:
        networks: Those that are None are left out.
        imagined: After each step, the model's frame of each episode.
        true: The true ones.

    Returns:
        By measure: `model`, `truth`, and the settings that the figures depend on; JSON values.
    """
    found: dict[str, Any] = {}
    clips, real = np.stack(imagined, 1), np.stack(true, 1)
    if networks.fid is not None:
        frames, wanted = list(np.concatenate(clips)), list(np.concatenate(real))
        halves = list(np.concatenate(real[::2])), list(np.concatenate(real[1::2]))
        found["fid"] = {
            "model": networks.fid.of_frames(frames, wanted),
            "truth": networks.fid.of_frames(*halves),
            "network": networks.fid.name,
            "frames": len(frames),
        }
    if networks.fvd is not None:
        found["fvd"] = {
            "model": networks.fvd.of_clips(list(clips), list(real)),
            "truth": networks.fvd.of_clips(list(real[::2]), list(real[1::2])),
            "network": networks.fvd.name,
            "clips": len(clips),
            "frames": clips.shape[1],
        }
    return found


def sets_table(sets: Mapping[str, Any]) -> tuple[Table, ...]:
    """Gives what was compared as a table; none if nothing was."""
    if not sets:
        return ()
    rows = tuple(
        (name.upper(), f"{each['model']:.1f}", f"{each['truth']:.1f}", each["network"])
        for name, each in sets.items()
    )
    caption = (
        "Distances between sets, fed on its own frames; beside them one half of the true episodes "
        "from the other half, the least that so few can show. Figures of other numbers of frames, "
        "clips or lengths, or of other networks, cannot be compared."
    )
    return (Table(("distance", "model", "truth from truth", "network"), rows, caption),)
