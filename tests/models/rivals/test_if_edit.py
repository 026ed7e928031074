"""IF-Edit against a plain loop, on Wan pipelines small enough to run here."""

import json
from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from chronosim.errors import InvalidConfig, InvalidFrame, InvalidPrompt
from chronosim.metrics.pixels import sharpness
from chronosim.models.rivals.if_edit import STILL, IfEdit, IfEditSettings, kept_latents, sharpest
from chronosim.testing import check_world_model
from chronosim.types import EditPrompt

FRAMES = 21  # six latents, of which 0, 3 and 5 are kept
KEPT = [0, 3, 5]
STEPS = 6  # with shift 5 three with much noise, then three with little


def make_model(pipeline: Any, **settings: Any) -> IfEdit:
    small = {"frames": FRAMES, "denoising_steps": STEPS}
    return IfEdit(pipeline, IfEditSettings(**small | settings), name="small")


def film(pipeline: Any, prompt: EditPrompt, frames: int = FRAMES, **settings: Any) -> Any:
    """The stock pipeline, with IF-Edit's sampler."""
    pipeline.scheduler = type(pipeline.scheduler).from_config(
        pipeline.scheduler.config, flow_shift=5.0
    )
    settings = {"generator": torch.Generator().manual_seed(prompt.seed)} | settings
    with torch.inference_mode():
        return pipeline(
            image=Image.fromarray(prompt.frame),
            prompt=prompt.text,
            height=prompt.frame.shape[0],
            width=prompt.frame.shape[1],
            num_frames=frames,
            num_inference_steps=STEPS,
            guidance_scale=settings.pop("guidance", 1.0),
            output_type=settings.pop("output_type", "np"),
            **settings,
        ).frames


def to_frames(values: Any) -> Any:
    return (np.asarray(values) * 255).round().astype(np.uint8)


def reference(pipeline: Any, prompt: EditPrompt, guidance: float) -> Any:
    """The loop with dropout written out: latents, condition and the scheduler's past are cut."""
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, flow_shift=5.0)
    scheduler.set_timesteps(STEPS)
    generator = torch.Generator().manual_seed(prompt.seed)
    height, width = prompt.frame.shape[:2]
    with torch.inference_mode():
        words, nothing = pipeline.encode_prompt(prompt.text, max_sequence_length=512, device="cpu")
        picture = pipeline.video_processor.preprocess(
            Image.fromarray(prompt.frame), height=height, width=width
        )
        latents, condition = pipeline.prepare_latents(
            picture, 1, 8, height, width, FRAMES, torch.float32, "cpu", generator
        )
        for timestep in scheduler.timesteps:
            expert = pipeline.transformer if timestep >= 900 else pipeline.transformer_2
            if timestep < 900 and latents.shape[2] > len(KEPT):
                latents, condition = latents[:, :, KEPT], condition[:, :, KEPT]
                scheduler.model_outputs = [
                    None if past is None else past[:, :, KEPT] for past in scheduler.model_outputs
                ]
                scheduler.last_sample = scheduler.last_sample[:, :, KEPT]
            seen = torch.cat([latents, condition], dim=1)
            flow, other = (
                expert(seen, timestep[None], text, return_dict=False)[0]
                for text in (words, nothing)
            )
            flow = other + guidance * (flow - other) if guidance > 1 else flow
            latents = scheduler.step(flow, timestep, latents, return_dict=False)[0]
        mean, scale = torch.tensor(0.1), 1 / torch.tensor(1.5)
        pixels = pipeline.vae.decode(latents / scale + mean, return_dict=False)[0]
    return to_frames((pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0))


@pytest.fixture
def prompt(kit: SimpleNamespace) -> EditPrompt:
    made: EditPrompt = kit.prompt(0)
    return made


@pytest.fixture
def tokens(wan: Any) -> Any:
    """How many tokens each forward of each expert runs on, counted in its first block."""
    counts: list[tuple[int, int]] = []
    handles = [
        expert.blocks[0].register_forward_pre_hook(
            lambda _, args, which=which: counts.append((which, args[0].shape[1]))
        )
        for which, expert in ((1, wan.transformer), (2, wan.transformer_2))
    ]
    yield counts
    for handle in handles:
        handle.remove()


def test_which_latents_go_on() -> None:
    assert kept_latents(9, 3) == [0, 3, 6, 8]
    assert kept_latents(7, 3) == [0, 3, 6]
    assert kept_latents(6, 1) == [0, 1, 2, 3, 4, 5]
    assert kept_latents(2, 3) == [0, 1]


def test_contract(wan: Any, kit: SimpleNamespace) -> None:
    prompts = [kit.prompt(0), kit.prompt(1, kit.sentences[1])]
    check_world_model(make_model(wan, frames=9, keep_every=2, denoising_steps=2), prompts)


def test_all_left_out_it_is_the_stock_pipeline(wan: Any, prompt: EditPrompt) -> None:
    expected = to_frames(film(wan, prompt)[0])
    for leave_out in ({"drop_below": 0}, {"keep_every": 1}):
        [prediction] = make_model(wan, refine=False, **leave_out).predict([prompt])
        assert np.array_equal(prediction.trajectory, expected[1:])
        assert prediction.metrics == {}


