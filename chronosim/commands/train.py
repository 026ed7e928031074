"""Trains a world model like nano from recorded episodes.

Four stages, each with its own folder, checkpoint, log and curve: the autoencoder on single frames,
the autoencoder on clips, what its encoder carries through blank frames, then transformer and
encoders by flow matching. Run it again with the same settings to go on after it was broken off, or
with more `world.steps` to train on. The result is a pipeline folder that every command takes as its
model.

Examples:
    chronosim train dataset=datasets/carracing output=runs/train/mine
    chronosim train output=runs/train/toy stills.steps=50 clips.steps=20 world.steps=100
    chronosim train start=nano dataset=datasets/mine known=datasets/carracing output=runs/train/two
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from chronosim.cli.output import make_folder, output_path, same_settings
from chronosim.errors import InvalidConfig
from chronosim.models.loading.load import load
from chronosim.settings.compose import whole_number
from chronosim.training.recipe import Recipe, train_pipeline
from chronosim.training.trainer import Schedule

__all__ = ["run"]

# From one run on a folder to the next; what the later stages build on must stay as it is:
_MAY_DIFFER = ("output", "threads", "world.steps")
# Of `FlowObjective`:
_FLOW = ["reasoning", "reasoning_from", "drop", "shift", "pure", "disturb", "stress", "point"]


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, a data set that cannot be learned from, or a
            folder that holds something else, or a training by other settings.
    """
    if config.threads is not None:
        torch.set_num_threads(whole_number(config, "threads", 1))
    folder = output_path(config)
    recipe = _recipe(config)
    _check_folder(config, folder)
    make_folder(config, folder)
    pipeline = train_pipeline(recipe, _paths(config.dataset), folder)
    print(f"\nThe model is in {pipeline}: chronosim rollout model.name={pipeline}")


def _check_folder(config: DictConfig, folder: Path) -> None:
    """Checks that a training may go on in a folder: one that has learned nothing may change."""
    learned = any(folder.glob("*/checkpoint.pt"))
    same_settings(config, folder, _MAY_DIFFER if learned else tuple(map(str, config)))


def _recipe(config: DictConfig) -> Recipe:
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    stages = ("stills", "clips", "carry", "world")
    world = values["world"]
    return Recipe(
        networks=values["networks"],
        **{stage: _schedule(stage, values[stage]) for stage in stages},
        batch={stage: _batch(stage, values[stage]["batch"]) for stage in stages},
        held_out=whole_number(config, "held_out", 1),
        flow={name: world[name] for name in _FLOW},
        start=None if config.start is None else load(str(config.start), device="cpu").components,
        known=_paths(config.known),
    )


def _paths(given: str | Sequence[str]) -> list[Path]:
    """One folder, or a list of them."""
    return [Path(one) for one in ([given] if isinstance(given, str) else given)]


def _batch(stage: str, size: Any) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise InvalidConfig(f"{stage}.batch must be a whole number of at least 1, not {size!r}")
    return size


def _schedule(stage: str, values: dict[str, Any]) -> Schedule:
    try:
        return Schedule(
            steps=int(values["steps"]),
            learning_rate=float(values["learning_rate"]),
            evaluate_every=max(1, min(250, int(values["steps"]) // 4)),
        )
    except (TypeError, ValueError) as error:
        raise InvalidConfig(f"{stage} cannot be trained so: {error}") from error
