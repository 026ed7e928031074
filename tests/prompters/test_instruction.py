from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.instruction import Instruction
from chronosim.types import Observation

SEEN = Observation(np.zeros((8, 8, 3), np.uint8))


def test_words_pass_as_they_are() -> None:
    said = "The white car's driver, née Müller, turns left: 40 km/h {fast}."
    assert Instruction()(SEEN, said)[0] == said
    framed = Instruction("{instruction} The camera stands still.")
    text, _ = framed(SEEN, said)
    assert text == f"{said} The camera stands still."
    assert framed.read(SEEN, text) == said


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("", "must be words, not ''"),
        ("  ", "must be words"),
        (3, "must be words, not 3"),
        ("a" * 1_000_000, "1500 characters, but this one has 1000000"),
        ("one\ntwo", "one line of plain text"),
        ("\x1b[31m", "one line of plain text"),
    ],
)
def test_what_is_no_instruction(action: Any, said: str) -> None:
    with pytest.raises(InvalidAction, match=said) as caught:
        Instruction()(SEEN, action)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("sentence", ["Do it.", "{it}", "{instruction", "{instruction:>9}"])
def test_a_sentence_without_its_gap(sentence: str) -> None:
    with pytest.raises(InvalidConfig):
        Instruction(sentence)
