"""Whether a model's frames and clips look on the whole like true ones: FID and FVD of rollouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronosim.evaluation.report.section import Table
from chronosim.metrics.distribution import Distance
from chronosim.metrics.perceptual import Perceptual

__all__ = ["Networks", "compare_sets", "sets_table"]

Steps = Sequence[UInt8[np.ndarray, "episodes height width 3"]]
Clips = UInt8[np.ndarray, "episodes time height width 3"]


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
    """Gives FID and FVD, and those of halves: model from truth, and truth from truth.

    Distances of few are larger than those of many, so halves are compared with halves.

    Args:
        networks: Those that are None are left out.
        imagined: After each step, the model's frame of each episode.
        true: The true ones.

    Returns:
        By measure: `model`; `half`, of half of the model's episodes from the other half's truth,
        and `truth`, of half of the truth from its other half (None with fewer than 4 episodes); and
        the settings that the figures depend on; JSON values.
    """
    found: dict[str, Any] = {}
    clips, real = np.stack(imagined, 1), np.stack(true, 1)
    if (fid := networks.fid) is not None:
        distances = _distances(
            lambda a, b: fid.of_frames(list(np.concatenate(a)), list(np.concatenate(b))),
            clips,
            real,
        )
        frames = len(clips) * clips.shape[1]
        found["fid"] = {**distances, "network": fid.name, "frames": frames}
    if (fvd := networks.fvd) is not None:
        distances = _distances(lambda a, b: fvd.of_clips(list(a), list(b)), clips, real)
        sizes = {"clips": len(clips), "frames": clips.shape[1]}
        found["fvd"] = {**distances, "network": fvd.name, **sizes}
    return found


def _distances(
    measure: Callable[[Clips, Clips], float], clips: Clips, real: Clips
) -> dict[str, float | None]:
    if len(clips) < 4:
        return {"model": measure(clips, real), "half": None, "truth": None}
    halves = (measure(clips[::2], real[1::2]), measure(clips[1::2], real[::2]))
    return {
        "model": measure(clips, real),
        "half": float(np.mean(halves)),
        "truth": measure(real[::2], real[1::2]),
    }


def sets_table(sets: Mapping[str, Any]) -> tuple[Table, ...]:
    """Gives what was compared as a table; none if nothing was."""
    if not sets:
        return ()
    rows = tuple(
        (name.upper(), *(_figure(each[way]) for way in ("model", "half", "truth")), each["network"])
        for name, each in sets.items()
    )
    caption = (
        "Distances between sets, fed on its own frames. Half of its episodes from the other half's "
        "truth compares with the truth of the halves from one another, the least that so few can "
        "show. Figures of other numbers of frames, clips or lengths, or of other networks, cannot "
        "be compared."
    )
    header = ("distance", "model", "model, halves", "truth from truth, halves", "network")
    return (Table(header, rows, caption),)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
