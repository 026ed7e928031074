"""Times writing and reading episodes on this machine, beside numpy files, HDF5 and plain Zarr.

Examples:
    chronosim bench episodes
    chronosim bench episodes steps=400 windows=2000
    chronosim bench episodes folder=/mnt/disk output=runs/that-disk
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from chronosim.bench.episodes import Figure, bench_episodes, table
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
    measured = partial(
        bench_episodes, steps=settings.steps, windows=settings.windows, seed=settings.seed
    )
    bench("bench-episodes", settings.composed, settings.folder, measured)


def bench(
    command: str,
    composed: DictConfig,
    given: str | None,
    measure: Callable[[Path], list[Figure]],
) -> None:
    """Measures in a folder of its own, prints the figures and keeps them.

    Args:
        command: Its name.
        composed: Its settings.
        given: Where to make that folder; None: where the system keeps such.
        measure: Measures in it.

    Raises:
        InvalidConfig: There is no such folder.
    """
    parent = None if given is None else user_path(given)
    if parent is not None and not parent.is_dir():
        raise InvalidConfig(f"there is no folder {parent} to write to")
    output = new_folder(composed, command)
    with tempfile.TemporaryDirectory(prefix="chronosim-bench-", dir=parent) as folder:
        figures = measure(Path(folder))
    print(table(figures))
    report = {"figures": [asdict(figure) for figure in figures], "machine": describe_machine()}
    write_text(output / "figures.json", json.dumps(report, indent=2) + "\n")
    print(faint(f"\n{output / 'figures.json'}"))
