"""Several runs of one command, one for each combination of what is swept over."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from chronosim.cli.failures import known_reason
from chronosim.cli.terminal import faint, table
from chronosim.errors import InvalidConfig
from chronosim.settings.compose import settings_text

_LONGEST = 80  # characters of a folder's name
_FIGURES = ("episodes", "steps", "reward", "return", "terminated")


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        name: What is its own: "scenario=pusht,seed=3"; a folder may be called so.
        given: Its settings, as a command is given them; `output` among them.
    """

    name: str
    given: tuple[str, ...]


def jobs(command: str, given: Sequence[str]) -> list[SweepRun]:
    """Multiplies out what is swept over: `policy=a,b` and `seed=range(0,3)` are six runs.

    Args:
        command: The command's name.
        given: Its settings in Hydra's grammar; `output` is the folder of all runs.

    Returns:
        The runs, the last setting changing fastest, each with a folder of its own in `output`.

    Raises:
        InvalidConfig: The command leaves no results to tell apart, nothing is swept over, or a
            setting cannot be read.
    """
    if "output" not in OmegaConf.create(settings_text(command)):
        raise InvalidConfig(f"{command} leaves no results in a folder, so it cannot be swept over")
    output = Path(f"runs/{command.replace(' ', '-')}/sweep-{datetime.now():%Y-%m-%d-%H%M%S}")
    plain: list[str] = []
    swept: list[str] = []
    for word in given:
        key, _, value = word.partition("=")
        if key == "output":
            output = Path(value)
        else:
            (swept if _sweeps(word) else plain).append(word)
    if not swept:
        raise InvalidConfig(
            "nothing is swept over: give a setting several values, as in policy=a,b seed=range(0,3)"
        )
    overrides = OverridesParser.create().parse_overrides(swept)
    [combinations] = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    made = [SweepRun(_folder_name(chosen), (*plain, *chosen)) for chosen in combinations]
    if len({job.name for job in made}) < len(made):  # names that were cut, or mended, alike
        made = [SweepRun(f"{index}-{job.name}", job.given) for index, job in enumerate(made)]
    return [SweepRun(job.name, (*job.given, f"output={output / job.name}")) for job in made]


def sweep(runs: Sequence[SweepRun], run: Callable[[Sequence[str]], Any]) -> int:
    """Runs each job, goes on after one that failed, and compares what came of them.

    Args:
        runs: What to run.
        run: Runs a command's settings.

    Returns:
        0, or 2 where a run failed.
    """
    failed = {}
    for number, job in enumerate(runs, 1):
        print(faint(f"\n{number} of {len(runs)}: {job.name}"))
        try:
            run(job.given)
        except Exception as error:
            if (why := known_reason(error)) is None:
                raise
            failed[job.name] = why
            print(f"failed: {why}")
    rows = [(job.name, *_figures(_folder(job))) for job in runs if job.name not in failed]
    print(f"\n{table(('run', *_FIGURES), rows)}" if rows else "")
    for name, why in failed.items():
        print(f"failed: {name}: {why}")
    print(faint(f"\n{_folder(runs[0]).parent}"))
    return 2 if failed else 0


def _sweeps(word: str) -> bool:
    try:
        return bool(OverridesParser.create().parse_override(word).is_sweep_override())
    except HydraException:
        return False  # plain words, as without a sweep


def _folder_name(chosen: Sequence[str]) -> str:
    words = re.sub(r"[^\w=.,+-]+", "-", ",".join(word.lstrip("+") for word in chosen))
    return words[:_LONGEST]


def _folder(job: SweepRun) -> Path:
    return Path(job.given[-1].partition("=")[2])


def _figures(folder: Path) -> tuple[Any, ...]:
    """What a run's summary says, where it leaves one."""
    try:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
    except (OSError, ValueError):
        return (None,) * len(_FIGURES)
    each = summary["each"]
    count = len(each)
    return (
        count,
        sum(row["steps"] for row in each) / count,
        sum(row["reward"] or 0.0 for row in each) / count,
        sum(row["total"] for row in each) / count,
        sum(row["end"] == "terminated" for row in each),
    )
