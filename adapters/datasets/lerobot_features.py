"""LeRobot's features: an episode's columns, and their description for its JSON and for Arrow."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from chronosim.adapters.datasets.clips import rate
from chronosim.adapters.datasets.parquet import pa
from chronosim.adapters.datasets.recording import Recording

__all__ = ["Features", "arrow_schema", "columns_of", "describe", "describe_camera"]

Features = dict[str, dict[str, Any]]
"""By name: `dtype`, `shape` and `names`, as `meta/info.json` has them."""


def columns_of(
    recording: Recording, *, episode: int, begin: int, tasks: list[int]
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
