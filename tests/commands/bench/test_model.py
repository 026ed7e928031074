import json
from pathlib import Path

import pytest

from chronosim.cli import main

SMALL = ["denoising_steps=1", "predictions=1", "num_envs=[1]", "output=out"]


def test_the_figures_are_printed_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("Box2D")
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "model", *SMALL, "stock=false"]) == 0
    report = json.loads(Path("out/figures.json").read_text())
    names = [row["name"] for row in report["rows"]]
    assert names[0] == "outcome: chronosim"
    assert not any("stock" in name for name in names)
    assert report["truth"]
    assert all(row["psnr"] > 15 for row in report["rows"])
    assert report["matmul_rate"] > 0
    assert report["machine"]["torch_threads"]
    out = capsys.readouterr().out
    assert all(name in out for name in names)
    assert Path("out/figures.md").read_text().startswith("|  | frames |")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("num_envs=[0]", "num_envs must be a list of whole numbers from 1 up"),
        ("num_envs=[1,9]", "predictions must be at least the largest num_envs (9), not 1"),
        ("shape=big", "shape must be true14b or null, not 'big'"),
        ("shape=true14b +model.device=cpu", "shape=true14b needs a GPU with about"),
        ("model=echo", "bench model times what chronosim.models.loading.load loads, not"),
        ("+model.storage=float8", "the stock pipeline cannot share weights with storage=float8"),
        ("frame_size=[3]", "frame_size must be [height, width] in pixels, not [3]"),
        ("reasoning_steps=9", "reasoning_steps must lie between 0 and denoising_steps"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    given: str,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "model", *SMALL, *given.split()]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert not Path("out").exists()
