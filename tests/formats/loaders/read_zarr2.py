"""Reads a replay buffer with zarr 2, as diffusion_policy's ReplayBuffer does."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import zarr


def main(path: str, output: str) -> None:
    assert zarr.__version__.startswith("2.")
    root: Any = zarr.open(path, mode="r")
    ends = root["meta"]["episode_ends"][:]
    data = {name: array[:] for name, array in root["data"].items()}
    assert all(len(array) == ends[-1] for array in data.values())
    np.savez(output, episode_ends=ends, **data)


if __name__ == "__main__":
    main(*sys.argv[1:])