@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_dropout_is_the_loop_on_the_kept_latents(
    wan: Any, prompt: EditPrompt, guidance: float
) -> None:
    [prediction] = make_model(wan, refine=False, guidance=guidance).predict([prompt])
    assert np.array_equal(prediction.trajectory, reference(wan, prompt, guidance)[1:])
    assert len(prediction.trajectory) == 4 * (len(KEPT) - 1)
    assert not wan.transformer_2._forward_hooks, "nothing is left on the model"


def test_dropout_shortens_the_sequence(
    wan: Any, prompt: EditPrompt, tokens: list[tuple[int, int]]
) -> None:
    per_latent = (32 // 16) ** 2
    make_model(wan, refine=False).predict([prompt])
    assert tokens == [(1, 6 * per_latent)] * 3 + [(2, 3 * per_latent)] * 3
    tokens.clear()
    make_model(wan, refine=False, drop_below=0).predict([prompt])
    assert tokens == [(1, 6 * per_latent)] * 3 + [(2, 6 * per_latent)] * 3


def test_a_drop_that_is_never_reached_leaves_the_film_whole(wan: Any, prompt: EditPrompt) -> None:
    model = make_model(wan, refine=False, drop_below=0.1, denoising_steps=2)
    [prediction] = model.predict([prompt])
    assert len(prediction.trajectory) == FRAMES - 1


def test_refinement_films_the_sharpest_of_the_last_latent_again(
    wan: Any, prompt: EditPrompt
) -> None:
    [plain] = make_model(wan, refine=False).predict([prompt])
    [refined] = make_model(wan).predict([prompt])
    generator = torch.Generator().manual_seed(prompt.seed)
    torch.randn(8 * 6 * 4 * 4, generator=generator)  # the first film's noise
    clear = sharpest(plain.trajectory[-4:])
    still = film(wan, EditPrompt(clear, STILL, 0), 5, generator=generator)
    outcome = sharpest(to_frames(still[0]))
    assert np.array_equal(refined.trajectory[:-1], plain.trajectory[:-4])
    assert np.array_equal(refined.frame, outcome)
    assert refined.metrics == {
        "sharpness": sharpness(outcome),
        "sharpness_unrefined": sharpness(clear),
    }


def test_one_expert_with_a_timestep_for_each_token(
    small_wan: Any, prompt: EditPrompt, count_calls: Callable[..., Any]
) -> None:
    """TI2V-5B's way: whole, it is the stock pipeline; thinned out, it is shorter."""
    expected = to_frames(film(small_wan, prompt)[0])
    [whole] = make_model(small_wan, refine=False, drop_below=0).predict([prompt])
    assert np.array_equal(whole.trajectory, expected[1:])
    calls = count_calls(small_wan.transformer.blocks[0], "forward")
    [thin] = make_model(small_wan, refine=False).predict([prompt])
    assert [shape[1] for shape in calls] == [24, 24, 24, 12, 12, 12]
    assert len(thin.trajectory) == 8


def test_text_and_frame_matter(wan: Any, prompt: EditPrompt, kit: SimpleNamespace) -> None:
    other = EditPrompt(prompt.frame, kit.sentences[1], prompt.seed)
    model = make_model(wan, frames=5, denoising_steps=2, refine=False)
    one, two, three = model.predict([prompt, other, kit.prompt(1)])
    assert not np.array_equal(one.frame, two.frame)
    assert not np.array_equal(one.frame, three.frame)


def test_progress_and_identity(wan: Any, prompt: EditPrompt) -> None:
    steps: list[tuple[int, int]] = []
    settings = IfEditSettings(frames=5, denoising_steps=2)
    model = IfEdit(wan, settings, progress=lambda *done: steps.append(done))
    model.predict([prompt, prompt])
    assert steps == [(done, 8) for done in range(1, 9)]
    identity = json.loads(json.dumps(model.identity))
    assert identity["settings"]["drop_below"] == 0.9
    assert identity["pipeline"] == "WanImageToVideoPipeline"
    assert len(identity["weights"]) == 64
    assert deepcopy(model) is model


def test_bad_prompts(wan: Any, kit: SimpleNamespace) -> None:
    with pytest.raises(InvalidFrame, match=r"multiples of 16, not 24 x 32; the nearest .* 32 x 32"):
        make_model(wan).predict([EditPrompt(kit.frame(0, 24, 32), "x", 0)])
    with pytest.raises(InvalidPrompt, match="512 tokens, but this one has"):
        make_model(wan).predict([kit.prompt(0, "fox " * 600)])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"frames": 32}, "frames must be 5, 9, 13 ..., not 32"),
        ({"still_frames": 1}, "still_frames must be 5, 9"),
        ({"drop_below": 900}, "drop_below must be a number from 0 to 1, not 900"),
        ({"keep_every": 0}, "keep_every must be a whole number of at least 1"),
        ({"refine": "yes"}, "refine must be true or false"),
        ({"denoising_steps": 0}, "denoising_steps must be"),
        ({"flow_shift": 0}, "flow_shift must be"),
    ],
)
def test_bad_settings(as_users_run_it: None, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidConfig, match=why):
        IfEditSettings(**settings)


def test_noise_is_the_prompts_own(wan: Any, prompt: EditPrompt) -> None:
    other = EditPrompt(prompt.frame, prompt.text, prompt.seed + 1)
    one, two = make_model(wan, frames=5, denoising_steps=2).predict([prompt, other])
    assert not np.array_equal(one.trajectory, two.trajectory)
