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

from chronosim.cli.output import dataset_at, output_path, place
from chronosim.formats.exporting import export_dataset
from chronosim.settings.commands import EpisodesExport


def run(settings: EpisodesExport) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or episodes that the format cannot hold.
    """
    report = export_dataset(
        str(dataset_at(place(settings.path))),
        output_path(settings.composed),
        settings.format.make(),
        rows=settings.rows,
        seconds_per_step=settings.seconds_per_step,
        skip_bad=settings.skip_bad,
        force=settings.force,
    )
    print(report)
