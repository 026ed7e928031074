"""Folding the text's padding changes nothing but the time it takes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chronosim.models.engine.acceleration import TEXT_TOKENS, CrossAttention, fold_padding
from chronosim.models.engine.components import Components

LENGTHS = (3, 17, 1)


@pytest.fixture
def inputs(compact: Components) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    config = compact.transformer.config
    generator = torch.Generator().manual_seed(0)
    rows = len(LENGTHS)
    latents = torch.randn(rows, config.in_channels, 2, 4, 4, generator=generator)
    words = torch.randn(rows, TEXT_TOKENS, config.text_dim, generator=generator)
    for row, length in enumerate(LENGTHS):
        words[row, length:] = 0
    frames = torch.randn(rows, 5, config.image_dim, generator=generator)
    return latents, torch.tensor([900.0, 500.0, 20.0]), words, frames


@pytest.fixture
def stock(compact: Components, inputs: tuple[Tensor, ...]) -> Tensor:
    from diffusers.models.transformers.transformer_chronoedit import WanAttnProcessor

    processor: Any = WanAttnProcessor
    for block in compact.transformer.blocks:
        block.attn2.set_processor(processor())
    with torch.no_grad():
        answer: Tensor = compact.transformer(*inputs, return_dict=False)[0]
    return answer


def test_folded_text_gives_what_padded_text_gives(
    compact: Components, inputs: tuple[Tensor, Tensor, Tensor, Tensor], stock: Tensor
) -> None:
    latents, timestep, words, frames = inputs
    context = fold_padding(words, torch.tensor(LENGTHS))
    assert context.embeds.shape[1] == max(LENGTHS) + 1
    attention = CrossAttention(compact.transformer)
    with torch.no_grad():
        for _ in range(2):  # the second time from the keys that were kept
            answer = attention.forward(latents, timestep, context, frames)
            torch.testing.assert_close(answer, stock, atol=1e-5, rtol=1e-5)


def test_a_text_of_all_512_tokens_needs_no_padding(compact: Components) -> None:
    words = torch.randn(1, TEXT_TOKENS, compact.transformer.config.text_dim)
    context = fold_padding(words, torch.tensor([TEXT_TOKENS]))
    assert context.embeds.shape[1] == TEXT_TOKENS
    assert not context.bias.any()


def test_outside_of_forward_the_transformer_is_the_stock_one(
    compact: Components, inputs: tuple[Tensor, ...], stock: Tensor
) -> None:
    CrossAttention(compact.transformer)
    with torch.no_grad():
        answer = compact.transformer(*inputs, return_dict=False)[0]
    torch.testing.assert_close(answer, stock, atol=1e-5, rtol=1e-5)


def test_keys_are_computed_once_and_never_while_training(
    compact: Components, inputs: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    latents, timestep, words, frames = inputs
    attention = CrossAttention(compact.transformer)
    calls = []
    layer = compact.transformer.blocks[0].attn2.to_k
    hook = layer.register_forward_hook(lambda *_: calls.append(1))
    context = fold_padding(words, torch.tensor(LENGTHS))
    with torch.no_grad():
        attention.forward(latents, timestep, context, frames)
        attention.forward(latents, timestep, context, frames)
    assert len(calls) == 1
    context = fold_padding(words, torch.tensor(LENGTHS))
    attention.forward(latents, timestep, context, frames)
    attention.forward(latents, timestep, context, frames)
    assert len(calls) == 3
    assert not context.kept
    hook.remove()


def test_folding_keeps_the_words_themselves() -> None:
    words = F.pad(torch.ones(1, 4, 2), (0, 0, 0, 3))
    context = fold_padding(words, torch.tensor([4]))
    assert torch.equal(context.embeds, words[:, :5])
    assert context.bias[0, 0, 0].tolist()[:4] == [0.0] * 4
    assert context.bias[0, 0, 0, 4].exp().item() == pytest.approx(TEXT_TOKENS - 4)
