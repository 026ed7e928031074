"""The engine: rows, batches, trajectories, memory, identity and refusals."""

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from chronosim.errors import (
    Cancelled,
    ChronosimWarning,
    InvalidConfig,
    InvalidFrame,
    InvalidPrompt,
)
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.models.engine.components import Components
from chronosim.models.engine.denoising import build_scheduler
from chronosim.models.engine.sampling import Sampling
from chronosim.progress import after_each_denoising_step
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt

Watch = Callable[[Any, str], list[tuple[int, ...]]]


def mixed_prompts(kit: Any) -> list[EditPrompt]:
    prompts = [kit.prompt(seed, kit.sentences[0]) for seed in range(4)]
    return [*prompts, EditPrompt(kit.frame(9, 48, 32), kit.sentences[0], 7)]


def test_it_is_a_world_model(kit: Any, wide: Components) -> None:
    assert isinstance(kit.model(wide), WorldModel)


@pytest.mark.parametrize("scheduler", ["unipc", "euler"])
def test_a_row_alone_and_in_a_call_is_the_same(
    kit: Any, components: Components, scheduler: str
) -> None:
    model = kit.model(components, reasoning_steps=2, guidance=3.0, scheduler=scheduler)
    prompts = mixed_prompts(kit)
    together = model.predict(prompts)
    latents = model.latents(prompts)
    for row, prompt in reversed(list(enumerate(prompts))):
        alone = model.predict([prompt])[0]
        assert alone.trajectory.shape[1:] == prompt.frame.shape
        np.testing.assert_array_equal(alone.trajectory, together[row].trajectory)
        assert torch.equal(model.latents([prompt])[0], latents[row])


def test_rows_differ(kit: Any, components: Components) -> None:
    first, second = kit.model(components).predict([kit.prompt(0), kit.prompt(1)])
    assert np.abs(first.frame.astype(int) - second.frame).mean() > 1


@pytest.mark.parametrize("reasoning_steps", [0, 2, "all"])
def test_a_batch_equals_its_rows(
    kit: Any, components: Components, reasoning_steps: int | str
) -> None:
    settings: dict[str, Any] = {"reasoning_steps": reasoning_steps, "guidance": 3.0}
    prompts = [kit.prompt(seed, kit.sentences[0][: 8 * (seed + 1)]) for seed in range(2)]
    prompts = [*mixed_prompts(kit), *prompts] if components.latents == 8 else mixed_prompts(kit)
    rows = kit.model(components, **settings)
    batched = kit.model(components, micro_batch=3, **settings)
    for ours, alone in zip(batched.latents(prompts), rows.latents(prompts), strict=True):
        torch.testing.assert_close(ours, alone, atol=1e-4, rtol=0)
    for mine, single in zip(batched.predict(prompts), rows.predict(prompts), strict=True):
        np.testing.assert_allclose(mine.trajectory, single.trajectory.astype(float), atol=1)


def test_a_batch_is_computed_together(kit: Any, fresh: Components, count_calls: Watch) -> None:
    calls = count_calls(fresh.transformer, "forward")
    kit.model(fresh, micro_batch=3).latents(mixed_prompts(kit))
    assert [shape[0] for shape in calls] == [3] * 4 + [1] * 4 + [1] * 4


@pytest.mark.parametrize("reasoning_steps", [0, 1, 2, "all"])
def test_decoding_leaves_the_outcome_alone(
    kit: Any, components: Components, reasoning_steps: int | str
) -> None:
    prompt = kit.prompt(2)
    with_frames = kit.model(components, reasoning_steps=reasoning_steps).predict([prompt])[0]
    without = kit.model(components, reasoning_steps=reasoning_steps, decode_trajectory=False)
    outcome = without.predict([prompt])[0]
    between = 0 if reasoning_steps == 0 else 4 * (components.latents - 2)
    assert len(with_frames.trajectory) == between + 1
    assert len(outcome.trajectory) == 1
    np.testing.assert_array_equal(outcome.frame, with_frames.frame)


def test_a_preview_is_what_the_reasoning_had_come_to(kit: Any, components: Components) -> None:
    """Dropped after all steps but one, the frames in between are nearly those of all steps."""
    prompt = kit.prompt(3)
    steps = {"denoising_steps": 12, "flow_shift": 1.0}

    def between(reasoning_steps: int | str) -> Any:
        model = kit.model(components, reasoning_steps=reasoning_steps, **steps)
        return model.predict([prompt])[0].trajectory[:-1].astype(float)

    final = between("all")
    near, far = np.abs(between(11) - final).mean(), np.abs(between(1) - final).mean()
    assert near < 3
    assert far > 2 * near


