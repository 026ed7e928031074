"""Times writing and reading episodes on this machine, beside plain numpy files and HDF5.

Examples:
    chronosim bench episodes
    chronosim bench episodes steps=400 windows=2000
    chronosim bench episodes folder=/mnt/disk output=runs/that-disk
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from chronosim.bench.episodes import bench_episodes, table
from chronosim.bench.timing import describe_machine
from chronosim.cli.output import new_folder
from chronosim.cli.terminal import faint
from chronosim.errors import InvalidConfig
from chronosim.files import user_path, write_text
from chronosim.settings.commands import BenchEpisodes


def run(settings: BenchEpisodes) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or a disk that refuses.
    """
    parent = None if settings.folder is None else user_path(settings.folder)
    if parent is not None and not parent.is_dir():
        raise InvalidConfig(f"there is no folder {parent} to write to")
    output = new_folder(settings.composed, "bench-episodes")
    with tempfile.TemporaryDirectory(prefix="chronosim-bench-", dir=parent) as folder:
        figures = bench_episodes(
            Path(folder), steps=settings.steps, windows=settings.windows, seed=settings.seed
        )
    print(table(figures))
    report = {"figures": [asdict(figure) for figure in figures], "machine": describe_machine()}
    write_text(output / "figures.json", json.dumps(report, indent=2) + "\n")
    print(faint(f"\n{output / 'figures.json'}"))
