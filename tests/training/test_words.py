"""The closed vocabulary: whole words, all numerals in reach, nothing else."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from chronosim.errors import InvalidConfig
from chronosim.training.words import (
    extend_embeddings,
    extend_tokenizer,
    new_tokenizer,
    place_numerals,
)

TEXTS = ("The car drives at 18 m/s. Steer 10% left.", "The car drives at 21 m/s. Steer 25% right.")

hf_transformers: Any = transformers


def unknown(tokenizer: Any, text: str) -> int:
    return tokenizer(text).input_ids.count(tokenizer.unk_token_id)


def test_it_knows_its_words_one_token_each() -> None:
    tokenizer: Any = new_tokenizer(TEXTS)
    ids = tokenizer(TEXTS[0]).input_ids
    assert len(ids) == len(TEXTS[0].split()) + 1
    assert ids[-1] == tokenizer.eos_token_id
    assert unknown(tokenizer, TEXTS[0]) == 0
    assert tokenizer.pad_token_id == 0


def test_it_refuses_other_words_and_parts_of_words() -> None:
    tokenizer = new_tokenizer(TEXTS)
    for word in ("pedestrian", "Steering", "left", "211", "m/s"):
        assert unknown(tokenizer, word) > 0


def test_numerals_between_the_seen_ones_are_known() -> None:
    tokenizer = new_tokenizer((*TEXTS, "The car drives at 19 m/s. Steer 15% left."))
    assert unknown(tokenizer, "20 20%") == 0
    assert unknown(tokenizer, "22") > 0


def test_near_numerals_start_near() -> None:
    texts = [f"at {value} m/s. {5 * value}%" for value in range(60)]
    tokenizer: Any = new_tokenizer(texts)
    config = hf_transformers.UMT5Config(
        vocab_size=len(tokenizer), d_model=64, d_kv=8, d_ff=16, num_layers=1, num_heads=1
    )
    encoder = hf_transformers.UMT5EncoderModel(config)
    place_numerals(encoder, tokenizer)
    table = encoder.get_input_embeddings().weight

    def of(word: str) -> torch.Tensor:
        row: torch.Tensor = table[tokenizer(word).input_ids[0]]
        return row

    near, far = of("20") - of("21"), of("20") - of("50")
    assert near.norm() < 0.5 * far.norm()
    assert (of("20") - of("20%")).norm() > near.norm()


def test_numerals_that_carry_their_sign_are_a_kind_of_their_own() -> None:
    tokenizer = new_tokenizer(("Push +50% hard", "Push -50% hard", "Push +25% hard", "at 30%"))
    assert unknown(tokenizer, "-50% -25% +0% +25% +50% 30%") == 0
    for word in ("0%", "-0%", "25%", "+75%"):
        assert unknown(tokenizer, word) > 0
    falling: Any = new_tokenizer(("turn -2 now", "turn 2 now", "turn 1 now"))
    assert unknown(falling, "-2 -1 0 1 2") == 0


def test_numerals_behind_letters_are_kinds_of_their_own() -> None:
    tokenizer = new_tokenizer(("to x=10% y=30%", "to x=12% y=34%", "to x=11% y=38%"))
    assert unknown(tokenizer, "x=10% x=11% x=12% y=30% y=34% y=38%") == 0
    for word in ("y=10%", "y=32%", "x=30%", "10%"):
        assert unknown(tokenizer, word) > 0


def test_a_tokenizer_learns_the_words_of_another_world() -> None:
    tokenizer: Any = new_tokenizer((*TEXTS, "Steer 15% left."))
    more: Any = extend_tokenizer(tokenizer, ["Push the pole with +20% force, 12% brake."])
    assert unknown(more, "Push the pole with +20% force, 12% brake.") == 0
    known = tokenizer.get_vocab()
    assert {word: more.get_vocab()[word] for word in known} == known
    for text in TEXTS:
        assert more(text).input_ids == tokenizer(text).input_ids
    assert extend_tokenizer(more, TEXTS) is more


def test_old_words_mean_what_they_meant_and_new_numerals_start_among_the_old(
    tmp_path: Path,
) -> None:
    texts = [f"Steer {5 * value}% left." for value in range(21)]
    tokenizer: Any = new_tokenizer(texts)
    config = hf_transformers.UMT5Config(
        vocab_size=len(tokenizer), d_model=64, d_kv=8, d_ff=16, num_layers=1, num_heads=1
    )
    encoder = hf_transformers.UMT5EncoderModel(config)
    place_numerals(encoder, tokenizer)
    before = encoder.get_input_embeddings().weight.detach().clone()
    more: Any = extend_tokenizer(tokenizer, ["Push 37% +30 -30 hard."])
    extend_embeddings(encoder, more, known=len(tokenizer))
    table = encoder.get_input_embeddings().weight.detach()
    assert encoder.config.vocab_size == len(more) == len(table)
    assert torch.equal(table[: len(tokenizer)], before)

    def apart(one: str, other: str) -> float:
        a, b = (table[more(word).input_ids[0]] for word in (one, other))
        return float((a - b).norm())

    assert apart("37%", "35%") < 0.6 * min(apart("37%", "80%"), apart("37%", "+30"))
    assert apart("Push", "hard.") > 1
    encoder.save_pretrained(tmp_path / "encoder")
    again = hf_transformers.UMT5EncoderModel.from_pretrained(tmp_path / "encoder")
    assert torch.equal(again.get_input_embeddings().weight, table)


def test_a_tokenizer_with_tokens_beside_its_vocabulary_cannot_learn() -> None:
    tokenizer: Any = new_tokenizer(TEXTS)
    tokenizer.add_tokens(["<extra>"])
    with pytest.raises(InvalidConfig, match="cannot learn 'pole'"):
        extend_tokenizer(tokenizer, ["The pole"])
