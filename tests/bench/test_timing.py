"""What is measured of a call: its memory, its denoising, its arithmetic."""

from collections.abc import Callable
from time import sleep
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from torch import nn

from chronosim.bench import timing as probes
from chronosim.bench.timing import flops_of, memory_of, seconds_of
from chronosim.models.loading.load import load
from chronosim.types import EditPrompt

CPU = torch.device("cpu")
TEXT = "The car drives at 21 m/s. Steer 35% left with 10% throttle and 0% brake."


def outcome(**settings: Any) -> tuple[Any, Callable[[], object]]:
    model = load("nano", denoising_steps=2, reasoning_steps=0, **settings)
    prompts = [EditPrompt(np.zeros((96, 96, 3), np.uint8), TEXT, 0)]
    return model.components.transformer, lambda: model.predict(prompts)


def test_arithmetic_is_the_transformers_alone_with_its_attention() -> None:
    transformer, predict = outcome()
    config, tokens = transformer.config, 2 * 6 * 6
    width = config.num_attention_heads * config.attention_head_dim
    predict()  # what is remembered must make no difference to the transformer
    found = flops_of(predict, transformer)
    layer = 12 * tokens * width**2 + 4 * tokens * width * config.ffn_dim + 4 * tokens**2 * width
    least = 2 * config.num_layers * layer  # two steps, without what text and frame cost
    assert least < found < 1.2 * least


def test_compiled_blocks_and_other_attention_are_counted_alike() -> None:
    plain, predict = outcome()
    found = flops_of(predict, plain)
    compiled, predict = outcome(compiled="eager", attention="_native_math")
    assert flops_of(predict, compiled) == found
    assert all(block._compiled_call_impl is not None for block in compiled.blocks)
    kernels = {block.attn1.processor._attention_backend for block in compiled.blocks}
    assert kernels == {AttentionBackendName._NATIVE_MATH}


def test_the_loop_is_from_the_first_forward_to_the_last() -> None:
    layer = nn.Linear(2, 2)

    def call() -> str:
        sleep(0.05)
        layer(torch.ones(1, 2))
        sleep(0.02)
        layer(torch.ones(1, 2))
        sleep(0.05)
        return "done"

    answer, seconds, loop = seconds_of(call, layer, CPU)
    assert answer == "done"
    assert 0.02 <= loop <= seconds - 0.1
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


def test_memory_is_what_a_call_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = np.ones(64 * 2**20, np.uint8)  # as large as what the call needs, and not counted
    sizes = []

    def call() -> None:
        needed = np.ones(32 * 2**20, np.uint8)
        sleep(0.2)  # a call shorter than a look at the memory goes unseen
        sizes.append(needed.nbytes)

    if not probes._trim():
        pytest.skip("the C library keeps freed memory")
    found = [memory_of(call, CPU) for _ in range(2)]
    assert all(size is not None and 24 < size / 2**20 < 56 for size in found)
    assert len(kept) > len(sizes)
    monkeypatch.setattr(probes, "_trim", lambda: False)
    assert memory_of(call, CPU) is None
    assert len(sizes) == 2
