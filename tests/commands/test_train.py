from pathlib import Path

import pytest

from chronosim.cli import main


def test_a_missing_data_set_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", f"dataset={tmp_path / 'none'}", f"output={tmp_path / 'out'}"]
    assert main(arguments) == 2
    assert f"there is no data set at {tmp_path / 'none'}" in capsys.readouterr().err


def test_a_schedule_that_cannot_be_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "world.steps=0", f"output={tmp_path / 'out'}"]) == 2
    assert "world cannot be trained so" in capsys.readouterr().err
