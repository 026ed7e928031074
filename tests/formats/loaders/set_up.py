"""Makes the virtual environment with the formats' own loaders, for `pytest -m lerobot`.

    python tests/formats/loaders/set_up.py [folder]

LeRobot cannot be installed beside chronosim: it needs older diffusers, huggingface_hub and PyAV.
The folder takes 8 GB and ten minutes; without one it is the first of $CHRONOSIM_LOADERS and
~/.cache/chronosim/loaders.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(os.environ.get("CHRONOSIM_LOADERS") or "~/.cache/chronosim/loaders").expanduser()

WHOLE = ("lerobot==0.4.4", "torch==2.10.0", "torchvision==0.25.0")
ALONE = (  # what these ask for besides is there already, or not needed to read files
    "robomimic==0.3.0",
    "h5py==3.16.0",
    "tensorboardX==2.6.5",
    "zarr==2.18.7",
    "numcodecs==0.15.1",
    "asciitree==1.0.0",
    "fasteners==0.20",
    "deprecated==1.3.1",
    "wrapt==2.5.2",
)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *WHOLE], check=True)
    subprocess.run([*pip, "--no-deps", *ALONE], check=True)
    print(f"the loaders are in {folder}: CHRONOSIM_LOADERS={folder} pytest -m lerobot")


if __name__ == "__main__":
    main()
