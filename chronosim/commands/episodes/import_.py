"""Reads a data set of another format, or a folder of frames or videos, as episodes.

The format's own options stand under `format`, e.g. format.camera=observation.images.top; `chronosim
episodes import format=lerobot --help` lists them. Resizing, another frame rate and several rows to
a step are asked for by name and noted in each episode; what the source holds and an episode cannot
is told.

Examples:
    chronosim episodes import datasets/pusht format=lerobot output=datasets/pusht-episodes
    chronosim episodes import clips format=folder rows_per_step=9 format.fps=25 output=mine
    chronosim episodes import demos.hdf5 format=robomimic 'frame_size=[96, 96]' output=demos
"""

from __future__ import annotations

from chronosim.cli.output import output_path, place
from chronosim.formats.importing import Conversion, import_dataset
from chronosim.settings.commands import EpisodesImport


def run(settings: EpisodesImport) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or a source that cannot be read.
    """
    conversion = Conversion(
        size=settings.frame_size,
        source_fps=settings.source_fps,
        fps=settings.fps,
        rows_per_step=settings.rows_per_step,
        action=settings.action,
        text=settings.text,
        synthetic=settings.synthetic,
    )
    report = import_dataset(
        str(place(settings.path)),
        output_path(settings.composed),
        settings.format.make(),
        conversion,
        prompter=None if settings.prompter is None else settings.prompter.make(),
        skip_bad=settings.skip_bad,
        force=settings.force,
    )
    print(report)
