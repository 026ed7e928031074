"""LeRobot's features, their description for its JSON and for Arrow, and their statistics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int64

from chronosim.formats.clips import rate
from chronosim.formats.columns import EpisodeColumns
from chronosim.formats.parquet import pa
from chronosim.types import Frame

Features = dict[str, dict[str, Any]]
"""By name: `dtype`, `shape` and `names`, as `meta/info.json` has them."""


def columns_of(
    recording: EpisodeColumns, *, episode: int, begin: int, tasks: list[int]
) -> dict[str, np.ndarray]:
    """Gives a recording's columns but the frames, by LeRobot's names.

    Args:
        recording: The rows, with a rate.
        episode: Number of the episode.
        begin: Rows before it.
        tasks: Number of each row's task.
    """
    rows = len(recording)
    assert recording.fps is not None
    columns = {
        "action": recording.actions.reshape(rows, -1),
        "observation.state": recording.states[:rows],
        "next.reward": recording.rewards,
        "next.done": recording.terminated | recording.truncated,
        "next.terminated": recording.terminated,
        "next.truncated": recording.truncated,
        "seed": recording.seeds,
        "timestamp": (np.arange(rows) / recording.fps).astype(np.float32),
        "frame_index": np.arange(rows),
        "episode_index": np.full(rows, episode),
        "index": np.arange(begin, begin + rows),
        "task_index": np.array(tasks, np.int64),
    }
    if not recording.states.size:
        del columns["observation.state"]
    return columns


def describe(columns: dict[str, np.ndarray]) -> Features:
    """Describes columns."""
    return {
        name: {
            "dtype": values.dtype.name,
            "shape": list(values.shape[1:]) or [1],
            "names": (
                [f"{name.rpartition('.')[2]}_{axis}" for axis in range(values.shape[1])]
                if values.ndim > 1
                else None
            ),
        }
        for name, values in columns.items()
    }


def describe_camera(
    size: tuple[int, int], *, video: bool, lossless: bool, fps: float
) -> dict[str, Any]:
    """Describes the frames: images, or videos with how they are encoded."""
    height, width = size
    feature: dict[str, Any] = {
        "dtype": "video" if video else "image",
        "shape": [height, width, 3],
        "names": ["height", "width", "channels"],
    }
    if video:
        feature["info"] = {
            "video.height": height,
            "video.width": width,
            "video.codec": "h264",
            "video.pix_fmt": "gbrp" if lossless else "yuv420p",
            "video.is_depth_map": False,
            "video.fps": float(rate(fps)),
            "video.channels": 3,
            "has_audio": False,
        }
    return feature


def arrow_schema(features: Features) -> Any:
    """Describes the tables: to Arrow, and in their metadata to the library `datasets`."""
    fields, described = [], {}
    for name, feature in features.items():
        if feature["dtype"] == "video":
            continue  # lies beside the tables
        if feature["dtype"] == "image":
            picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
            fields.append(pa.field(name, picture))
            described[name] = {"_type": "Image"}
            continue
        kind = pa.from_numpy_dtype(np.dtype(feature["dtype"]))
        value: dict[str, Any] = {"dtype": feature["dtype"], "_type": "Value"}
        if feature["names"]:
            width = feature["shape"][0]
            # A vector of one is a plain value to LeRobot.
            kind = pa.list_(kind, width) if width > 1 else kind
            value = {"feature": value, "length": width, "_type": "List"} if width > 1 else value
        fields.append(pa.field(name, kind))
        described[name] = value
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": described}})})


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
