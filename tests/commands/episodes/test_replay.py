import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.episodes import EpisodeReader, EpisodeWriter, list_episodes
from chronosim.types import Step


@pytest.fixture
def rolled(tmp_path: Path) -> Path:
    """Two episodes of a rollout, as the command leaves them."""
    settings = ["model=echo", "model.time=2", "policy=driver-mix", "horizon=3", "pictures=0"]
    assert main(["rollout", *settings, "episodes=2", "num_envs=2", "output=out"]) == 0
    return tmp_path / "out" / "episodes"


def rewrite(path: Path, about: dict[str, Any] | None = None, reward: float = 0.0) -> None:
    """Writes an episode anew with another log, or another reward at its second step."""
    reader = EpisodeReader(path)
    steps = list(reader)
    writer = EpisodeWriter(
        path.with_name("new"), reader.observation(0), {**reader.about, **(about or {})}
    )
    for index, step in enumerate(steps):
        values = {name: getattr(step, name) for name in Step.__slots__}
        writer.append(Step(**{**values, "reward": step.reward + reward * (index == 1)}))
    writer.close()
    shutil.rmtree(path)
    path.with_name("new").rename(path)


def test_what_was_logged_comes_out_again(rolled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "replay", "out"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-3:] == [
        "0000000: 3 steps alike",
        "0000001: 3 steps alike",
        "2 of 2 episodes came out as they were logged",
    ]
    assert main(["episodes", "replay", str(rolled / "0000001"), "from_log=true"]) == 0
    assert "1 of 1" in capsys.readouterr().out


def test_the_first_difference_is_told(rolled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(rolled / "0000001", reward=0.25)
    assert main(["episodes", "replay", str(rolled)]) == 1
    out = capsys.readouterr().out
    assert "0000001: the reward of step 1 differs by 0.25" in out
    assert "1 of 2 episodes came out as they were logged" in out
    assert main(["episodes", "replay", str(rolled), "tolerance=0.5"]) == 0


def test_another_model_is_named(rolled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = rolled / "0000000"
    about = json.loads(json.dumps(dict(EpisodeReader(path).about)))
    about["config"]["model"]["time"] = 1
    rewrite(path, about)
    assert main(["episodes", "replay", str(path)]) == 1
    assert "255 grey levels" in (out := capsys.readouterr().out)
    assert "(the model's time differ from the log)" in out


@pytest.mark.parametrize(
    ("part", "settings", "said"),
    [
        ("model", {"_target_": "os.system", "command": "touch hacked"}, "'os.system'"),
        (
            "scenario",
            {"_target_": "chronosim.settings.parts.load", "group": "model"},
            "parts.load'",
        ),
        ("model", {"_target_": "chronosim.testing.EchoModel", "x": "${oc.env:HOME}"}, "${oc.env"),
        ("model", {"_target_": "chronosim.testing.EchoModel", "x": ["http://a.b"]}, "'http://"),
        ("model", {"a": {"_target_": "builtins.eval"}}, "'builtins.eval'"),
    ],
)
def test_a_log_cannot_have_anything_called(
    part: str,
    settings: dict[str, Any],
    said: str,
    rolled: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = rolled / "0000000"
    about = json.loads(json.dumps(dict(EpisodeReader(path).about)))
    about["config"][part] = settings
    rewrite(path, about)
    assert main(["episodes", "replay", str(path)]) == 2
    assert said in (err := capsys.readouterr().err)
    assert "give trust=true if you trust it" in err
    assert not Path("hacked").exists()


def test_an_episode_that_does_not_say_how_it_was_made(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["episodes", "replay", str(dataset)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert sum("does not say of what settings it was made" in line for line in out) == 4
    assert out[-1] == "0 of 4 episodes came out as they were logged"
    assert main(["episodes", "replay", str(dataset), "tolerance=-1"]) == 2
    assert "tolerance must be a number of at least 0" in capsys.readouterr().err


def test_the_logged_settings_are_those_of_the_episode(rolled: Path) -> None:
    first, second = (EpisodeReader(path).about for path in list_episodes(rolled))
    assert first["config"]["seed"] == first["config"]["policy"]["seed"] == 0
    assert second["config"]["seed"] == second["config"]["policy"]["seed"] == 1
    assert "num_envs" not in first["config"]
    assert np.isclose(first["seconds_per_step"], 0.36)


def test_a_damaged_one_and_one_without_steps_do_not_stop_the_others(
    rolled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = EpisodeReader(rolled / "0000001")
    EpisodeWriter(rolled / "0000002", whole.observation(0), whole.about).close()
    assert main(["episodes", "replay", "out"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-2:] == [
        "0000002: no steps to compare",
        "2 of 3 episodes came out as they were logged; 1 had no steps to compare",
    ]
    next((rolled / "0000000").glob("compact-*/frames/c*")).write_bytes(b"")
    assert main(["episodes", "replay", "out"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert sum("0000000" in line and "frames" in line for line in out) == 1
    assert "0000001: 3 steps alike" in out
    assert out[-1].startswith("1 of 3 episodes came out")
