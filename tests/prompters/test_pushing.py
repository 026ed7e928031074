from __future__ import annotations

import numpy as np
import pytest

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.pushing import Pushing
from chronosim.testing import check_prompter
from chronosim.types import Observation

FRAME = np.zeros((96, 96, 3), np.uint8)


def test_contract() -> None:
    check_prompter(Pushing(), samples=100)
    check_prompter(Pushing(foretells=True), samples=100)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ([256, 256], "moves 0% right and 0% down, to x=50% y=50%."),
        ([358.4, 204.8], "moves 20% right and 10% up, to x=70% y=40%."),
        ([0, 512], "moves 50% left and 50% down, to x=0% y=100%."),
    ],
)
def test_words(action: list[float], words: str) -> None:
    at = Observation(FRAME, Pushing().begin({}))
    text, state = Pushing()(at, np.array(action, np.float32))
    assert text == f"The pusher {words}"
    assert state.tolist() == pytest.approx(action)


def test_words_that_foretell_what_changes() -> None:
    at = Observation(FRAME, Pushing().begin({"x": 51.2, "y": 460.8}))
    text, _ = Pushing(foretells=True)(at, np.array([204.8, 256], np.float32))
    assert text == (
        "The pusher moves 30% right and 40% up, 50% in all, from x=10%, y=90%, to x=40% y=50%."
    )


def test_beginning() -> None:
    prompter = Pushing()
    assert prompter.begin({}).tolist() == [256, 256]
    assert prompter.begin({"x": 3.0, "y": 500.0}).tolist() == [3, 500]
    with pytest.raises(InvalidConfig, match=r"'speed'.*x, y"):
        prompter.begin({"speed": 1.0})
    with pytest.raises(InvalidConfig, match="x must lie from 0 to 512, not"):
        prompter.begin({"x": -1.0})


def test_a_place_off_the_board_is_refused() -> None:
    at = Observation(FRAME, Pushing().begin({}))
    with pytest.raises(InvalidAction, match="between"):
        Pushing()(at, np.array([600, 0], np.float32))
