import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from chronosim.cli.main import main
from chronosim.commands.evaluate import asked_for, make_judging, make_reference
from chronosim.episodes import EpisodeReader, EpisodeWriter, Step, list_episodes
from chronosim.errors import InvalidConfig
from chronosim.evaluation import Region
from chronosim.evaluation.run import REPORTED
from chronosim.policies.basic import Random
from chronosim.scenarios.road import DASHBOARD_ROW
from chronosim.settings.commands import Evaluate
from chronosim.settings.compose import compose_settings
from chronosim.testing import EchoModel
from chronosim.types import Observation, Prediction

SMALL = ["windows=2", "others=1", "first_seed=8000000", "rollouts=2", "rollout_steps=2"]
PARTS = "parts=[defects,fidelity,outcomes]"


def settings(command: str, given: list[str], extra: Path | None = None) -> Evaluate:
    read = compose_settings(command, given, extra)
    assert isinstance(read, Evaluate)
    return read


def test_missing_plots_are_named_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["evaluate", "model=echo", f"output={tmp_path / 'out'}"]) == 2
    assert "pip install 'chronosim[plots]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_copying_scores_as_copy_last_frame_and_is_called_still(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    # A trajectory as long as the simulator's, so that the frames on the way are judged, too.
    model = ["model=echo", "model.time=2", "simulator.stride=9", "workers=1"]
    command = ["evaluate", *model, *SMALL, PARTS, f"output={out}"]
    assert main(command) == 0
    report = json.loads((out / "results.json").read_text())
    scores = report["outcomes"]["scores"]
    assert scores["model"] == scores["copy-last-frame"]
    assert set(scores) == {"model", "copy-last-frame"}, "an echo has no autoencoder"
    assert len(scores["model"]["between"]) == 1
    assert scores["model"]["without"] is not None
    assert report["outcomes"]["seconds"] > 0
    assert {"the picture stands still", "actions are ignored"} <= set(report["warnings"])
    assert report["settings"]["first_seed"] == 8000000
    assert report["model"]["name"] == "echo"
    assert report["machine"]["cpus"] >= 1
    printed = capsys.readouterr().out
    assert (out / "results.md").read_text().strip() in printed
    assert "copy-last-frame, no dashboard" in printed
    assert "guessing follows 50%" in printed
    assert "<li>the picture stands still</li>" in (out / "report.html").read_text()
    for name, imagined in (("true", False), ("imagined", True)):
        episodes = list_episodes(out / "episodes" / name)
        assert [EpisodeReader(path).about["synthetic"] for path in episodes] == [imagined] * 2

    def refuse(*_: object) -> None:
        raise AssertionError("what was finished is computed again")

    monkeypatch.setattr(EchoModel, "predict", refuse)
    assert main([*command[:-2], "parts=[outcomes,fidelity]", command[-1]]) == 0, "it goes on"
    again = json.loads((out / "results.json").read_text())
    assert again["outcomes"] == report["outcomes"]
    assert again["defects"] == report["defects"], "known, though not asked for again"
    assert main([*command, "seed=1"]) == 2
    assert "was made with seed=0, not 1" in capsys.readouterr().err
    (out / "model.json").write_text('{"name": "echo", "time": 3}')
    assert main(command) == 2
    assert "was made with other weights or settings of echo" in capsys.readouterr().err
    assert main([*command, "first_seed=8000001"]) == 2
    assert "was made with first_seed=8000000" in capsys.readouterr().err


