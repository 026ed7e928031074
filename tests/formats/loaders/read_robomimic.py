"""Reads a file with robomimic's own SequenceDataset, and writes what it gives to an .npz."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import robomimic.utils.obs_utils as ObsUtils
from robomimic.utils.dataset import SequenceDataset


def main(path: str, output: str) -> None:
    keys = {"rgb": ["agentview_image"], "low_dim": ["state"]}
    ObsUtils.initialize_obs_utils_with_obs_specs({"obs": keys, "goal": {"rgb": [], "low_dim": []}})
    dataset = SequenceDataset(
        hdf5_path=path,
        obs_keys=("agentview_image", "state"),
        dataset_keys=("actions", "rewards", "dones"),
        hdf5_cache_mode=None,
        hdf5_use_swmr=True,
    )
    rows = [dataset[index] for index in range(len(dataset))]
    columns: dict[str, Any] = {
        name: np.stack([row[name][0] for row in rows]) for name in dataset.dataset_keys
    }
    for part in ("obs", "next_obs"):
        for name in dataset.obs_keys:
            columns[f"{part}/{name}"] = np.stack([row[part][name][0] for row in rows])
    np.savez(output, **columns, demos=np.array(dataset.n_demos))


if __name__ == "__main__":
    main(*sys.argv[1:])
