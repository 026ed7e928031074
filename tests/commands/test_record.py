import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.episodes import EpisodeReader, list_episodes


def record(output: Path, *settings: str) -> int:
    small = ["steps=2", "workers=1", "policy=straight"]
    return main(["record", f"output={output}", *small, *settings])


def test_it_records_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "data"
    assert record(output, "episodes=1", "seed=40") == 0
    assert "18 frames were recorded" in capsys.readouterr().out
    [first] = list_episodes(output)
    written = first.stat().st_mtime_ns
    for draft in (".0000041.a.draft", ".0000007.c.draft"):
        (output / draft).mkdir()
        os.utime(output / draft, (0, 0))
    assert record(output, "episodes=2", "seed=40") == 0
    assert "18 frames were recorded" in capsys.readouterr().out, "the first episode was kept"
    assert [path.name for path in list_episodes(output)] == ["0000040", "0000041"]
    assert first.stat().st_mtime_ns == written
    assert [path.name for path in output.glob(".0*")] == [".0000007.c.draft"], "another run's"
    reader = EpisodeReader(first)
    assert (reader.steps, reader.finished, len(reader.trajectory(0))) == (2, True, 9)
    assert np.abs(np.diff(reader.frames.astype(int), axis=0)).max() > 0


def test_another_simulator_brings_its_prompter_and_policy(tmp_path: Path) -> None:
    output = tmp_path / "data"
    settings = ["simulator=pusht", "episodes=1", "steps=2", "workers=1", "seed=3"]
    assert main(["record", f"output={output}", *settings]) == 0
    reader = EpisodeReader(list_episodes(output)[0])
    assert reader.about["source"] == "gym_pusht/PushT-v0"
    assert reader.about["policy"] == "PusherMix()"
    assert str(reader.column("text")[0]).startswith("The pusher moves")


def test_a_policy_with_a_seed_of_its_own_goes_on_too(tmp_path: Path) -> None:
    output = tmp_path / "data"
    assert record(output, "episodes=1", "seed=3", "policy=driver-mix") == 0
    assert record(output, "episodes=1", "seed=9", "policy=driver-mix") == 0
    about = [EpisodeReader(path).about["policy"] for path in list_episodes(output)]
    assert about == ["DriverMix()", "DriverMix()"]


def test_one_data_set_has_one_way_of_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "data"
    assert record(output, "episodes=1") == 0
    capsys.readouterr()
    assert record(output, "episodes=1", "simulator.stride=9") == 2
    assert "was made with simulator.stride=2, not 9" in capsys.readouterr().err
    (output / "config.yaml").unlink()
    assert record(output, "episodes=1") == 2
    assert "holds something already, and nothing is overwritten" in capsys.readouterr().err


def test_a_file_is_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_text("mine")
    assert record(tmp_path / "data", "episodes=1") == 2
    assert "data holds something already, and nothing is overwritten" in capsys.readouterr().err
    assert (tmp_path / "data").read_text() == "mine"


def test_an_episode_cut_off_and_repaired_is_neither_done_nor_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, cut = tmp_path / "data", tmp_path / "data" / "0000000"
    assert record(output, "episodes=1") == 0
    attributes = json.loads((cut / "zarr.json").read_text())
    attributes["attributes"]["about"]["repaired"] = {"episode": "0000000", "step": 0}
    (cut / "zarr.json").write_text(json.dumps(attributes))
    assert record(output, "episodes=1") == 2
    assert "0000000 was broken off or damaged, and then repaired" in capsys.readouterr().err
    assert EpisodeReader(cut).steps == 2, "it is not ours to remove"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["simulator.hold=9", "simulator.stride=3"],
            "simulator.hold=9 lasts 0.18 s, but the prompter reckons with 0.36 s",
        ),
        (["simulator.stride=5"], "stride 5 must divide hold 18"),
        (["workers=0"], "workers must be a whole number of at least 1, not 0"),
    ],
)
def test_settings_that_cannot_work_leave_nothing(
    settings: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "data"
    assert main(["record", f"output={output}", "episodes=1", *settings]) == 2
    assert said in capsys.readouterr().err
    assert not output.exists()


def test_a_missing_simulator_names_its_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "Box2D", None)
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, name)
    assert record(tmp_path / "data", "episodes=1") == 2
    assert "pip install 'chronosim[sim]'" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
