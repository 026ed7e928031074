"""The engine computes what diffusers computes, wherever that works, and goes on beyond."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.chronoedit import pipeline_chronoedit

from chronosim.errors import ChronosimWarning
from chronosim.models.engine.components import Components
from chronosim.models.engine.encoding import clean_text
from chronosim.types import EditPrompt

TOLERANCE = 1e-4


def euler(shift: float) -> Any:
    kind: Any = FlowMatchEulerDiscreteScheduler  # untyped
    return kind(shift=shift)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("reasoning_steps", [0, 1, 3, "all"])
def test_unipc_latents_equal_stock(
    kit: Any, components: Components, reasoning_steps: int | str, guidance: float
) -> None:
    model = kit.model(
        components, denoising_steps=5, guidance=guidance, reasoning_steps=reasoning_steps
    )
    prompt = kit.prompt(3)
    ours = model.latents([prompt])[0]
    stock = kit.stock(components, components.scheduler, prompt, model.sampling, "latent")[0]
    assert ours.dtype == torch.float32
    assert ours.shape[1] == (components.latents if reasoning_steps == "all" else 2)
    torch.testing.assert_close(ours, stock, atol=TOLERANCE, rtol=0)


def test_a_negative_prompt_is_stocks(kit: Any, components: Components) -> None:
    away = "Steer straight with 0% throttle and 0% brake."
    away = away if components.latents == 8 else "The car. Steer left."
    model, prompt = kit.model(components, guidance=3.0, negative_prompt=away), kit.prompt(3)
    given = {"negative_prompt": away}
    stock = kit.stock(components, components.scheduler, prompt, model.sampling, "latent", given)[0]
    ours = model.latents([prompt])[0]
    torch.testing.assert_close(ours, stock, atol=TOLERANCE, rtol=0)
    plain = kit.model(components, guidance=3.0).latents([prompt])[0]
    assert (ours - plain).abs().max() > 10 * TOLERANCE


def test_embeddings_and_latents_of_ones_own_are_stocks(kit: Any, components: Components) -> None:
    prompt = kit.prompt(3)
    model = kit.model(components, guidance=3.0, reasoning_steps=2)
    drawn = torch.Generator().manual_seed(5)
    words, away = (torch.randn(1, 512, 16, generator=drawn) for _ in range(2))
    words[:, 40:] = 0  # padded, as diffusers' encode_prompt gives it
    noise = torch.randn(1, 16, components.latents, 4, 4, generator=drawn)
    given = {"prompt": None, "prompt_embeds": words, "negative_prompt_embeds": away}
    given |= {"latents": noise.clone()}
    stock = kit.stock(components, components.scheduler, prompt, model.sampling, "latent", given)[0]
    for text in (words[0], words[0, :40]):
        [ours] = model.latents([prompt], embeddings=[text], negative=away[0], noise=[noise[0]])
        torch.testing.assert_close(ours, stock, atol=TOLERANCE, rtol=0)


def test_a_long_text_is_cut_where_stock_cuts_it(kit: Any, wide: Components) -> None:
    prompt = EditPrompt(kit.frame(0), "the quick brown fox " * 200, 1)
    model = kit.model(wide, truncate_text=True)
    with pytest.warns(ChronosimWarning, match="what follows '.* is left out"):
        ours = model.latents([prompt])[0]
    stock = kit.stock(wide, wide.scheduler, prompt, model.sampling, "latent")[0]
    torch.testing.assert_close(ours, stock, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("reasoning_steps", [0, "all"])
def test_euler_latents_equal_stock(
    kit: Any, components: Components, reasoning_steps: int | str
) -> None:
    model = kit.model(
        components, scheduler="euler", flow_shift=2.0, reasoning_steps=reasoning_steps
    )
    prompt = kit.prompt(4)
    ours = model.latents([prompt])[0]
    stock = kit.stock(components, euler(2.0), prompt, model.sampling, "latent")[0]
    torch.testing.assert_close(ours, stock, atol=TOLERANCE, rtol=0)


def test_euler_drops_reasoning_where_stock_cannot(kit: Any, components: Components) -> None:
    model = kit.model(components, scheduler="euler", reasoning_steps=2)
    prompt = kit.prompt(5)
    with pytest.raises(AttributeError, match="model_outputs"):
        kit.stock(components, euler(5.0), prompt, model.sampling, "latent")
    dropped = model.latents([prompt])[0]
    full = kit.model(components, scheduler="euler", reasoning_steps="all").latents([prompt])[0]
    assert dropped.shape[1] == 2
    assert dropped.isfinite().all()
    # The same noise and the same first steps, but other company afterwards.
    difference = (dropped - full[:, [0, -1]]).abs().max()
    assert 1e-5 < difference < 1


def test_dropping_equals_a_loop_written_out(kit: Any, components: Components) -> None:
    """Euler has no memory, so its dropped reasoning is a dozen lines: the engine equals them."""
    from chronosim.models.engine.denoising import Velocity
    from chronosim.models.engine.encoding import encode_condition, encode_frame, encode_text

    model, prompt = kit.model(components, scheduler="euler", reasoning_steps=2), kit.prompt(6)
    with torch.no_grad():
        condition = encode_condition(components, prompt.frame, components.latents)[None]
        text = encode_text(components, prompt.text)
        patches = encode_frame(components, prompt.frame)[None]
        flow = Velocity(components.transformer, [text], patches, None, 1.0)
        noise = torch.Generator().manual_seed(prompt.seed)
        x = torch.randn((1, 16, *condition.shape[2:]), generator=noise)
        scheduler = euler(5.0)
        scheduler.set_timesteps(4)
        for step in range(4):
            if step == 2:
                x, condition = x[:, :, [0, -1]], condition[:, :, [0, -1]]
            change = scheduler.sigmas[step + 1] - scheduler.sigmas[step]
            x = x + change * flow(x, condition, scheduler.timesteps[step])
    torch.testing.assert_close(model.latents([prompt])[0], x[0], atol=1e-5, rtol=0)


def test_frames_equal_stock_with_full_reasoning(kit: Any, components: Components) -> None:
    model, prompt = kit.model(components, reasoning_steps="all"), kit.prompt(7)
    ours = model.predict([prompt])[0].trajectory
    stock = kit.stock(components, components.scheduler, prompt, model.sampling, "np")[0] * 255
    # Stock repeats the observed frame at the start and the outcome four times at the end.
    expected = np.concatenate([stock[1:-4], stock[-1:]])
    assert ours.shape == (4 * (components.latents - 2) + 1, 32, 32, 3)
    assert ours.std() > 5
    np.testing.assert_allclose(ours, expected, atol=0.51)  # rounded to whole grey levels


@pytest.mark.parametrize("reasoning_steps", [0, 2])
def test_outcome_equals_stock(kit: Any, components: Components, reasoning_steps: int) -> None:
    model, prompt = kit.model(components, reasoning_steps=reasoning_steps), kit.prompt(8)
    ours = model.predict([prompt])[0].frame
    stock = kit.stock(components, components.scheduler, prompt, model.sampling, "np")[0] * 255
    np.testing.assert_allclose(ours, stock[-1], atol=0.51)


def test_latents_depend_on_everything_in_a_prompt(kit: Any, components: Components) -> None:
    """Else the equalities above would prove little."""
    model = kit.model(components)
    prompt = kit.prompt(9)
    text = "The car drives at 21 m/s. Steer 35% left with 0% throttle and 10% brake."
    others = [
        EditPrompt(kit.frame(1), prompt.text, prompt.seed),
        EditPrompt(prompt.frame, text, prompt.seed),
        EditPrompt(prompt.frame, prompt.text, prompt.seed + 1),
    ]
    base, *changed = model.latents([prompt, *others])
    for latents in changed:
        assert (latents - base).abs().max() > 10 * TOLERANCE


@pytest.mark.parametrize(
    "text", ["  steer \n left ", "Tom &amp; Jerry &amp;lt;3", "schÃ¶n", "“quoted” text", ""]
)
def test_words_are_cleaned_as_stock_cleans_them(text: str) -> None:
    stock: Any = pipeline_chronoedit  # untyped
    assert clean_text(text) == stock.prompt_clean(text)


def test_a_bfloat16_autoencoder_gives_what_stock_gives(kit: Any, wide: Components) -> None:
    """As NVIDIA's own script loads it."""
    parts = kit.remake(wide, vae=deepcopy(wide.vae).to(torch.bfloat16))
    model, prompt = kit.model(parts, reasoning_steps=2), kit.prompt(3)
    stock = kit.stock(parts, parts.scheduler, prompt, model.sampling, "latent")[0]
    torch.testing.assert_close(model.latents([prompt])[0], stock, atol=TOLERANCE, rtol=0)
    shown = kit.stock(parts, parts.scheduler, prompt, model.sampling, "np")[0] * 255
    off = np.abs(model.predict([prompt])[0].frame - shown[-1])
    assert off.mean() < 1
    exact = kit.model(wide, reasoning_steps=2).predict([prompt])[0].frame
    assert np.abs(exact - shown[-1]).mean() > off.mean()


def test_float16_is_as_near_as_stocks(kit: Any, wide: Components) -> None:
    transformer = deepcopy(wide.transformer).to(torch.float16)
    encoder = deepcopy(wide.text_encoder).to(torch.float16)
    parts = kit.remake(wide, transformer=transformer, text_encoder=encoder)
    prompt = kit.prompt(3)
    exact = kit.model(wide, guidance=3.0).latents([prompt])[0]
    model = kit.model(parts, guidance=3.0)
    half = model.latents([prompt])[0]
    stock = kit.stock(parts, parts.scheduler, prompt, model.sampling, "latent")[0]
    assert half.isfinite().all()
    assert (half - exact).abs().max() < 2 * (stock - exact).abs().max() + 1e-3
