"""From episodes on disk to a model that the engine loads, resumable at every stage."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import EpisodeWriteError, InvalidConfig, InvalidEpisode, InvalidPrompt
from chronosim.models.loading.load import load
from chronosim.training import flow, recipe
from chronosim.training.latents import encode_windows, to_tensor
from chronosim.training.recipe import Recipe, nano_recipe, train_pipeline
from chronosim.training.trainer import Schedule
from chronosim.training.windows import load_windows
from chronosim.types import EditPrompt

pytestmark = pytest.mark.slow

Record = Callable[[Path, int, int, int], None]


def toy_recipe(networks: dict[str, Any], **changes: Any) -> Recipe:
    settings: dict[str, Any] = {
        "networks": networks,
        "stills": Schedule(steps=3, learning_rate=1e-3, evaluate_every=2),
        "clips": Schedule(steps=2, learning_rate=1e-3, evaluate_every=2),
        "trips": Schedule(steps=2, learning_rate=1e-3, evaluate_every=2),
        "carry": Schedule(steps=2, learning_rate=1e-3, evaluate_every=2),
        "world": Schedule(steps=4, learning_rate=1e-3, evaluate_every=2),
        "batch": {"stills": 2, "clips": 1, "trips": 2, "carry": 2, "world": 2},
        "undo": {"trips": 2},
        "held_out": 2,
        "flow": {"reasoning": 0.5, "reasoning_from": 0.0, "drop": 0.2, "shift": 3.0},
    }
    return Recipe(**settings | changes)


def test_nanos_recipe_is_changed_where_it_is_said() -> None:
    nano, mine = nano_recipe(), nano_recipe({"world": {"steps": 8}, "held_out": 2})
    assert (mine.world.steps, mine.world.evaluate_every, mine.held_out) == (8, 2, 2)
    assert mine.world.learning_rate == nano.world.learning_rate
    assert (mine.stills, mine.networks, mine.flow) == (nano.stills, nano.networks, nano.flow)
    with pytest.raises(InvalidConfig, match="no such setting"):
        nano_recipe({"worlds": {"steps": 8}})
    with pytest.raises(InvalidConfig, match=r"clips\.batch must be a whole number"):
        nano_recipe({"clips": {"batch": 0}})


@pytest.fixture
def dataset(tmp_path: Path, record_toy: Record) -> Path:
    record_toy(tmp_path / "data", 2, 5, 5)
    return tmp_path / "data"


def test_a_trained_pipeline_loads_and_predicts(
    dataset: Path, tmp_path: Path, networks: dict[str, Any]
) -> None:
    pipeline = train_pipeline(toy_recipe(networks), [dataset], tmp_path / "out")
    model = load(pipeline, denoising_steps=2, guidance=2.0, reasoning_steps=2)
    seen = EpisodeReader(dataset / "0000").observation(0).frame
    prediction = model.predict([EditPrompt(seen, "Move left by 5 columns.", 0)])[0]
    assert prediction.trajectory.shape == (5, 32, 32, 3)
    with pytest.raises(InvalidPrompt, match="upwards"):
        model.predict([EditPrompt(seen, "Move upwards by 5 columns.", 0)])
    assert sum(file.stat().st_size for file in pipeline.rglob("*.safetensors")) < 2e6
    saved = {file.parent.name for file in pipeline.rglob("*.safetensors")}
    assert saved == {"text_encoder", "image_encoder", "transformer", "vae"}


@pytest.mark.parametrize("step", [1, 4], ids=["before", "behind"])
def test_a_training_goes_on_where_it_was_broken_off_before_and_behind_a_checkpoint(
    dataset: Path,
    tmp_path: Path,
    networks: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    whole = train_pipeline(toy_recipe(networks), [dataset], tmp_path / "whole")
    short = toy_recipe(networks, world=Schedule(steps=4, learning_rate=1e-3, evaluate_every=2))
    real, calls = flow.FlowObjective.loss, []

    def dying(self: Any, *arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(flow.FlowObjective, "loss", dying)
    with pytest.raises(KeyboardInterrupt):
        train_pipeline(short, [dataset], tmp_path / "killed")
    monkeypatch.undo()
    resumed = train_pipeline(short, [dataset], tmp_path / "killed")
    for part in ("transformer", "text_encoder", "image_encoder", "vae"):
        for file in (whole / part).glob("*.safetensors"):
            assert file.read_bytes() == (resumed / part / file.name).read_bytes()


def test_it_starts_from_shipped_half_precision_weights(
    dataset: Path, tmp_path: Path, networks: dict[str, Any]
) -> None:
    first = train_pipeline(toy_recipe(networks), [dataset], tmp_path / "first")
    once = Schedule(steps=1, learning_rate=1e-9, warmup=0, evaluate_every=1, ema=0.0)
    started = toy_recipe(
        networks, stills=once, clips=once, carry=once, world=once, start=load(first).components
    )
    second = train_pipeline(started, [dataset], tmp_path / "second")
    a, b = load(first).components, load(second).components
    for x, y in zip(a.transformer.parameters(), b.transformer.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-3, rtol=1e-2)
    for config in second.rglob("*.json"):
        assert str(tmp_path) not in config.read_text(), "nobody is told where training began"


def test_from_a_start_it_learns_the_words_of_another_world_and_keeps_the_old(
    dataset: Path, tmp_path: Path, networks: dict[str, Any], record_toy: Record
) -> None:
    first = train_pipeline(toy_recipe(networks), [dataset], tmp_path / "first")
    record_toy(tmp_path / "other", 2, 5, 1)  # in which things move by 1 columns, not by 5
    # The networks are those of the start, whatever is said of others.
    started = toy_recipe({"transformer": {"wrong": 1}}, start=load(first).components)
    second = train_pipeline(started, [tmp_path / "other"], tmp_path / "second")
    model = load(second, denoising_steps=1, guidance=1.0, reasoning_steps=0)
    seen = EpisodeReader(dataset / "0000").observation(0).frame
    for text in ("Move left by 1 columns.", "Move left by 5 columns."):
        assert len(model.predict([EditPrompt(seen, text, 0)])) == 1
    with pytest.raises(InvalidPrompt, match="upwards"):
        model.predict([EditPrompt(seen, "Move upwards by 5 columns.", 0)])
    assert load(first).components.tokenizer("1").input_ids[0] == 2, "the start stays as it was"


def test_pairs_alone_are_enough(tmp_path: Path, record_toy: Record, networks: Any) -> None:
    record_toy(tmp_path / "pairs", 2, 5, 1)
    pipeline = train_pipeline(toy_recipe(networks), [tmp_path / "pairs"], tmp_path / "out")
    assert (pipeline / "model_index.json").is_file()


def test_trajectories_that_do_not_fit_are_refused(
    tmp_path: Path, record_toy: Record, networks: Any
) -> None:
    record_toy(tmp_path / "odd", 1, 5, 3)
    with pytest.raises(InvalidConfig, match="3 frames"):
        train_pipeline(toy_recipe(networks), [tmp_path / "odd"], tmp_path / "out")


def test_a_data_set_without_steps_is_refused(
    tmp_path: Path, record_toy: Record, networks: Any
) -> None:
    record_toy(tmp_path / "empty", 1, 0, 5)
    with pytest.raises(InvalidEpisode, match="no episode holds a step"):
        train_pipeline(toy_recipe(networks), [tmp_path / "empty"], tmp_path / "out")


def test_known_worlds_keep_their_latents(
    dataset: Path, tmp_path: Path, networks: dict[str, Any], record_toy: Record
) -> None:
    first = train_pipeline(toy_recipe(networks), [dataset], tmp_path / "first")
    record_toy(tmp_path / "other", 2, 5, 5)
    start, moved = load(first).components, {}
    for name, known in (("kept", [dataset]), ("free", [])):
        recipe = toy_recipe(
            networks,
            stills=Schedule(steps=30, learning_rate=3e-3, warmup=1, evaluate_every=30),
            start=start,
            known=known,
        )
        learned = load(train_pipeline(recipe, [tmp_path / "other"], tmp_path / name)).components
        frames = to_tensor(EpisodeReader(dataset / "0000").frames[:, None])
        with torch.no_grad():
            old, new = (x.vae.encode(frames).latent_dist.mode() for x in (start, learned))
        moved[name] = float((old - new).square().mean())
        if known:
            assert learned.vae.config.latents_mean == start.vae.config.latents_mean
    assert moved["kept"] < 0.7 * moved["free"]


def test_a_training_does_not_go_on_with_other_episodes(
    tmp_path: Path, record_toy: Record, networks: Any
) -> None:
    record_toy(tmp_path / "pairs", 2, 5, 1)
    train_pipeline(toy_recipe(networks), [tmp_path / "pairs"], tmp_path / "out")
    windows = (tmp_path / "out" / "windows" / "start-0-1.npy").read_bytes()
    record_toy(tmp_path / "more", 1, 4, 1)
    (tmp_path / "more" / "0000").rename(tmp_path / "pairs" / "0002")
    with pytest.raises(InvalidConfig, match="was trained on other episodes than there are now"):
        train_pipeline(toy_recipe(networks), [tmp_path / "pairs"], tmp_path / "out")
    assert (tmp_path / "out" / "windows" / "start-0-1.npy").read_bytes() == windows


def test_latents_are_encoded_anew_only_where_the_autoencoder_has_changed(
    tmp_path: Path, record_toy: Record, networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_toy(tmp_path / "pairs", 2, 5, 1)
    encoded = []

    def counting(vae: Any, windows: Any) -> Any:
        encoded.append(len(windows))
        return encode_windows(vae, windows)

    monkeypatch.setattr(recipe, "encode_windows", counting)
    longer = Schedule(steps=6, learning_rate=1e-3, evaluate_every=3)
    for stages, windows in (({}, [8, 2]), ({}, [2]), ({"trips": longer}, [8, 2])):
        encoded.clear()
        train_pipeline(toy_recipe(networks, **stages), [tmp_path / "pairs"], tmp_path / "out")
        assert encoded == windows


def test_a_training_goes_on_where_it_was_killed_while_latents_were_written(
    tmp_path: Path, record_toy: Record, networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_toy(tmp_path / "pairs", 2, 5, 1)

    def dying(tensors: Any, file: Path, metadata: Any) -> None:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(recipe, "save_file", dying)
        with pytest.raises(KeyboardInterrupt):
            train_pipeline(toy_recipe(networks), [tmp_path / "pairs"], tmp_path / "out")
    pipeline = train_pipeline(toy_recipe(networks), [tmp_path / "pairs"], tmp_path / "out")
    assert (pipeline / "model_index.json").is_file()


def test_frames_that_the_image_encoder_does_not_read_are_refused_at_the_beginning(
    tmp_path: Path, record_toy: Record, networks: Any
) -> None:
    record_toy(tmp_path / "pairs", 2, 5, 1)
    start = load(train_pipeline(toy_recipe(networks), [tmp_path / "pairs"], tmp_path / "first"))
    start.components.image_encoder.config.image_size = 64
    larger = networks | {"image_encoder": networks["image_encoder"] | {"image_size": 48}}
    for refused, side in (
        (toy_recipe(larger), 48),
        (toy_recipe(networks, start=start.components), 64),
    ):
        with pytest.raises(InvalidConfig, match=rf"frames of 32 x 32, but .* reads {side} x"):
            train_pipeline(refused, [tmp_path / "pairs"], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("checkpoint.pt"))


def test_a_single_step_is_refused(tmp_path: Path, record_toy: Record, networks: Any) -> None:
    record_toy(tmp_path / "single", 1, 1, 1)
    with pytest.raises(InvalidEpisode, match="a single step with a trajectory of 1 frames"):
        train_pipeline(toy_recipe(networks), [tmp_path / "single"], tmp_path / "out")


def test_worlds_are_kept_apart_though_their_trajectories_are_as_long(
    tmp_path: Path, record_toy: Record
) -> None:
    record_toy(tmp_path / "toy", 2, 5, 5)
    record_toy(tmp_path / "other", 1, 4, 5)
    about = tmp_path / "other" / "0000" / "zarr.json"
    about.write_text(about.read_text().replace('"toy"', '"another"'))
    episodes: list[Any] = [*list_episodes(tmp_path / "toy"), *list_episodes(tmp_path / "other")]
    found = load_windows(episodes, tmp_path / "windows")
    assert [(len(windows), windows.time) for windows in found] == [(4, 5), (10, 5)]


@pytest.mark.parametrize(("ways", "sizes"), [(0.5, [(5, 1), (5, 5)]), (0.0, [(10, 1)])])
def test_frames_on_the_way_of_some_episodes_alone(
    tmp_path: Path, record_toy: Record, ways: float, sizes: list[tuple[int, int]]
) -> None:
    record_toy(tmp_path / "toy", 2, 5, 5)
    episodes: list[Any] = list_episodes(tmp_path / "toy")
    found = load_windows(episodes, tmp_path / "windows", ways)
    assert [(len(windows), windows.time) for windows in found] == sizes
    frames = EpisodeReader(tmp_path / "toy" / "0001").frames
    assert (found[0].trajectory[-5:, 0] == frames[1:]).all()
    assert (found[0].start[-5:] == frames[:-1]).all()


@pytest.mark.parametrize("size", [3_000, 200_000])
def test_a_full_disk_is_a_sentence_whatever_is_written(
    size: int,
    dataset: Path,
    tmp_path: Path,
    networks: dict[str, Any],
    full_disk: Callable[[int], AbstractContextManager[None]],
) -> None:
    with full_disk(size), pytest.raises(EpisodeWriteError, match="could not be written: "):
        train_pipeline(toy_recipe(networks), [dataset], tmp_path / "out")
    assert not list(tmp_path.rglob("*.new")), "a draft is left"
