import numpy as np
import pytest

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.instruction import Trigger
from chronosim.settings import parts as config
from chronosim.testing import check_prompter
from chronosim.types import Observation

SEEN = Observation(np.zeros((32, 32, 3), np.uint8))


@pytest.mark.parametrize("name", ["paint-brush", "upscaler"])
def test_the_shipped_ones_keep_the_contract(name: str) -> None:
    check_prompter(config.load("prompter", name))


def test_the_published_sentences() -> None:
    """Word for word as in nv-tlabs/ChronoEdit's README, section (4)."""
    brush, _ = config.load("prompter", "paint-brush")(SEEN, "crown and a hat.")
    assert brush == (
        "Turn the pencil sketch in the image into an actual object that is consistent with the "
        "image\u2019s content. The user wants to change the sketch to a crown and a hat."
    )
    upscaler = config.load("prompter", "upscaler")
    assert (
        upscaler(SEEN, "anything")[0]
        == upscaler(SEEN, "else")[0]
        == (
            "The user want to enhance image clarity and resolution while keeping the "
            "content identical. super-resolution, high detail, 4K clarity, same composition, "
            "natural texture."
        )
    )


def test_any_language_is_words() -> None:
    assert Trigger("Make it {}!")(SEEN, "夜の{街}")[0] == "Make it 夜の{街}!"


@pytest.mark.parametrize("action", ["", " ", ".", " .. ", "x" * 201, 3, ["a"]])
def test_what_is_no_words_is_refused(action: object) -> None:
    with pytest.raises(InvalidAction, match="an action must be words, 1 to 200 characters"):
        Trigger("{}")(SEEN, action)


@pytest.mark.parametrize("sentence", ["{} and {}", "{name}", "}{"])
def test_a_sentence_has_one_place(sentence: str) -> None:
    with pytest.raises(InvalidConfig, match=r"one \{\} and no other brace"):
        Trigger(sentence)
