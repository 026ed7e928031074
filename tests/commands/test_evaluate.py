import json
from pathlib import Path

import pytest

from chronosim.cli import main
from chronosim.frames import read_frame


def test_copying_scores_as_copy_last_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    settings = ["model=echo", "windows=2", "others=1", "first_seed=8000000", f"output={out}"]
    assert main(["evaluate", *settings]) == 0
    report = json.loads((out / "results.json").read_text())
    assert report["scores"]["model"] == report["scores"]["copy-last-frame"]
    assert report["settings"]["first_seed"] == 8000000
    assert report["model"]["name"]
    assert read_frame(out / "moments.png").shape == (2 * 2 * 96, 4 * 2 * 96, 3)
    printed = capsys.readouterr().out
    assert "copy-last-frame" in printed
    assert "guessing follows 50%" in printed


def test_one_window_is_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "model=echo", "windows=1", f"output={tmp_path / 'out'}"]) == 2
    assert "windows must be a whole number of at least 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
