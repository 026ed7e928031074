"""Reads a data set with LeRobot itself, and writes what it gives to an .npz."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main(root: str, output: str) -> None:
    dataset = LeRobotDataset("chronosim/episodes", root=root, video_backend="pyav")
    rows = [dataset[index] for index in range(len(dataset))]
    columns: dict[str, Any] = {
        name: np.stack([np.asarray(row[name]) for row in rows])
        for name, value in rows[0].items()
        if isinstance(value, torch.Tensor) or name == "task"
    }
    stats: dict[str, Any] = {
        f"stats/{name}/{key}": value
        for name, of in dataset.meta.stats.items()
        for key, value in of.items()
    }
    said: dict[str, Any] = {
        "fps": np.array(dataset.fps),
        "episodes": np.array(dataset.num_episodes),
        "lengths": np.array(dataset.meta.episodes["length"]),
        "features": np.array(sorted(dataset.features)),
    }
    np.savez(output, **columns, **stats, **said)


if __name__ == "__main__":
    main(*sys.argv[1:])
