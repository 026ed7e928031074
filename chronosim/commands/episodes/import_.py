"""Reads a data set of another format, or a folder of frames or videos, as episodes.

The format's own options stand under `format`, e.g. format.camera=observation.images.top. Resizing,
another frame rate and several rows to a step are asked for by name and noted in each episode; what
the source holds and an episode cannot is told.

Examples:
    chronosim episodes import datasets/pusht format=lerobot output=datasets/pusht-episodes
    chronosim episodes import clips format=folder rows_per_step=9 source_fps=25 output=mine
    chronosim episodes import demos.hdf5 format=robomimic 'frame_size=[96, 96]' output=demos
"""

from __future__ import annotations

from omegaconf import DictConfig, ListConfig

from chronosim.cli.output import output_path, place
from chronosim.errors import InvalidConfig
from chronosim.formats.importing import Conversion, import_dataset
from chronosim.settings.compose import make_part, whole_number

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or a source that cannot be read.
    """
    conversion = Conversion(
        size=_size(config),
        source_fps=config.source_fps,
        fps=config.fps,
        rows_per_step=whole_number(config, "rows_per_step", 1),
        action=config.action,
        text=config.text,
        synthetic=bool(config.synthetic),
    )
    report = import_dataset(
        str(place(config.path)),
        output_path(config),
        make_part(config, "format"),
        conversion,
        prompter=make_part(config, "prompter") if "prompter" in config else None,
        force=bool(config.force),
    )
    print(report)


def _size(config: DictConfig) -> tuple[int, int] | None:
    given = config.frame_size
    if given is None:
        return None
    size = list(given) if isinstance(given, ListConfig) else [given]
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise InvalidConfig(f"frame_size must be [height, width] in pixels, not {given}")
    return size[0], size[1]
