"""The statistics that LeRobot keeps of every feature, of an episode and of a whole data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int64

from chronosim.types import Frame

__all__ = ["QUANTILES", "column_stats", "count_values", "frame_stats"]

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def column_stats(values: np.ndarray) -> dict[str, list[Any]]:
    """Gives minimum, maximum, mean, standard deviation, count and quantiles of a column.

    Args:
        values: Numbers, (rows, ...), at least one row.

    Returns:
        Lists of one number for each element of a row.
    """
    table = values.reshape(len(values), -1).astype(np.float64)
    found = {
        "min": table.min(0),
        "max": table.max(0),
        "mean": table.mean(0),
        "std": table.std(0),
        **{name: np.quantile(table, share, axis=0) for name, share in QUANTILES.items()},
    }
    return {**{name: value.tolist() for name, value in found.items()}, "count": [len(table)]}


def count_values(frames: Iterable[Frame]) -> Int64[np.ndarray, "3 256"]:
    """Counts how often each channel has each of its 256 values: all that `frame_stats` needs."""
    counts = np.zeros((3, 256), np.int64)
    for frame in frames:
        for channel in range(3):
            counts[channel] += np.bincount(frame[..., channel].reshape(-1), minlength=256)
    return counts


def frame_stats(counts: Int64[np.ndarray, "3 256"], frames: int) -> dict[str, list[Any]]:
    """Gives the same for frames, by channel, their values from 0 to 1 as LeRobot has them.

    Args:
        counts: From `count_values`; those of several episodes add up.
        frames: How many there were.

    Returns:
        Lists of shape (3, 1, 1).
    """
    values, total = np.arange(256) / 255, counts.sum(1)
    mean = counts @ values / total
    reached = counts.cumsum(1) / total[:, None]
    found = {
        "min": values[(counts > 0).argmax(1)],
        "max": values[255 - (counts[:, ::-1] > 0).argmax(1)],
        "mean": mean,
        "std": np.sqrt(np.maximum(counts @ values**2 / total - mean**2, 0)),
        **{name: values[(reached >= share).argmax(1)] for name, share in QUANTILES.items()},
    }
    stats = {name: value.reshape(3, 1, 1).tolist() for name, value in found.items()}
    return {**stats, "count": [frames]}
