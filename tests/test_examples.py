"""Every example runs from top to bottom, at its smallest, and says what it is there to say."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from chronosim.frames import write_frame

pytestmark = pytest.mark.slow

# Not "echo" alone: what else an example is asked to be smaller by.
SMALLEST = {
    "02_rollouts": ["echo", "2"],
    "05_evaluation": ["echo", "2"],
    "06_guard": ["echo", "20"],
    "08_your_own_world_model": [],  # it is one
    "09_your_own_world": ["quick"],
}
SAYS = {
    "01_predict": "The model was told: The car goes from",
    "02_rollouts": "Imagined again: every step alike",
    "03_vector_torch_policy": "loss",
    "04_what_if": "10 predictions for 12 steps of plans",
    "05_evaluation": "Tested against the real CarRacing",
    "06_guard": "Imagined episodes under the guard have [",
    "07_your_own_prompter": "down: The car goes from",
    "08_your_own_world_model": "20% left",
    "09_your_own_world": "Tested against the real Pendulum",
}
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def run(path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run(path, SMALLEST.get(path.stem, ["echo"]), monkeypatch)
    assert SAYS[path.stem] in capsys.readouterr().out
    left = [path.suffix for path in tmp_path.rglob("*.*")]
    assert {".png", ".html", ".npz"} & {*left}, "an example leaves something to look at, or to use"


def test_a_photo_is_asked_about_in_free_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_frame("photo.png", np.zeros((90, 160, 3), np.uint8))
    run(EXAMPLES[0], ["echo", "photo.png"], monkeypatch)
    assert "1 frames of (720, 1280)" in capsys.readouterr().out


def test_the_examples_are_numbered_without_a_gap() -> None:
    assert [int(path.stem[:2]) for path in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_read_in_a_minute(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert f"Usage: python examples/{path.name}" in text
    assert len(text.splitlines()) <= 75
