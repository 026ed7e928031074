"""A closed vocabulary: the words that a world's prompter uses, and the numerals among them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import torch
from transformers import T5TokenizerFast, UMT5EncoderModel

__all__ = ["new_tokenizer", "place_numerals"]

_SPACE = "\u2581"  # how SentencePiece writes the space before a word
_NUMERAL = re.compile(rf"{_SPACE}(\d+)(\D*)")


def new_tokenizer(texts: Iterable[str], length: int = 512) -> T5TokenizerFast:
    """Makes a tokenizer that knows the whitespace-separated words of `texts` and nothing else.

    Between the smallest and the largest numeral of a kind ("20", "35%") every step that two of
    them are apart is known as well, so that no speed is missing by chance.

    Args:
        texts: All kinds of sentences that a world will be told.
        length: Longest text in tokens.
    """
    words = {_SPACE + word for text in texts for word in text.split()}
    words |= _between(words)
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -100.0)]
    vocabulary = special + [(word, -1.0) for word in sorted(words)]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=length)


def _between(words: set[str]) -> set[str]:
    found: dict[str, list[int]] = {}
    for word in words:
        if match := _NUMERAL.fullmatch(word):
            found.setdefault(match[2], []).append(int(match[1]))
    filled = set()
    for unit, values in found.items():
        values.sort()
        gaps = [b - a for a, b in pairwise(values)]
        for value in range(values[0], values[-1] + 1, min(gaps, default=1)):
            filled.add(f"{_SPACE}{value}{unit}")
    return filled


@torch.no_grad()
def place_numerals(encoder: UMT5EncoderModel, tokenizer: T5TokenizerFast) -> None:
    """Starts the embeddings of numerals on a smooth curve, so that near numbers mean near things.

    Each numeral gets random Fourier features of its value (periods of 8 to 400) in place of a
    random point; its unit gets a point of its own. Only a start: training moves them.
    """
    table = encoder.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(0)
    periods = torch.logspace(0.9, 2.6, table.shape[1] // 2)
    mixing = torch.randn(2 * len(periods), table.shape[1], generator=generator)
    mixing = mixing / (2 * len(periods)) ** 0.5
    units: dict[str, torch.Tensor] = {}
    for word, index in sorted(tokenizer.get_vocab().items()):
        if match := _NUMERAL.fullmatch(word):
            unit = units.setdefault(match[2], torch.randn(table.shape[1], generator=generator))
            angle = 2 * torch.pi * int(match[1]) / periods
            features = torch.cat([angle.sin(), angle.cos()]) * 2**0.5
            table[index] = 0.5 * unit + features @ mixing
