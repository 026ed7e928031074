from pathlib import Path

import pytest

from chronosim.cli.main import main
from chronosim.cli.output import alone


def test_a_missing_data_set_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", f"dataset={tmp_path / 'none'}", f"output={tmp_path / 'out'}"]
    assert main(arguments) == 2
    assert f"there is no data set at {tmp_path / 'none'}" in capsys.readouterr().err


def test_a_schedule_that_cannot_be_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "world.steps=-1", f"output={tmp_path / 'out'}"]) == 2
    assert "world.steps must be a whole number of at least 0, not -1" in capsys.readouterr().err


def test_a_training_goes_on_by_the_same_settings_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", f"dataset={tmp_path / 'none'}", f"output={tmp_path / 'out'}"]
    assert main(arguments) == 2
    kept = (tmp_path / "out" / "config.yaml").read_bytes()
    (tmp_path / "out" / "stills").mkdir()
    (tmp_path / "out" / "stills" / "checkpoint.pt").touch()
    for other in ("dataset=other", "clips.steps=900"):
        capsys.readouterr()
        assert main([*arguments, other]) == 2
        said = capsys.readouterr().err
        assert "was made with " + other.partition("=")[0] in said, said
        assert (tmp_path / "out" / "config.yaml").read_bytes() == kept
    assert main([*arguments, "world.steps=6000", "threads=1"]) == 2
    assert "there is no data set" in capsys.readouterr().err, "to train on is no other training"


def test_a_folder_in_which_nothing_was_learned_yet_may_change_its_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("none", "other"):
        assert main(["train", f"dataset={tmp_path / name}", f"output={tmp_path / 'out'}"]) == 2
        assert f"there is no data set at {tmp_path / name}" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "-2", "1.5", "many", "null"])
def test_a_batch_that_cannot_be_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    assert main(["train", f"clips.batch={size}", f"output={tmp_path / 'out'}"]) == 2
    said = "clips.batch must be a whole number of at least 1, not"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", ["1.5", "-0.1", "all", "null"])
def test_a_share_of_ways_that_cannot_be_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: str
) -> None:
    assert main(["train", f"ways={share}", f"output={tmp_path / 'out'}"]) == 2
    assert "ways must be a number from 0 to 1, not" in capsys.readouterr().err


def test_two_trainings_in_one_folder_never_meet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with alone(tmp_path / "out", "train"):
        assert main(["train", f"dataset={tmp_path}", f"output={tmp_path / 'out'}"]) == 2
    assert "another chronosim train is writing to" in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.json"))
