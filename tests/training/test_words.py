"""The closed vocabulary: whole words, all numerals in reach, nothing else."""

from typing import Any

import torch
import transformers

from chronosim.training.words import new_tokenizer, place_numerals

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
