import json
import pickle
from pathlib import Path

import pytest

from chronosim.adapters.policies.random import RandomPolicy
from chronosim.cli import main
from chronosim.commands import evaluate
from chronosim.commands.settings import compose_config, make_part
from chronosim.evaluation import Region
from chronosim.frames import read_frame
from chronosim.scenarios.road import DASHBOARD_ROW

SMALL = ["windows=2", "others=1", "first_seed=8000000", "rollouts=2", "rollout_steps=2"]


def test_copying_scores_as_copy_last_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    # A trajectory as long as the simulator's, so that the frames on the way are judged, too.
    model = ["model=echo", "model.time=2", "simulator.stride=9", "workers=1"]
    assert main(["evaluate", *model, *SMALL, f"output={out}"]) == 0
    report = json.loads((out / "results.json").read_text())
    assert report["scores"]["model"] == report["scores"]["copy-last-frame"]
    assert set(report["scores"]) == {"model", "copy-last-frame"}, "an echo has no autoencoder"
    assert len(report["scores"]["model"]["between"]) == 1
    assert report["scores"]["model"]["without"] is not None
    assert report["drift"]["model"] == report["drift"]["first_frame"]
    assert len(report["drift"]["mean_frame"]) == 2
    assert report["settings"]["first_seed"] == 8000000
    assert report["model"]["name"] == "echo"
    assert report["machine"]["cpus"] >= 1
    assert report["seconds"] > 0
    assert read_frame(out / "moments.png").shape == (2 * 2 * 98, 4 * 2 * 98, 3)
    assert (out / "rollouts.png").is_file()
    printed = capsys.readouterr().out
    assert (out / "results.md").read_text().strip() in printed
    assert "copy-last-frame, no dashboard" in printed
    assert "guessing follows 50%" in printed


def test_the_second_world_is_measured_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert (
        main(["evaluate", "simulator=pusht", "model=echo", "workers=1", *SMALL, f"output={out}"])
        == 0
    )
    report = json.loads((out / "results.json").read_text())
    assert report["source"] == "gym_pusht/PushT-v0"
    assert report["left_out"] is None
    assert report["settings"]["alternatives"]["_target_"].endswith("AnyPush")
    printed = capsys.readouterr().out
    assert "dashboard" not in printed
    assert "another length than the simulator's: only the outcomes were judged" in printed


def test_what_judges_a_world_comes_with_it(tmp_path: Path) -> None:
    carracing, pusht = (
        compose_config("evaluate", []),
        compose_config("evaluate", ["simulator=pusht"]),
    )
    assert make_part(carracing, "left_out") == Region("dashboard", DASHBOARD_ROW)
    assert make_part(pusht, "left_out") is None
    assert compose_config("evaluate", ["left_out=null"]).left_out is None
    (tmp_path / "simulator").mkdir()
    (tmp_path / "simulator" / "mine.yaml").write_text("_target_: my.Simulator\n")
    mine = compose_config("evaluate", ["simulator=mine"], tmp_path)
    assert mine.alternatives is None, "a world of one's own needs only its simulator"


@pytest.mark.parametrize("simulator", ["carracing", "pusht"])
def test_other_processes_can_make_every_part(simulator: str) -> None:
    config = compose_config("evaluate", [f"simulator={simulator}"])
    reference = pickle.loads(pickle.dumps(evaluate._reference(config)))
    assert reference.policy(5).seed == reference.alternatives(5).seed == 5
    assert reference.simulator().seconds_per_step == reference.prompter.seconds_per_step


def test_a_world_without_alternatives_of_its_own_draws_from_all_actions() -> None:
    config = compose_config("evaluate", ["alternatives=null"])
    alternatives = evaluate._reference(config).alternatives(5)
    assert isinstance(alternatives, RandomPolicy)
    assert alternatives.seed == 5


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("windows=1", "windows must be a whole number of at least 2"),
        ("rollouts=1", "rollouts must be a whole number of at least 2"),
        ("apart=far", "apart must be a number of grey levels, 0 or more, not 'far'"),
        ("apart=-1", "apart must be a number of grey levels, 0 or more, not -1"),
        ("simulator.hold=36", "add prompter.seconds_per_step=0.72"),
    ],
)
def test_settings_that_cannot_work_leave_nothing(
    setting: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "model=echo", setting, f"output={tmp_path / 'out'}"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
