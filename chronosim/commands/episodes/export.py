"""Writes a data set of episodes in a format that others train with.

The formats' own options stand under `format`, e.g. format.camera=top. Where the format has a place
for it, each says which model and prompts its frames come from; what a format has no place for is
told. Formats need packages of their own: pip install 'chronosim[datasets]'.

Examples:
    chronosim episodes export runs/thousand format=lerobot output=datasets/thousand-lerobot
    chronosim episodes export datasets/carracing format=mp4 rows=frames output=clips
    chronosim episodes export runs/thousand format=lerobot format.camera=top output=top --force
"""

from __future__ import annotations

from omegaconf import DictConfig

from chronosim.cli.output import dataset_at, output_path, place
from chronosim.formats.exporting import export_dataset
from chronosim.settings.compose import make_part

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or episodes that the format cannot hold.
    """
    report = export_dataset(
        str(dataset_at(place(config.path))),
        output_path(config),
        make_part(config, "format"),
        rows=config.rows,
        seconds_per_step=config.seconds_per_step,
        force=bool(config.force),
    )
    print(report)
