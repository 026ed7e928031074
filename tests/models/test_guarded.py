"""Checks of the user's own around a world model."""

import numpy as np
import pytest

from chronosim.errors import InvalidConfig, InvalidFrame, InvalidPrompt
from chronosim.models.guarded import Guarded, load_guarded
from chronosim.testing import EchoModel, check_world_model
from chronosim.types import EditPrompt, Frame


def no_weapons(text: str) -> str | None:
    return "a weapon" if "gun" in text else None


def not_dark(frame: Frame) -> str | None:
    return "too dark" if frame.mean() < 10 else None


def prompt(text: str, grey: int = 90) -> EditPrompt:
    return EditPrompt(np.full((16, 16, 3), grey, np.uint8), text, 0)


def test_it_is_the_model_where_nothing_is_refused() -> None:
    model = Guarded(EchoModel(time=2), text=no_weapons, frame=not_dark)
    check_world_model(model, [prompt("left"), prompt("right")])
    assert model.identity["checks"] == {"text": "no_weapons", "frame": "not_dark"}
    assert load_guarded("echo", settings={"time": 3}).identity["checks"]["text"] is None


def test_words_are_refused_before_and_frames_after_the_model() -> None:
    model = load_guarded(EchoModel(), text=no_weapons, frame=not_dark)
    with pytest.raises(InvalidPrompt, match="refuses 'draw a gun': a weapon"):
        model.predict([prompt("left"), prompt("draw a gun")])
    with pytest.raises(InvalidFrame, match="predicted for 'left': too dark"):
        model.predict([prompt("left", grey=3)])


def test_a_check_must_be_a_function(as_users_run_it: None) -> None:
    with pytest.raises(InvalidConfig, match="a text must be a function, not 'mine'"):
        load_guarded("echo", text="mine")  # type: ignore[arg-type]
