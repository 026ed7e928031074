"""Trains a world model like nano from recorded episodes.

Five stages, each with its own folder, checkpoint, log and curve: the autoencoder on single frames,
on clips and on pictures that went through it before, what its encoder carries through blank frames,
then transformer and encoders by flow matching; steps=0 leaves one out. Run it again with the same
settings to go on after it was broken off, or with more `world.steps` to train on. The result is a
pipeline folder that every command takes as its model.

Examples:
    chronosim train dataset=datasets/carracing output=runs/train/mine
    chronosim train output=runs/train/toy stills.steps=50 clips.steps=20 world.steps=100
    chronosim train start=nano dataset=datasets/mine known=datasets/carracing output=runs/train/two
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from chronosim.cli.output import alone, make_folder, output_path, same_settings
from chronosim.cli.terminal import progress_bars
from chronosim.models.loading.load import load
from chronosim.settings.commands import Train
from chronosim.settings.typed import plain
from chronosim.training.recipe import Recipe, nano_recipe, train_pipeline

# From one run on a folder to the next; what the later stages build on must stay as it is:
_MAY_DIFFER = ("output", "threads", "world.steps")


def run(settings: Train) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, a data set that cannot be learned from, or a
            folder that holds something else, or a training by other settings.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    folder = output_path(settings.composed)
    recipe = _recipe(settings)
    _check_folder(settings, folder)
    with alone(folder, "train"), progress_bars() as progress, _figures_shown():
        _check_folder(settings, folder)  # again: another may have trained here meanwhile
        make_folder(settings.composed, folder)
        pipeline = train_pipeline(recipe, _paths(settings.dataset), folder, progress=progress)
    print(f"\nThe model is in {pipeline}: chronosim rollout model.name={pipeline}")


@contextmanager
def _figures_shown() -> Iterator[None]:
    """Shows the figures that a training logs, above its bar."""
    handler, logger = logging.StreamHandler(), logging.getLogger("chronosim.training")
    handler.emit = lambda record: tqdm.write(record.getMessage())  # type: ignore[method-assign]
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _check_folder(settings: Train, folder: Path) -> None:
    """Checks that a training may go on in a folder: one that has learned nothing may change."""
    learned = any(folder.glob("*/checkpoint.pt"))
    config = settings.composed
    same_settings(config, folder, _MAY_DIFFER if learned else tuple(map(str, config)))


def _recipe(settings: Train) -> Recipe:
    start = None if settings.start is None else load(settings.start, device="cpu").components
    return nano_recipe(plain(settings.composed), start=start, known=_paths(settings.known))


def _paths(given: str | Sequence[str]) -> list[Path]:
    """One folder, or a list of them."""
    return [Path(one) for one in ([given] if isinstance(given, str) else given)]
