"""A closed vocabulary: the words that a world's prompter uses, and the numerals among them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import T5TokenizerFast, UMT5EncoderModel

from chronosim.errors import InvalidConfig

_SPACE = "\u2581"  # how SentencePiece writes the space before a word
_NUMERAL = re.compile(rf"{_SPACE}(\D*?)([+-]?\d+)(\D*)")

_Kind = tuple[str, str, str]  # what stands before the number, how its sign is written, its unit


def new_tokenizer(texts: Iterable[str], length: int = 512) -> T5TokenizerFast:
    """Makes a tokenizer that knows the whitespace-separated words of `texts` and nothing else.

    Between the smallest and the largest numeral of a kind ("20", "35%", "+5%", "x=40%") every step
    that two of them are apart is known as well, so that no speed is missing by chance.

    Args:
        texts: All kinds of sentences that a world will be told.
        length: Longest text in tokens.
    """
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -100.0)]
    return _tokenizer([*special, *((word, -1.0) for word in sorted(_words(texts)))], length)


def extend_tokenizer(tokenizer: T5TokenizerFast, texts: Iterable[str]) -> T5TokenizerFast:
    """Makes a tokenizer that knows the words of `texts` as well; known ones keep their ids.

    Args:
        tokenizer: What `new_tokenizer` made. One that can spell any word is given back as it is.
        texts: All kinds of sentences that another world will be told.

    Raises:
        InvalidConfig: Words are missing, but the tokenizer keeps tokens beside its vocabulary.
    """
    unknown = tokenizer.unk_token_id
    ids = {word: tokenizer(word.removeprefix(_SPACE)).input_ids for word in _words(texts)}
    new = sorted(word for word in ids if unknown in ids[word])
    if not new:
        return tokenizer
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    if len(vocabulary) != len(tokenizer):
        raise InvalidConfig(
            f"the start model's tokenizer cannot learn {new[0].removeprefix(_SPACE)!r}: "
            "start from a model that chronosim train made, or from null"
        )
    old = [(str(word), float(score)) for word, score in vocabulary]
    return _tokenizer([*old, *((word, -1.0) for word in new)], tokenizer.model_max_length)


def _tokenizer(vocabulary: list[tuple[str, float]], length: int) -> T5TokenizerFast:
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=length)


def _words(texts: Iterable[str]) -> set[str]:
    words = {_SPACE + word for text in texts for word in text.split()}
    return words | _between(words)


def _between(words: set[str]) -> set[str]:
    found: dict[_Kind, list[int]] = {}
    for kind, value in _numerals(words).values():
        found.setdefault(kind, []).append(value)
    filled = set()
    for (before, sign, unit), values in found.items():
        values.sort()
        gaps = [b - a for a, b in pairwise(values)]
        for value in range(values[0], values[-1] + 1, min(gaps, default=1)):
            filled.add(f"{_SPACE}{before}{value:{sign}d}{unit}")
    return filled


def _numerals(words: Iterable[str]) -> dict[str, tuple[_Kind, int]]:
    """The numerals among words: kind and value."""
    matches = {word: match for word in sorted(words) if (match := _NUMERAL.fullmatch(word))}
    signed = {(match[1], match[3]) for match in matches.values() if match[2][0] == "+"}
    found: dict[str, tuple[_Kind, int]] = {}
    for word, match in matches.items():
        before, number, unit = match.groups()
        sign = "+" if (before, unit) in signed and number[0] in "+-" else ""
        found[word] = (before, sign, unit), int(number)
    return found


@torch.no_grad()
def place_numerals(encoder: UMT5EncoderModel, tokenizer: T5TokenizerFast) -> None:
    """Starts the embeddings of numerals on a smooth curve, so that near numbers mean near things.

    Each numeral gets random Fourier features of its value (periods of 8 to 400) in place of a
    random point; its unit gets a point of its own. Only a start: training moves them.
    """
    table, vocabulary = encoder.get_input_embeddings().weight, tokenizer.get_vocab()
    generator = torch.Generator().manual_seed(0)
    curve = _curve(table.shape[1], generator)
    units: dict[_Kind, Tensor] = {}
    for word, (kind, value) in _numerals(vocabulary).items():
        unit = units.setdefault(kind, torch.randn(table.shape[1], generator=generator))
        table[vocabulary[word]] = 0.5 * unit + curve(value)


@torch.no_grad()
def extend_embeddings(encoder: UMT5EncoderModel, tokenizer: T5TokenizerFast, known: int) -> None:
    """Gives an encoder rows for the words that `extend_tokenizer` added; old rows stay as they are.

    A new word starts at a random point as far out as the old ones are; a numeral beside the nearest
    old one of its kind, moved along the curve of `place_numerals`, or on that curve if its kind is
    new.

    Args:
        encoder: Changed in place.
        tokenizer: The extended one.
        known: How many tokens there were before.
    """
    if len(tokenizer) > encoder.config.vocab_size:
        encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table, vocabulary = encoder.get_input_embeddings().weight, tokenizer.get_vocab()
    curve = _curve(table.shape[1], torch.Generator().manual_seed(0))
    # Other points than those that the units of the start model once got.
    generator = torch.Generator().manual_seed(known)
    spread = table[:known].std()
    table[known:] = spread * torch.randn(table[known:].shape, generator=generator)
    numerals = _numerals(vocabulary)
    units: dict[_Kind, Tensor] = {}
    for word, (kind, value) in numerals.items():
        if vocabulary[word] < known:
            continue
        old = [(abs(v - value), w) for w, (k, v) in numerals.items() if k == kind]
        near = min(((d, w) for d, w in old if vocabulary[w] < known), default=None)
        if near is None:
            unit = units.setdefault(kind, torch.randn(table.shape[1], generator=generator))
            table[vocabulary[word]] = 0.5 * unit + curve(value)
        else:
            moved = curve(value) - curve(numerals[near[1]][1])
            table[vocabulary[word]] = table[vocabulary[near[1]]] + moved


def _curve(width: int, generator: torch.Generator) -> Callable[[int], Float[Tensor, " width"]]:
    """A smooth curve through `width` dimensions: random Fourier features of a whole number."""
    periods = torch.logspace(0.9, 2.6, width // 2)
    mixing = torch.randn(2 * len(periods), width, generator=generator)
    mixing = mixing / (2 * len(periods)) ** 0.5

    def point(value: int) -> Float[Tensor, " width"]:
        angle = 2 * torch.pi * value / periods
        return torch.cat([angle.sin(), angle.cos()]) * 2**0.5 @ mixing

    return point
