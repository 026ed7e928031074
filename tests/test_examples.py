"""Every example runs from top to bottom, at its smallest."""

import runpy
import sys
from pathlib import Path

import pytest

SMALLEST = {"03_your_own_world": "quick"}  # the others take a model: one that needs no weights
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), SMALLEST.get(path.stem, "echo")])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
    assert list(tmp_path.glob("*.png")), "an example leaves something to look at"


def test_the_examples_are_numbered_without_a_gap() -> None:
    assert [int(path.stem[:2]) for path in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))
