"""Ways to more speed: each answers what the plain path answers."""

import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry

from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.models.engine.acceleration import multiply_in_float8
from chronosim.models.loading.load import load

SETTINGS: dict[str, Any] = {"denoising_steps": 3, "guidance": 2.0, "reasoning_steps": 1}


@pytest.mark.usefixtures("as_users_run_it")  # the compiler cannot see through the shape checks
@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"fused": True}, 1e-5),
        ({"batched_guidance": True}, 1e-4),
        ({"attention": "_native_math"}, 1e-4),
        ({"compiled": "eager"}, 1e-5),
        ({"step_cache": 0.0}, 0),  # nothing is close enough to be reused
    ],
    ids=str,
)
def test_the_answer_stays(
    folder: Path, kit: Any, settings: dict[str, Any], tolerance: float
) -> None:
    prompts = [kit.prompt(1), kit.prompt(2, kit.sentences[2])]
    plain, fast = load(folder, **SETTINGS), load(folder, **SETTINGS, **settings)
    for ours, theirs in zip(fast.latents(prompts), plain.latents(prompts), strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)
    assert fast.identity.items() >= settings.items()
    assert not plain.identity.keys() & settings.keys()


@pytest.mark.usefixtures("as_users_run_it")
def test_warmed_up_blocks_are_not_compiled_again(folder: Path, kit: Any) -> None:
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    model = load(folder, compiled="eager", **SETTINGS)
    model.warm_up([kit.prompt(1), kit.prompt(2, kit.sentences[2])])
    graphs = counters["stats"]["unique_graphs"]
    assert 0 < graphs <= 6
    model.predict([kit.prompt(3), kit.prompt(4, kit.sentences[1])])
    assert counters["stats"]["unique_graphs"] == graphs
    assert not counters["graph_break"]


def test_warming_up_takes_few_steps(fresh: Any, kit: Any, count_calls: Any) -> None:
    model = kit.model(fresh, denoising_steps=40, reasoning_steps=30)
    calls = count_calls(fresh.transformer, "forward")
    model.warm_up([kit.prompt(1)])
    assert [shape[2] for shape in calls] == [8, 8, 2]


def test_fused_weights_are_held_once(folder: Path) -> None:
    attention = load(folder, fused=True).components.transformer.blocks[0].attn1
    whole = attention.to_qkv.weight
    assert attention.to_k.weight.data_ptr() == whole[whole.shape[0] // 3 :].data_ptr()


def test_batched_guidance_is_one_forward_a_step(fresh: Any, kit: Any, count_calls: Any) -> None:
    model = kit.model(fresh, denoising_steps=2, guidance=2.0)
    model.batched_guidance = True
    calls = count_calls(fresh.transformer, "forward")
    model.predict([kit.prompt(1)])
    assert [shape[0] for shape in calls] == [2, 2]


def test_a_step_cache_reuses_what_later_blocks_added(
    folder: Path, kit: Any, count_calls: Any
) -> None:
    prompts = [kit.prompt(1), kit.prompt(2, kit.sentences[2])]
    settings = SETTINGS | {"denoising_steps": 5, "reasoning_steps": 2}
    plain, fast = load(folder, **settings), load(folder, **settings, step_cache=1.0)
    first, last = fast.components.transformer.blocks
    all_calls, computed = count_calls(first.attn1, "forward"), count_calls(last.attn1, "forward")
    ours, theirs = fast.latents(prompts), plain.latents(prompts)
    # Two rows with two forwards in each step; computed are the first step with all latents and the
    # first with two, for the text and for the empty one.
    assert len(all_calls) == 2 * 2 * 5
    assert len(computed) == 2 * 2 * 2
    assert not torch.equal(ours[0], theirs[0])
    torch.testing.assert_close(ours[0], theirs[0], atol=2, rtol=0)
    # Nothing is left over for the next prediction, of these frames or of others.
    wide = replace(prompts[0], frame=kit.frame(3, 32, 48))
    again = fast.latents([wide, *prompts])
    assert all(torch.equal(a, b) for a, b in zip(again[1:], ours, strict=True))
    assert fast.identity["step_cache"] == 1.0


def test_products_in_float8(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, where torchao would not offer what PyTorch can compute."""
    pytest.importorskip("torchao", reason="needs the extra float8")
    monkeypatch.setattr("torchao.float8.inference.is_MI300", lambda: True)
    plain = kit.transformer(attention_head_dim=16, added_kv_proj_dim=32)
    small = deepcopy(plain)
    multiply_in_float8(small, torch.device("cpu"))
    assert type(small.blocks[0].ffn.net[2].weight).__name__ == "Float8Tensor"
    torch.manual_seed(0)
    inputs = {
        "hidden_states": torch.randn(1, 36, 2, 4, 4),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 512, 16),
        "encoder_hidden_states_image": torch.randn(1, 17, 8),
    }
    with torch.inference_mode():
        ours, theirs = (model(**inputs).sample for model in (small, plain))
    assert 0 < (ours - theirs).std() / theirs.std() < 0.1


def test_products_in_float8_need_torchao(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(MissingDependency, match=r"needs torchao: pip install .chronosim\[float8\]"):
        multiply_in_float8(kit.transformer(), torch.device("cpu"))


def test_another_models_attention_stays_its_own(folder: Path) -> None:
    before = _AttentionBackendRegistry.get_active_backend()
    load(folder, attention="_native_math")
    assert _AttentionBackendRegistry.get_active_backend() == before


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"attention": "fast"}, "attention must be one of flash, .*, not 'fast'"),
        ({"attention": "_native_cudnn"}, "attention=_native_cudnn cannot compute on cpu in float"),
        ({"compiled": "gcc"}, "compiled must be true or one of .*inductor.*, not 'gcc'"),
        ({"fused": True, "storage": "float8"}, "fused joins plain weights that stay on the device"),
        ({"compiled": True, "offload": "group"}, "compiled blocks cannot be streamed: drop"),
        ({"parallel": "ring"}, "parallel must be ulysses or null, not 'ring'"),
        ({"parallel": "ulysses"}, "parallel needs several processes: start with torchrun"),
        ({"parallel": "ulysses", "compiled": True}, "parallel (needs|goes with neither)"),
        ({"parallel": "ulysses", "step_cache": 0.1}, "parallel (needs|processes would each)"),
        ({"offload": "group", "step_cache": 0.1}, "streamed come in a fixed order"),
        ({"offload": "group", "storage": "float8-matmul"}, "streamed come in a fixed order"),
        ({"step_cache": 2}, "step_cache must be a number from 0 to 1 or null, not 2"),
    ],
)
def test_what_cannot_work_is_refused(folder: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfig, match=sentence):
        load(folder, device="cpu", **settings)