def test_reasoning_runs_for_as_many_steps_as_asked(
    kit: Any, fresh: Components, count_calls: Watch
) -> None:
    calls = count_calls(fresh.transformer, "forward")
    kit.model(fresh, reasoning_steps=1, guidance=1.0).predict([kit.prompt(0)])
    assert [shape[2] for shape in calls] == [8, 2, 2, 2]
    calls.clear()
    kit.model(fresh, reasoning_steps=3, guidance=2.0).predict([kit.prompt(0)])
    assert [shape[2] for shape in calls] == [8] * 6 + [2] * 2  # two forwards a step


def test_nothing_is_computed_twice(kit: Any, fresh: Components, count_calls: Watch) -> None:
    texts = count_calls(fresh.text_encoder, "forward")
    frames = count_calls(fresh.image_encoder, "forward")
    encodes = count_calls(fresh.vae, "encode")
    decodes = count_calls(fresh.vae, "decode")
    model = kit.model(fresh, guidance=2.0)
    same = kit.prompt(0)
    model.predict([same, EditPrompt(same.frame.copy(), kit.sentences[1], 5), same])
    assert (len(texts), len(frames), len(encodes), len(decodes)) == (3, 1, 1, 3)  # "" is a text
    assert all(shape[1] < 60 for shape in texts)  # no padding is encoded
    assert encodes == [(1, 3, 5, 32, 32)]
    another = kit.model(fresh, guidance=3.0)  # another engine on the same parts
    another.predict([same])
    assert (len(texts), len(frames), len(encodes), len(decodes)) == (3, 1, 1, 4)
    kit.model(fresh, reasoning_steps=1, decode_trajectory=False).predict([same])
    assert (len(frames), len(encodes), len(decodes)) == (1, 2, 5)
    assert decodes == [(1, 16, 2, 4, 4)] * 5  # nobody asked for the frames in between


def test_memory_is_bounded(kit: Any, fresh: Components) -> None:
    model = kit.model(fresh, denoising_steps=1)
    for seed in range(fresh.frames.size + 3):
        model.latents([kit.prompt(seed)])
    assert len(fresh.frames._values) == fresh.frames.size
    assert len(fresh.conditions._values) == fresh.conditions.size


def test_no_state_leaks_from_one_call_to_the_next(kit: Any, wide: Components) -> None:
    prompt = kit.prompt(1)
    model = kit.model(wide, reasoning_steps=2)
    before = model.latents([prompt])[0]
    kit.model(wide, denoising_steps=7, guidance=4.0).predict([kit.prompt(5)])
    kit.model(wide, scheduler="euler").predict([kit.prompt(6)])
    assert torch.equal(model.latents([prompt])[0], before)