def test_the_second_world_is_measured_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    model = ["simulator=pusht", "model=echo", "workers=1"]
    assert main(["evaluate", *model, *SMALL, "parts=outcomes", f"output={out}"]) == 0
    report = json.loads((out / "results.json").read_text())
    assert report["outcomes"]["setting"]["source"] == "gym_pusht/PushT-v0"
    assert report["outcomes"]["setting"]["left_out"] is None
    assert report["settings"]["alternatives"]["_target_"].endswith("AnyPush")
    printed = capsys.readouterr().out
    assert "dashboard" not in printed
    assert "another length than the recorded ones: only the outcomes were judged" in printed


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A bar that goes right when it is told so; two episodes of four steps."""
    for number in range(2):
        frames = np.zeros((5, 32, 32, 3), np.uint8)
        for step in range(5):
            frames[step, :, 4 * step + number : 4 * step + number + 4] = 200
        first = Observation(frames[0])
        with EpisodeWriter(tmp_path / "mine" / str(number), first, {"seed": number}) as writer:
            for step in range(4):
                after = Observation(frames[step + 1], step=step + 1)
                prediction = Prediction(frames[step + 1][None])
                last = step == 3
                writer.append(Step(first, "go", "go right", 0, prediction, after, 0.0, False, last))
    return tmp_path / "mine"


def test_recorded_episodes_need_no_simulator(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["evaluate", f"episodes={dataset}", "model=echo", "rollout_steps=4"]
    assert main([*command, f"output={out}"]) == 0
    report = json.loads((out / "results.json").read_text())
    assert {"outcomes", "fidelity", "following", "defects"} <= set(report)
    assert "ranking" not in report
    assert "8 moments, and 2 episodes of 4 actions" in report["tested"]
    assert str(dataset) in report["tested"]
    assert report["outcomes"]["setting"]["others"] == 0
    assert "Cannot be told" in report["following"]["verdict"], "all that was done was go right"
    assert "the picture stands still" in report["warnings"]
    assert main([*command, "parts=ranking"]) == 2
    assert "ranking needs a reference simulator" in capsys.readouterr().err


def test_what_judges_a_world_comes_with_it(tmp_path: Path) -> None:
    carracing, pusht = (
        settings("evaluate", []),
        settings("evaluate", ["simulator=pusht"]),
    )
    assert carracing.left_out is not None
    assert carracing.left_out.make() == Region("dashboard", DASHBOARD_ROW)
    assert pusht.left_out is None
    assert settings("evaluate", ["left_out=null"]).left_out is None
    (tmp_path / "simulator").mkdir()
    (tmp_path / "simulator" / "mine.yaml").write_text("_target_: my.Simulator\n")
    mine = settings("evaluate", ["simulator=mine"], tmp_path)
    assert mine.alternatives is None, "a world of one's own needs only its simulator"
    assert asked_for(mine) == ("outcomes", "fidelity", "defects")
    with pytest.raises(InvalidConfig, match="comes with a prompter and a policy"):
        make_reference(mine)


@pytest.mark.parametrize("simulator", ["carracing", "pusht"])
def test_a_world_of_ours_has_all_parts(simulator: str) -> None:
    config = settings("evaluate", [f"simulator={simulator}", "parts=all"])
    sections = asked_for(config)
    assert sections == REPORTED, "what moves the ranking follows from two of them"
    assert "moved" not in asked_for(settings("evaluate", ["parts=[ranking]"]))
    judging = make_judging(config, sections)
    assert judging.ranking is not None
    assert len(judging.ranking.contestants) >= 16
    assert len({contestant.make for contestant in judging.ranking.contestants}) >= 5
    idle: Any = judging.idle
    assert config.prompter is not None
    prompter = config.prompter.make()
    space = prompter.action_space
    frame = np.zeros((96, 96, 3), np.uint8)
    assert idle(Observation(frame, prompter.begin({}))) in space
    assert len(config.numbers) == space.shape[0]
    assert OmegaConf.to_container(config.composed, resolve=True)


@pytest.mark.parametrize("simulator", ["carracing", "pusht"])
def test_other_processes_can_make_every_part(simulator: str) -> None:
    config = settings("evaluate", [f"simulator={simulator}"])
    reference = pickle.loads(pickle.dumps(make_reference(config)))
    assert reference.policy(5).seed == reference.alternatives(5).seed == 5
    assert reference.simulator().seconds_per_step == reference.prompter.seconds_per_step


def test_a_world_without_alternatives_of_its_own_draws_from_all_actions() -> None:
    config = settings("evaluate", ["alternatives=null"])
    alternatives = make_reference(config).alternatives(5)
    assert isinstance(alternatives, Random)
    assert alternatives.seed == 5


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("windows=1", "windows must be a whole number of at least 2"),
        ("rollouts=1", "rollouts must be a whole number of at least 2"),
        ("apart=far", "apart must be a number of grey levels, 0 or more, not 'far'"),
        ("apart=-1", "apart must be a number of grey levels, 0 or more, not -1"),
        ("simulator.hold=36", "add prompter.seconds_per_step=0.72"),
        ("parts=beauty", "there is no part 'beauty'; there are: outcomes"),
        ("parts=[]", "parts must name some of outcomes"),
        ("parts=3", "parts must name some of outcomes"),
        ("episodes=nowhere", "there is no data set at nowhere"),
        ("fid=nowhere.pt", "nowhere.pt"),
    ],
)
def test_settings_that_cannot_work_leave_nothing(
    setting: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "model=echo", setting, f"output={tmp_path / 'out'}"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
