import json
from pathlib import Path

import pytest

from chronosim.cli.main import main


def test_the_figures_are_printed_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").mkdir()
    settings = ["steps=9", "windows=2", "folder=disk", "output=out"]
    assert main(["bench", "episodes", *settings]) == 0
    report = json.loads(Path("out/figures.json").read_text())
    assert report["machine"]["python"]
    figures = report["figures"]
    assert {figure["store"] for figure in figures} >= {"live", "compacted", "HDF5"}
    assert all(figure["value"] > 0 for figure in figures)
    out = capsys.readouterr().out
    assert all(figure["measure"] in out for figure in figures)
    assert not list((tmp_path / "disk").iterdir()), "what was written for measuring is gone"


def test_a_disk_that_is_not_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "episodes", "folder=nowhere"]) == 2
    assert "there is no folder nowhere" in capsys.readouterr().err
    assert not Path("runs").exists()