def test_threads_share_one_model(kit: Any, wide: Components) -> None:
    model = kit.model(wide, reasoning_steps=2)
    prompts = mixed_prompts(kit)
    expected = [model.predict([prompt])[0].trajectory for prompt in prompts]
    answers: dict[int, Any] = {}

    def ask(row: int) -> None:
        answers[row] = model.predict([prompts[row]])[0].trajectory

    threads = [threading.Thread(target=ask, args=(row,)) for row in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for row, trajectory in enumerate(expected):
        np.testing.assert_array_equal(answers[row], trajectory)


def test_progress_counts_the_whole_call(kit: Any, wide: Components) -> None:
    seen: list[tuple[int, int]] = []
    settings = Sampling(denoising_steps=3, guidance=1.0)
    model = ChronoEdit(
        wide, settings, name="small", progress=lambda done, total: seen.append((done, total))
    )
    model.predict([kit.prompt(0), kit.prompt(1)])
    assert seen == [(step, 6) for step in range(1, 7)]


def test_no_prompts_no_predictions(kit: Any, wide: Components) -> None:
    assert kit.model(wide).predict([]) == []


def test_identity_is_json_and_tells_settings_and_weights_apart(kit: Any, wide: Components) -> None:
    identity = kit.model(wide, reasoning_steps=2).identity
    assert json.loads(json.dumps(identity)) == identity
    assert identity["name"] == "small"
    assert identity["sampling"]["reasoning_steps"] == 2
    assert identity["loras"] == []
    assert identity["dtype"] == "float32"
    assert identity["micro_batch"] == 1
    assert identity["threads"] == torch.get_num_threads()
    torch.manual_seed(5)
    other = kit.remake(wide, transformer=kit.transformer())
    assert len(identity["weights"]) == 64
    assert kit.model(wide).identity["weights"] == identity["weights"]
    assert kit.model(other).identity["weights"] != identity["weights"]


def test_a_read_only_or_flipped_frame_is_as_good_as_any(kit: Any, wide: Components) -> None:
    model, frame = kit.model(wide), kit.frame(0)
    view = frame[:, ::-1][:, ::-1]
    view.setflags(write=False)
    first, second = (EditPrompt(value, kit.sentences[0], 1) for value in (frame, view))
    assert torch.equal(model.latents([first])[0], model.latents([second])[0])


@pytest.mark.parametrize(("height", "width"), [(33, 32), (32, 40)])
def test_a_frame_off_the_grid_is_refused(
    kit: Any, wide: Components, height: int, width: int
) -> None:
    frame = np.zeros((height, width, 3), np.uint8)
    with pytest.raises(InvalidFrame, match=rf"multiples of 16, not {height} x {width}.*32 x 32"):
        kit.model(wide).predict([EditPrompt(frame, kit.sentences[0], 0)])


def test_a_model_of_one_size_refuses_others(kit: Any, compact: Components) -> None:
    model = ChronoEdit(compact, Sampling(2), name="nano", frame_size=(96, 96))
    with pytest.raises(InvalidFrame, match=r"96 x 96.*not 32 x 32.*chronoedit-14b"):
        model.predict([kit.prompt(0)])


def test_unknown_words_are_named_before_anything_is_computed(
    kit: Any, compact: Components, count_calls: Watch
) -> None:
    calls = count_calls(compact.transformer, "forward")
    text = "The car drives at 21 m/s. Steer a pedestrian left"
    prompts = [kit.prompt(0), EditPrompt(kit.frame(0), text, 0)]
    with pytest.raises(InvalidPrompt, match=r"'a', 'pedestrian', found in .*chronoedit-14b"):
        kit.model(compact).predict(prompts)
    assert calls == []


def test_letters_without_a_piece_are_read_as_the_tokenizer_does_and_named(
    kit: Any, fresh: Components
) -> None:
    """UMT5's own vocabulary has a piece for each byte, which transformers' T5 tokenizer leaves."""
    words = "Steer left 左🦙 with brake"
    with pytest.warns(ChronosimWarning, match="no pieces for '左🦙', and reads <unk> there"):
        [read] = kit.model(fresh).embed([words])
    ids = fresh.tokenizer([words], return_tensors="pt").input_ids
    assert ids[0].tolist().count(fresh.tokenizer.unk_token_id) == 1
    with torch.inference_mode():
        stock = fresh.text_encoder(ids).last_hidden_state[0]
    assert torch.equal(read, stock)


def test_a_text_longer_than_the_model_reads_is_refused(kit: Any, wide: Components) -> None:
    prompt = EditPrompt(kit.frame(0), "left " * 600, 0)
    with pytest.raises(InvalidPrompt, match="may have 512 tokens, but this one has"):
        kit.model(wide).predict([prompt])


def test_a_callback_may_end_a_prediction_and_leaves_the_model_as_it_was(
    kit: Any, wide: Components
) -> None:
    model, prompts = kit.model(wide), [kit.prompt(0), kit.prompt(1)]
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 6:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"), after_each_denoising_step(stop):
        model.predict(prompts)
    assert told == [(done, 8) for done in range(1, 7)]
    assert not wide.lock.locked()
    model.predict(prompts)  # nobody is told any more
    assert len(told) == 6


@pytest.mark.parametrize("reasoning_steps", [0, "all"])
def test_latents_can_be_decoded_later(
    kit: Any, wide: Components, reasoning_steps: int | str
) -> None:
    model, prompt = kit.model(wide, reasoning_steps=reasoning_steps), kit.prompt(3)
    [later] = model.decode(model.latents([prompt]))
    assert np.array_equal(later, model.predict([prompt])[0].trajectory)


def test_embeddings_and_noise_must_fit(kit: Any, wide: Components) -> None:
    model, prompt = kit.model(wide, reasoning_steps=2), kit.prompt(3)
    with pytest.raises(
        InvalidConfig, match=r"1 to 512 tokens of 16 numbers, not of shape \(9, 8\)"
    ):
        model.predict([prompt], embeddings=[torch.zeros(9, 8)])
    with pytest.raises(InvalidConfig, match="1 prompts need as many embeddings: 2"):
        model.predict([prompt], embeddings=[torch.zeros(9, 16)] * 2)
    with pytest.raises(InvalidConfig, match="the embedding given for prompt 0 holds NaN"):
        model.predict([prompt], embeddings=[torch.full((9, 16), torch.nan)])
    with pytest.raises(InvalidConfig, match="the noise given for prompt 0 holds NaN"):
        model.predict([prompt], noise=[torch.full((16, 8, 4, 4), torch.nan)])
    with pytest.raises(
        InvalidConfig, match=r"must be of shape \(16, 8, 4, 4\), not \(16, 2, 4, 4\)"
    ):
        model.predict([prompt], noise=[torch.zeros(16, 2, 4, 4)])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"denoising_steps": 999}, "999 denoising steps with a flow_shift of 5 lie closer"),
        ({"denoising_steps": 50, "flow_shift": 100.0}, "with a flow_shift of 100 lie closer"),
        ({"flow_shift": 1e9}, "flow_shift must .*100"),
        ({"flow_shift": 1e-6}, r"flow_shift must .*0\.01"),
        ({"guidance": 1.0, "negative_prompt": "blur"}, "needs guidance above 1, not 1"),
    ],
)
def test_sampling_that_cannot_work_is_refused_in_words(settings: Any, said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        Sampling(**settings)


@pytest.mark.parametrize(
    ("steps", "shift"), [(1, 100.0), (19, 50.0), (199, 5.0), (499, 2.0), (997, 1.0), (50, 0.01)]
)
def test_whatever_is_not_refused_runs(kit: Any, wide: Components, steps: int, shift: float) -> None:
    sampling = Sampling(denoising_steps=steps, flow_shift=shift)
    scheduler = build_scheduler(wide.scheduler.config, sampling)
    scheduler.set_timesteps(steps)
    sample = torch.zeros(1, 1)
    for time in scheduler.timesteps:
        sample = scheduler.step(torch.ones(1, 1), time, sample, return_dict=False)[0]
    assert sample.item() == pytest.approx(-1, abs=1e-3)  # from noise level 1 to 0


def test_a_micro_batch_of_nothing_is_refused(wide: Components) -> None:
    with pytest.raises(InvalidConfig, match="at least 1, not 0"):
        ChronoEdit(wide, Sampling(), name="small", micro_batch=0)


@pytest.mark.parametrize("time", [1, "whole"])
def test_a_reconstruction_is_what_the_autoencoder_makes_of_the_truth(
    kit: Any, components: Components, time: int | str
) -> None:
    model = kit.model(components, reasoning_steps="all")
    whole = 4 * (components.latents - 2) + 1
    frames = np.stack([kit.frame(seed) for seed in range(1 + (whole if time == "whole" else 1))])
    made = model.reconstruct(frames[0], frames[1:])
    assert made.shape == frames[1:].shape
    outcome = stock_reconstruction(components, np.concatenate([frames[:1], *[frames[-1:]] * 4]))
    np.testing.assert_allclose(made[-1], outcome[-1].astype(float), atol=1)
    if time == "whole":
        way = stock_reconstruction(components, frames[:-1])
        np.testing.assert_allclose(made[:-1], way[1:].astype(float), atol=1)


def stock_reconstruction(components: Components, frames: Any) -> Any:
    """Through the autoencoder and back as diffusers has it: no latent is normalised on the way."""
    video = torch.from_numpy(frames / np.float32(127.5) - 1).permute(3, 0, 1, 2)[None]
    with torch.inference_mode():
        vae = components.vae
        back = vae.decode(vae.encode(video).latent_dist.mode()).sample[0].permute(1, 2, 3, 0)
    return ((back.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def test_what_the_model_cannot_answer_is_not_reconstructed(kit: Any, compact: Components) -> None:
    frames = np.stack([kit.frame(seed) for seed in range(4)])
    with pytest.raises(InvalidFrame, match=r"must be 1 or 9 frames of \(32, 32, 3\), not .*\(3, "):
        kit.model(compact).reconstruct(frames[0], frames[1:])
    with pytest.raises(InvalidFrame, match="multiples of 16"):
        kit.model(compact).reconstruct(frames[0, :30], frames[1:, :30])
