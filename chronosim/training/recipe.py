"""From episodes to a world model, in three stages: stills, clips, world.

Each stage has a folder with its checkpoint; a stage that is finished is not trained again, one that
was broken off goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file, save_file
from transformers import T5TokenizerFast

from chronosim.episodes import list_episodes
from chronosim.errors import InvalidConfig
from chronosim.models.components import Components
from chronosim.training.autoencoder import AutoencoderObjective, new_autoencoder
from chronosim.training.flow import FlowObjective, TrainingSet, World
from chronosim.training.latents import LatentWindows, encode_windows, measure_latents
from chronosim.training.pipeline import new_world, save_pipeline
from chronosim.training.trainer import Schedule, train
from chronosim.training.windows import Windows, load_windows
from chronosim.training.words import new_tokenizer

__all__ = ["Recipe", "train_pipeline"]

_Networks = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a world model is trained.

    Attributes:
        networks: Arguments of the four networks: `autoencoder`, `transformer`, `text_encoder`,
            `image_encoder`.
        stills: Schedule of the autoencoder on single frames.
        clips: Schedule of the autoencoder on clips.
        world: Schedule of transformer and encoders.
        batch: Batch sizes by stage: single frames, clips, windows.
        held_out: Windows kept out of training, the last of each length, for the curves.
        flow: Further settings of `FlowObjective`.
        start: A model to start from (its weights are trained on); None: random weights.
    """

    networks: _Networks
    stills: Schedule
    clips: Schedule
    world: Schedule
    batch: Mapping[str, int]
    held_out: int
    flow: Mapping[str, float]
    start: Components | None = None


def train_pipeline(recipe: Recipe, dataset: Path, folder: Path) -> Path:
    """Trains a world model from recorded episodes, or goes on where it was broken off.

    Args:
        recipe: How.
        dataset: Folder of episodes, as `chronosim record` leaves it.
        folder: Gets a folder for each stage, and `pipeline`.

    Returns:
        The pipeline folder, which `chronosim.models.loading.load` reads.

    Raises:
        EpisodeNotFound: There is no data set.
        InvalidEpisode: It holds no steps.
        InvalidConfig: Its trajectories do not fit the transformer's trained positions.
    """
    found = load_windows(list_episodes(dataset))
    _check_lengths(found, recipe.networks["transformer"]["rope_temporal_skip_len"])
    windows, held_out = zip(
        *(w.split(min(recipe.held_out, len(w) // 2)) for w in found), strict=True
    )
    torch.manual_seed(recipe.world.seed)
    vae = _autoencoder(recipe, windows, held_out, folder)
    world, tokenizer = _world(recipe, windows)
    _train_world(recipe, vae, world, tokenizer, (windows, held_out), folder)
    save_pipeline(folder / "pipeline", world, vae, tokenizer)
    return folder / "pipeline"


def _check_lengths(found: Sequence[Windows], skip: int) -> None:
    full = 4 * (skip - 2) + 1
    for windows in found:
        if windows.time not in (1, full):
            raise InvalidConfig(
                f"the data set has trajectories of {windows.time} frames, but a transformer with "
                f"rope_temporal_skip_len={skip} learns 1 or {full}: record with that many"
            )


def _autoencoder(
    recipe: Recipe, windows: Sequence[Windows], held_out: Sequence[Windows], folder: Path
) -> AutoencoderKLWan:
    vae = new_autoencoder(recipe.networks["autoencoder"])
    if recipe.start is not None:
        vae.load_state_dict(recipe.start.vae.state_dict())
    stills = AutoencoderObjective(vae, windows, held_out, recipe.batch["stills"], stills=True)
    train(stills, recipe.stills, folder / "stills")
    if windows[-1].time > 1:
        clips = AutoencoderObjective(
            vae, windows[-1:], held_out[-1:], recipe.batch["clips"], stills=False
        )
        train(clips, recipe.clips, folder / "clips")
    vae.eval()
    measure_latents(vae, windows[-1])
    return vae


def _world(recipe: Recipe, windows: Sequence[Windows]) -> tuple[World, T5TokenizerFast]:
    if recipe.start is not None:
        parts = recipe.start  # shared with whoever else loaded them: train copies
        world = World(
            deepcopy(parts.transformer), deepcopy(parts.text_encoder), deepcopy(parts.image_encoder)
        )
        return world.train().requires_grad_(True), parts.tokenizer
    tokenizer = new_tokenizer(text for one in windows for text in one.text)
    return new_world(recipe.networks, tokenizer), tokenizer


def _train_world(
    recipe: Recipe,
    vae: AutoencoderKLWan,
    world: World,
    tokenizer: T5TokenizerFast,
    data: tuple[Sequence[Windows], Sequence[Windows]],
    folder: Path,
) -> None:
    sets = [
        TrainingSet.of(_latents(vae, one, folder / f"latents-{one.time}"), one, tokenizer)
        for one in data[0]
    ]
    last = data[1][-1]
    objective = FlowObjective(
        world,
        sets,
        TrainingSet.of(encode_windows(vae, last), last, tokenizer),
        torch.tensor(tokenizer("").input_ids),
        batch=recipe.batch["world"],
        **recipe.flow,
    )
    train(objective, recipe.world, folder / "world")


def _latents(vae: AutoencoderKLWan, windows: Windows, path: Path) -> LatentWindows:
    """Encodes the windows once; a resumed training reads them back."""
    file = path.with_suffix(".safetensors")
    if file.exists() and len((kept := load_file(file))["start"]) == len(windows):
        return LatentWindows(kept["start"], kept["clip"], kept["blank"], windows.text)
    latents = encode_windows(vae, windows)
    tensors = {"start": latents.start, "clip": latents.clip, "blank": latents.blank}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, file)
    return latents
