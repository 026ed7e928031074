"""From episodes to a world model, in five stages: stills, clips, trips, carry, world.

Each stage has a folder with its checkpoint; a stage that is finished is not trained again, one that
was broken off goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from transformers import CLIPVisionConfig, T5TokenizerFast

from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import InvalidConfig, InvalidEpisode
from chronosim.files import whole_file, write_text
from chronosim.models.engine.components import Components
from chronosim.progress import Progress, listening
from chronosim.settings.compose import CONF
from chronosim.training.autoencoder import another, new_autoencoder, train_autoencoder
from chronosim.training.flow import FlowObjective
from chronosim.training.latents import LatentWindows, TrainingSet, encode_windows
from chronosim.training.pipeline import WorldNetworks, new_world, save_pipeline
from chronosim.training.trainer import Schedule, train
from chronosim.training.windows import TrainingData, Windows, load_windows
from chronosim.training.words import extend_embeddings, extend_tokenizer, new_tokenizer

_Networks = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a world model is trained.

    Attributes:
        networks: Arguments of the four networks: `autoencoder`, `transformer`, `text_encoder`,
            `image_encoder`; those of `start` where that is given.
        stills: Schedule of the autoencoder on single frames.
        clips: Schedule of the autoencoder on clips.
        trips: Schedule of the autoencoder on pictures that went through it.
        carry: Schedule of what its encoder carries through blank frames.
        world: Schedule of transformer and encoders.
        batch: Batch sizes by stage: single frames, clips, single frames of which half as many make
            a batch of clips, frames and clips of each length, windows.
        held_out: Windows kept out of training, the last of each length, for the curves.
        flow: Further settings of `FlowObjective`.
        ways: Share of the episodes that teach the frames on the way as well, not outcomes alone.
        start: A model to start from (its weights are trained on); None: random weights.
        undo: Round trips at most (`trips`), and whether the encoder learns from them as well
            (`encodes`), as `train_autoencoder` takes them.
        known: Data sets of the worlds that `start` knows, so that it does not forget them: they are
            replayed beside the new ones, and their latents stay where they are.
    """

    networks: _Networks
    stills: Schedule
    clips: Schedule
    trips: Schedule
    carry: Schedule
    world: Schedule
    batch: Mapping[str, int]
    held_out: int
    flow: Mapping[str, float]
    ways: float = 1.0
    start: Components | None = None
    undo: Mapping[str, Any] = field(default_factory=dict)
    known: Sequence[Path] = ()


# Of `FlowObjective`:
_FLOW = ("reasoning", "reasoning_from", "drop", "shift", "pure", "disturb", "stress", "point")
_STAGES = ("stills", "clips", "trips", "carry", "world")


def nano_recipe(
    settings: Mapping[str, Any] | None = None,
    *,
    start: Components | None = None,
    known: Sequence[Path] = (),
) -> Recipe:
    """Makes the recipe that nano was trained by, changed where it is said.

    Args:
        settings: What is to be different, as in scenarios/conf/train.yaml: `{"world": {"steps":
            100}}`; None: nothing.
        start: As of `Recipe`.
        known: As of `Recipe`.

    Raises:
        InvalidConfig: A setting that is none, or that cannot be.
    """
    base = OmegaConf.create((CONF / "train.yaml").read_text(encoding="utf-8"))
    OmegaConf.set_struct(base, True)
    try:
        merged = OmegaConf.to_container(OmegaConf.merge(base, settings or {}), resolve=True)
    except OmegaConfBaseException as error:
        raise InvalidConfig(f"a training has no such setting: {error}") from error
    assert isinstance(merged, dict)
    values: dict[Any, Any] = merged
    return Recipe(
        networks=values["networks"],
        **{stage: _schedule(stage, values[stage]) for stage in _STAGES},
        batch={stage: _whole(f"{stage}.batch", values[stage]["batch"]) for stage in _STAGES},
        held_out=_whole("held_out", values["held_out"]),
        flow={name: values["world"][name] for name in _FLOW},
        ways=values["ways"],
        start=start,
        undo={"trips": values["trips"]["most"], "encodes": values["trips"]["encoder"]},
        known=known,
    )


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidConfig(f"{name} must be a whole number of at least 1, not {value!r}")
    return value


