import json
import re
from pathlib import Path

import pytest

from chronosim.cli.main import main
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.architecture import CHRONOEDIT_14B, estimate_cost

SMALL = ["denoising_steps=1", "predictions=1", "num_envs=[1]", "output=out"]


@pytest.mark.slow
def test_the_figures_are_printed_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("Box2D")
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "model", *SMALL, "seed=3", "model.fused=true"]) == 0
    report = json.loads(Path("out/figures.json").read_text())
    rows = {row["name"]: row for row in report["rows"]}
    assert report["truth"]
    assert all(row["psnr"] > 15 for row in rows.values())
    assert report["matmul_rate"] > 0
    assert report["machine"]["torch_threads"]
    # The engine folds the padding of the text away, the stock pipeline computes all 512 tokens.
    ours, theirs = rows["outcome: chronosim"], rows["outcome: stock"]
    assert 0 < ours["flops"] < theirs["flops"] / 1.5
    for row in rows.values():
        assert 0 < row["loop_p50"] < row["p50"]
        share = row["flops"] / (row["loop_p50"] * report["matmul_rate"])
        assert row["share_of_matmul_rate"] == pytest.approx(share)
    text = Path("out/figures.md").read_text()
    assert all(name in text for name in rows)
    assert text in capsys.readouterr().out
    for said in (
        "Timed: nano at 96 x 96, 1 denoising step, guidance 1, flow shift 3, unipc, float32, "
        "1 row at once, fused=True (ours alone), 1 round after a warm-up, seed 3.",
        f"Python {report['machine']['python']}, chronosim {report['versions']['chronosim']}, torch",
        "the share of the matmul rate there are the transformer's alone",
        "Memory is that of a call for one environment",
    ):
        assert said in text


@pytest.mark.slow
def test_without_the_stock_pipeline_nothing_speaks_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "model", *SMALL, "stock=false", "frame_size=[96,96]"]) == 0
    assert "stock" not in capsys.readouterr().out
    text = Path("out/figures.md").read_text()
    assert "outcome: chronosim" in text
    assert not re.search("stock|PSNR|truth", text)
    [first, *_] = json.loads(Path("out/figures.json").read_text())["rows"]
    assert not {"times_stock", "from_stock", "psnr", "psnr_between"} & set(first)


def test_presets_are_timed_with_each_way_to_more_speed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU a toy of the 14B's shape; its own FLOPs."""
    monkeypatch.chdir(tmp_path)
    given = ["shape=true14b", "model.device=cpu", "denoising_steps=3", "frame_size=[32,32]"]
    assert main(["bench", "model", *given, "output=out"]) == 0
    said = capsys.readouterr().out
    report = json.loads(Path("out/figures.json").read_text())
    rows = {(row["preset"], row["with"]): row for row in report["rows"]}
    base = rows["chronoedit-14b", "as it is"]
    assert (base["psnr"], base["levels"], base["blocks"], base["memory"]) == (None, 0, 1, None)
    assert base["flops"] == estimate_cost(CHRONOEDIT_14B, Sampling(3), (32, 32)).prediction
    cached = rows["chronoedit-14b", "step_cache=0.2"]
    assert 0 < cached["blocks"] < 1
    assert cached["flops"] == base["flops"] * cached["blocks"]
    assert cached["levels"] > 0
    together = rows["chronoedit-14b", "batched_guidance=true"]
    assert together["blocks"] == 1
    assert together["levels"] <= 1
    assert ("chronoedit-14b-think", "step_cache=0.1") in rows
    assert ("chronoedit-14b-turbo", "batched_guidance=true") not in rows
    for row in rows.values():
        assert f"| {row['preset']} | {row['with']} |" in said
    assert "There is no GPU here: seconds and errors are the toy's" in said


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("num_envs=[0]", "num_envs must be a list of whole numbers from 1 up"),
        ("num_envs=[1,9]", "predictions must be at least the largest num_envs (9), not 1"),
        ("shape=big", "shape must be true14b or null, not 'big'"),
        ("ways=true model.fused=true", "tried one by one: drop model.fused, or give ways=false"),
        (
            "shape=true14b model=chronoedit-14b model.tiling=true model.offload=model",
            "shape=true14b has no use for model.offload, model.tiling: drop it",
        ),
        ("shape=true14b +model.storage=float8", "shape=true14b has no use for model.storage"),
        ("shape=true14b +model.loras=[a.safetensors]", "has no use for model.loras"),
        (
            "shape=true14b model=echo",
            "bench model times a ChronoEdit",
        ),
        ("model=echo", "bench model times a ChronoEdit, not"),
        ("+model.storage=float8", "the stock pipeline cannot share weights with storage=float8"),
        ("frame_size=[3]", "frame_size must be [height, width] in pixels, or null, not [3]"),
        (
            "frame_size=[96.5,96]",
            "frame_size must be [height, width] in pixels, or null, not [96.5, 96]",
        ),
        ("frame_size=[64,64]", "nano works at 96 x 96 (height x width), not 64 x 64"),
        ("frame_size=[96,96] text=xylophone", "this model never learned 'xylophone'"),
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
