"""Edits graded by the command, with a judge that is no network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.errors import JudgementFailed
from chronosim.frames import write_frame
from chronosim.metrics.judge import Judge

ASKED = ["judge.url=http://localhost:9/v1", "judge.model=qwen"]


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    """Two edits: one that changes nothing, one that comes back smaller."""
    folder = tmp_path / "edits"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, side in (("same", 32), ("smaller", 24)):
        frame = rng.integers(0, 256, (32, 32, 3), np.uint8)
        write_frame(folder / f"{name}.before.png", frame)
        write_frame(folder / f"{name}.after.png", frame[:side, :side])
        (folder / f"{name}.txt").write_text("Close the door.")
    return folder


def test_what_needs_nothing_is_always_there(
    edits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["judge", str(edits), f"output={out}"]) == 0
    printed = capsys.readouterr().out
    results = json.loads((out / "results.json").read_text())
    same, smaller = results["edits"]
    assert same["psnr"] is None, "no error at all"
    assert (same["ssim"], same["sharpness_ratio"]) == (pytest.approx(1), 1)
    assert smaller["psnr"] < 20
    assert results["means"]["ssim"]["edits"] == 2
    assert results["graders"] == {"clip": None, "lpips": None, "judge": None}
    assert "SSIM to before" in printed
    assert "CLIP" not in printed
    assert "| smaller |" in (out / "results.md").read_text()


def test_a_judge_is_asked_once_for_each_edit_and_axis(
    edits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions: list[str] = []

    def ask(self: Judge, question: str, frames: Any) -> str:
        questions.append(question)
        if len(questions) == 5:  # in the second edit
            raise JudgementFailed("the judge at noon is not reached")
        return f"It is so.\nMARK: {len(frames) + 1}"

    monkeypatch.setattr(Judge, "ask", ask)
    out = tmp_path / "out"
    command = ["judge", str(edits), f"output={out}", *ASKED]
    assert main(command) == 2
    assert "the judge at noon is not reached" in capsys.readouterr().err
    with (out / "grades.jsonl").open("a") as file:
        file.write('{"name": "smal')  # as if it had been killed there
    assert main(command) == 0
    assert len(questions) == 5 + 3, "the first edit's marks were kept"
    results = json.loads((out / "results.json").read_text())
    assert results["means"]["overall"] == {"mean": 3, "low": 3, "high": 3, "edits": 2}
    assert results["edits"][0]["reasons"]["identity"] == "It is so."
    assert results["graders"]["judge"]["name"] == "qwen"
    assert "judge: coherence, 1 to 5" in capsys.readouterr().out


def test_what_has_changed_is_graded_anew(edits: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out", edits / "edits.csv"
    smaller = "smaller.before.png,Close the door.,smaller.after.png"
    table.write_text(f"before,prompt,after\n{smaller}\n")
    assert main(["judge", str(table), f"output={out}"]) == 0
    [first] = json.loads((out / "results.json").read_text())["edits"]
    same = "same.before.png,Close the door.,same.after.png"
    table.write_text(f"before,prompt,after\n{same}\n{smaller}\n")
    assert main(["judge", str(table), f"output={out}"]) == 0
    above, below = json.loads((out / "results.json").read_text())["edits"]
    assert (above["psnr"], below["psnr"]) == (None, first["psnr"])
    assert len((out / "grades.jsonl").read_text().splitlines()) == 2, "what was known is kept"


def test_another_seed_is_another_run(
    edits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["judge", str(edits), f"output={tmp_path / 'out'}"]
    assert main(command) == 0
    assert main([*command, "seed=1"]) == 2
    assert "was made with seed=0, not 1" in capsys.readouterr().err


def test_what_cannot_be_had_is_one_sentence(
    edits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for settings, why in (
        (["lpips=none.pth"], "no weights at none.pth; LPIPS needs torchvision's AlexNet: download"),
        ([f"clip={tmp_path / 'none'}"], "there is no model folder"),
        (ASKED[:1], "needs judge.model"),
    ):
        assert main(["judge", str(edits), f"output={tmp_path / 'out'}", *settings]) == 2
        assert why in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
