"""Writes a data set with LeRobot itself: two episodes, two cameras; unfinished if asked."""

from __future__ import annotations

import os
import sys

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main(root: str, kind: str, end: str) -> None:
    picture = {"dtype": kind, "shape": (32, 36, 3), "names": ["height", "width", "channels"]}
    dataset = LeRobotDataset.create(
        "chronosim/foreign",
        fps=10,
        root=root,
        features={
            "observation.images.top": picture,
            "observation.images.wrist": picture,
            "observation.state": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
            "action": {"dtype": "float32", "shape": (3,), "names": ["a", "b", "c"]},
        },
        use_videos=kind == "video",
    )
    for episode, length in ((0, 5), (1, 7)):
        for row in range(length):
            value = 40 * episode + 20 * row
            dataset.add_frame(
                {
                    "observation.images.top": np.full((32, 36, 3), value, np.uint8),
                    "observation.images.wrist": np.full((32, 36, 3), 255 - value, np.uint8),
                    "observation.state": np.array([episode, row], np.float32),
                    "action": np.array([episode, row, 0.5], np.float32),
                    "task": f"episode {episode}, half {row // 3}",
                }
            )
        dataset.save_episode(parallel_encoding=False)
    if end == "unfinished":
        sys.stdout.flush()
        os._exit(0)  # as a recorder that was killed: no footer
    dataset.finalize()


if __name__ == "__main__":
    main(*sys.argv[1:])