def _schedule(stage: str, values: Mapping[str, Any]) -> Schedule:
    try:
        return Schedule(
            steps=int(values["steps"]),
            learning_rate=float(values["learning_rate"]),
            evaluate_every=max(1, min(250, int(values["steps"]) // 4)),
        )
    except (TypeError, ValueError) as error:
        raise InvalidConfig(f"{stage} cannot be trained so: {error}") from error


def train_pipeline(
    recipe: Recipe, datasets: Sequence[Path], folder: Path, *, progress: Progress | None = None
) -> Path:
    """Trains a world model from recorded episodes, or goes on where it was broken off.

    Args:
        recipe: How.
        datasets: Folders of episodes, as `chronosim record` leaves them; one for each world.
        folder: Gets a folder for each stage, and `pipeline`.
        progress: Called with what is being done, how many of it are done, and of how many.

    Returns:
        The pipeline folder, which `chronosim.models.load` reads.

    Raises:
        EpisodeNotFound: There is no data set.
        InvalidEpisode: It holds no steps, or a single one with trajectories of some length.
        InvalidConfig: Its trajectories do not fit the transformer's trained positions, or its
            frames the image encoder, or the folder was trained on other episodes.
    """
    _keep_lengths(recipe, datasets, folder)
    data = _load(recipe, datasets, folder / "windows")
    torch.manual_seed(recipe.world.seed)
    with listening(progress):
        vae = _autoencoder(recipe, data, folder)
        # How much the stages before have drawn depends on where they were broken off:
        torch.manual_seed(recipe.world.seed)
        world, tokenizer = _world(recipe, data)
        if recipe.world.steps:  # or else nothing needs to be encoded
            _train_world(recipe, vae, world, tokenizer, data, folder)
    save_pipeline(folder / "pipeline", world, vae, tokenizer)
    return folder / "pipeline"


def _keep_lengths(recipe: Recipe, datasets: Sequence[Path], folder: Path) -> None:
    """Keeps which episodes are learned from; others would be shuffled otherwise.

    What was held out would be learned, and what was learned be held out.
    """
    ours = {"new": _lengths(datasets), "known": _lengths(recipe.known)}
    file = folder / "episodes.json"
    learned = any(folder.glob("*/checkpoint.pt"))
    if learned and file.is_file() and json.loads(file.read_text()) != ours:
        raise InvalidConfig(
            f"{folder} was trained on other episodes than there are now: go on with the data sets "
            "as they were, or use another output="
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(ours))


def _lengths(datasets: Sequence[Path]) -> list[list[str | int]]:
    """Name and steps of each episode."""
    episodes = [episode for dataset in datasets for episode in list_episodes(dataset)]
    return [[episode.name, EpisodeReader(episode).steps] for episode in episodes]


def _load(recipe: Recipe, datasets: Sequence[Path], folder: Path) -> TrainingData:
    found = load_windows(_shuffled(datasets), folder, recipe.ways)
    known = []
    if recipe.known:
        known = load_windows(_shuffled(recipe.known), folder / "known", recipe.ways)
    _check_lengths([*found, *known], _latents_of_a_clip(recipe))
    _check_sizes([*found, *known], _side_of_a_frame(recipe))
    _check_counts(found)
    new, held_out = zip(*(w.split(min(recipe.held_out, len(w) // 2)) for w in found), strict=True)
    return TrainingData(new, known, held_out)


def _shuffled(datasets: Sequence[Path]) -> list[Path]:
    """All episodes, in an order that mixes the worlds, so that those held out do as well."""
    episodes = [episode for dataset in datasets for episode in list_episodes(dataset)]
    order = np.random.default_rng(0).permutation(len(episodes))
    return [episodes[index] for index in order]


def _latents_of_a_clip(recipe: Recipe) -> int:
    """Latent frames that the transformer learns at most: the observed one, between, the outcome."""
    if recipe.start is not None:
        return recipe.start.latents
    return int(recipe.networks["transformer"]["rope_temporal_skip_len"])


def _check_lengths(found: Sequence[Windows], skip: int) -> None:
    full = 4 * (skip - 2) + 1
    for windows in found:
        if windows.time not in (1, full):
            raise InvalidConfig(
                f"the data set has trajectories of {windows.time} frames, but a transformer with "
                f"rope_temporal_skip_len={skip} learns 1 or {full}: record with that many"
            )


def _check_counts(found: Sequence[Windows]) -> None:
    for windows in found:
        if len(windows) < 2:
            raise InvalidEpisode(
                f"the data set has a single step with a trajectory of {windows.time} frames, but "
                "it takes two, one to learn from and one to hold out: record more"
            )


def _side_of_a_frame(recipe: Recipe) -> int:
    """Pixels on each side of the frames that the image encoder reads."""
    if recipe.start is not None:
        return int(recipe.start.image_encoder.config.image_size)
    return int(CLIPVisionConfig(**recipe.networks["image_encoder"]).image_size)


def _check_sizes(found: Sequence[Windows], side: int) -> None:
    """Better now than hours later, when the image encoder sees the first frame."""
    for windows in found:
        height, width = windows.start.shape[1:3]
        if (height, width) != (side, side):
            raise InvalidConfig(
                f"the data set has frames of {width} x {height}, but an image encoder with "
                f"image_size={side} reads {side} x {side}: record frames of that size"
            )


def _autoencoder(recipe: Recipe, data: TrainingData, folder: Path) -> AutoencoderKLWan:
    teacher = None if recipe.start is None else recipe.start.vae
    vae = new_autoencoder(recipe.networks["autoencoder"]) if teacher is None else another(teacher)
    train_autoencoder(
        vae,
        data,
        folder,
        schedules={name: getattr(recipe, name) for name in ("stills", "clips", "trips", "carry")},
        batch=recipe.batch,
        blanks=_latents_of_a_clip(recipe) - 1,
        teacher=teacher,
        **recipe.undo,
    )
    return vae


def _world(recipe: Recipe, data: TrainingData) -> tuple[WorldNetworks, T5TokenizerFast]:
    texts = {text for windows in data.all for text in windows.text}
    if recipe.start is None:
        tokenizer = new_tokenizer(texts)
        return new_world(recipe.networks, tokenizer), tokenizer
    parts = recipe.start  # shared with whoever else loaded them: train copies
    tokenizer, words = extend_tokenizer(parts.tokenizer, texts), deepcopy(parts.text_encoder)
    extend_embeddings(words, tokenizer, known=len(parts.tokenizer))
    world = WorldNetworks(deepcopy(parts.transformer), words, deepcopy(parts.image_encoder))
    return world.train().requires_grad_(True), tokenizer


def _train_world(
    recipe: Recipe,
    vae: AutoencoderKLWan,
    world: WorldNetworks,
    tokenizer: T5TokenizerFast,
    data: TrainingData,
    folder: Path,
) -> None:
    sets = [
        TrainingSet.of(_latents(vae, one, folder / f"latents-{index}"), one, tokenizer)
        for index, one in enumerate(data.all)
    ]
    last = data.held_out[-1]
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
    """Encodes the windows once; a resumed training reads them back, if they are still the same."""
    file = path.with_suffix(".safetensors")
    made_from = {"autoencoder": _fingerprint(vae), "windows": str(len(windows))}
    if file.exists() and _metadata(file) == made_from:
        kept = load_file(file)
        return LatentWindows(kept["start"], kept["clip"], kept["blank"], windows.text)
    latents = encode_windows(vae, windows)
    tensors = {"start": latents.start, "clip": latents.clip, "blank": latents.blank}
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as draft:
        save_file({k: v.contiguous() for k, v in tensors.items()}, draft, metadata=made_from)
    return latents


def _fingerprint(vae: AutoencoderKLWan) -> str:
    """A hash of all that latents depend on: the weights, and what normalises them."""
    scale = json.dumps([vae.config.latents_mean, vae.config.latents_std])
    weights = save({name: value.contiguous() for name, value in vae.state_dict().items()})
    return hashlib.sha256(scale.encode() + weights).hexdigest()


def _metadata(file: Path) -> dict[str, str] | None:
    with safe_open(file, framework="pt") as opened:
        metadata: dict[str, str] | None = opened.metadata()
    return metadata
