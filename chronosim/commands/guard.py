"""Calibrates a drift guard: what tells an environment that a frame has left the world.

It learns from half of a data set's true episodes what frames of this world look like (colours, and
how rough they are at three scales), sets its limit on a quarter of them, and is judged on the last
quarter: how often it calls a true frame lost, and how often it misses frames that are broken on
purpose, or are of another world. With through=nano what nano's autoencoder makes of true frames
counts as true as well: its pictures are softer, and not lost for that. An environment takes the
file as guard=...; it then truncates an episode once a frame is lost, with "drift" as the reason.
The guard of CarRacing is in the box (guard="carracing"): it was made so, through nano.

Examples:
    chronosim guard datasets/carracing through=nano output=carracing.npz
    chronosim guard datasets/mine strangers=datasets/carracing false_alarms=0.05
    chronosim guard datasets/mine episodes=1000 output=mine.npz --force
"""

from __future__ import annotations

from pathlib import Path

from chronosim.cli.output import check_free, output_path
from chronosim.cli.terminal import progress_bars
from chronosim.errors import InvalidConfig
from chronosim.evaluation.guards import calibrate_guard
from chronosim.settings.commands import Guard


def run(settings: Guard) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A data set that is none or too small, or a setting that cannot work.
    """
    output = Path("guard.npz") if settings.output is None else output_path(settings.composed)
    if output.suffix != ".npz":
        raise InvalidConfig(f"a guard is an .npz with a .json beside it: not output={output}")
    for path in (output, output.with_suffix(".json")):
        check_free(path, settings.force)
    with progress_bars() as progress:
        found = calibrate_guard(
            settings.path,
            episodes=settings.episodes,
            through=settings.through,
            strangers=settings.strangers,
            false_alarms=settings.false_alarms,
            progress=progress,
        )
    found.save(output)
    print(f"{found.table.markdown()}\n\nguard   {output}, what it is worth beside it")
