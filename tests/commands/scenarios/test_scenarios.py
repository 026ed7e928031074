"""chronosim scenarios ls, show and check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.frames import write_frame
from chronosim.settings import parts as config

GOOD = """\
# Mine.
defaults:
  - /prompter@_global_.prompter: driving
  - /policy@_global_.policy: straight
  - _self_

_target_: chronosim.scenarios.Scene
frame: carracing
goal: {_target_: chronosim.scenarios.goals.OnRoad}
"""
BAD = """\
# Broken.
defaults:
  - /prompter@_global_.prompter: driving
  - /policy@_global_.policy: straight
_target_: chronosim.scenarios.Scene
gaol: {_target_: chronosim.scenarios.goals.OnRoad}
failure: {_target_: chronosim.scenarios.goals.road.RoadsLost}
mirrored: "84"
between: {speed: fast}
where: {_target_: chronosim.scenarios.goals.AllOf, criteria: [{_target_: nowhere.Thing}]}
"""
WORLD = """\
# @package _global_
# A world.
scenario:
  _target_: chronosim.scenarios.Scene
  frame: carracing
  horizon: 7
prompter:
  _target_: chronosim.prompters.Events
  prompter: driving
  events: {rain: {step: 2, text: It rains.}}
policy:
  _target_: chronosim.policies.Constant
  action: [0.0, 0.1, 0.0]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["scenarios", *words])
    caught = capsys.readouterr()
    return status, caught.out + caught.err


def test_ls_has_a_line_for_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.yaml").write_text(GOOD)
    status, out = run(capsys, "ls", str(here))
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert status == 0
    assert set(config.names("scenario")) <= set(lines)
    assert lines["mine"].endswith("its own frames  Mine.")
    assert " yours " in lines["street-sedan"]
    assert " its own frames " in lines["carracing-slippery"]
    assert run(capsys, "ls", str(here / "none"))[0] == 2


@pytest.mark.parametrize("name", config.names("scenario"))
def test_every_scenario_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = run(capsys, "show", name)
    assert status == 0
    assert f"chronosim rollout scenario={name}" in out
    assert "_target_" not in out


def test_show_explains(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "show", "carracing-slippery")[1]
    assert "from step 3 to 4, and every 8 steps after it" in out
    assert "40 steps of 0.36 s" in out
    assert "all wheels are on the road and the car moves" in out
    assert "The car goes from" in out
    out = run(capsys, "show", "carracing-curve")[1]
    assert "only where the road ahead turns away by 20 to 90 degrees" in out
    write_frame(here / "photo.png", np.full((96, 96, 3), 90, np.uint8))
    out = run(capsys, "show", "street-pedestrian")[1]
    assert "this scenario begins with a frame of yours" in out
    assert "scenario.frame=photo.jpg model=chronoedit-14b" in out
    out = run(capsys, "show", "street-pedestrian", "frame=photo.png")[1]
    assert "photo.png" in out
    assert "speed 8" in out


def test_show_draws_where_there_are_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chronosim.commands.scenarios.show.has_all_colours", lambda: True)
    assert "▀" in run(capsys, "show", "carracing-straight")[1]


@pytest.mark.parametrize(("name", "text"), [("mine", GOOD), ("world", WORLD)])
@pytest.mark.parametrize("folder", [".", "conf/scenario"])
def test_a_file_in_order(
    name: str, text: str, folder: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(folder) / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert run(capsys, "check", str(path)) == (0, f"{path} is in order\n")
    status, out = run(capsys, "show", str(path))
    assert status == 0
    # Elsewhere than in a folder called scenario no --config-dir finds it.
    command = f"chronosim rollout --config-dir conf scenario={name}"
    assert (command in out) == ("chronosim rollout" in out) == (folder == "conf/scenario")


def test_show_names_the_config_folder_from_within_it(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "scenario").mkdir()
    (here / "scenario" / "mine.yaml").write_text(GOOD)
    monkeypatch.chdir(here / "scenario")
    assert f"--config-dir {here} scenario=mine" in run(capsys, "show", "mine.yaml")[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            GOOD.replace("scenarios.Scene", "scenarios.Nowhere"),
            "there is no chronosim.scenarios.Nowhere",
        ),
        (GOOD.replace("_target_: chronosim.scenarios.S", "x: S"), "scenario must name its class"),
        (WORLD.replace("policies.Con", "nowhere.Con"), "there is no chronosim.nowhere"),
        ("# @package _global_\nscenario: carracing\n", "scenario must name its class"),
    ],
)
def test_show_says_what_names_no_class(
    text: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bad.yaml").write_text(text)
    status = main(["scenarios", "show", "bad.yaml"])
    [line] = capsys.readouterr().err.splitlines()
    assert status == 2
    assert said in line


def test_every_problem_is_named_with_its_key(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bad.yaml").write_text(BAD)
    status, out = run(capsys, "check", "bad.yaml")
    assert status == 1
    said = dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)
    assert "(is goal meant?)" in said["scenario.gaol"]
    assert "RoadsLost" in said["scenario.failure._target_"]
    assert said["scenario.mirrored"] == "it must be a whole number, not '84'"
    assert said["scenario.between"] == "it must be named lists of numbers, not {'speed': 'fast'}"
    assert "nowhere" in said["scenario.where.criteria[0]._target_"]
    assert said["scenario.frame"].startswith("it is missing")
    assert len(said) == 6


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (GOOD.replace("frame: carracing", "frame: nowhere.png"), "scenario.frame", "nowhere.png"),
        (GOOD.replace("frame: carracing", "frame: null"), "scenario.frame", "a frame of yours"),
        (GOOD + "horizon: 0\n", "scenario", "horizon must be"),
        (GOOD.replace("driving", "flying"), "defaults", "there is no prompter 'flying'"),
        (GOOD.replace("driving", "pushing"), "scenario.values", "no initial value 'speed'"),
        (GOOD.replace("_target_: chronosim.scenarios.Scene\n", ""), "_target_", "missing"),
        (WORLD.replace("# @package _global_\n", ""), "line 1", "# @package _global_"),
        (WORLD.replace("step: 2", "stepp: 2"), "prompter", "'rain' has no 'stepp'"),
        (WORLD.replace("[0.0, 0.1, 0.0]", "[0.0]"), "policy", "shape"),
        (WORLD.partition("policy:")[0], "policy", "nothing goes with the scenario"),
    ],
)
def test_what_only_shows_in_use(
    text: str, key: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.yaml").write_text(text)
    status, out = run(capsys, "check", "mine.yaml")
    assert status == 1
    first, _, rest = out.splitlines()[0].partition(": ")
    assert first == key
    assert said in rest


def test_the_goals_frame_has_a_key_of_its_own(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frame(here / "photo.png", np.full((96, 96, 3), 90, np.uint8))
    goal = "goal: {_target_: chronosim.scenarios.goals.LikeFrame, frame: no.png, near: 1, far: 9}\n"
    text = GOOD.partition("frame:")[0] + f"frame: photo.png\n{goal}"
    (here / "mine.yaml").write_text(text)
    assert run(capsys, "check", "mine.yaml")[1].startswith("scenario.goal.frame: there is no image")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "mine.yaml cannot be read: while parsing"),
        ("- a", "must hold named settings"),
        ("", "must hold named settings"),
    ],
)
def test_what_is_no_scenario_at_all(
    text: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.yaml").write_text(text)
    status, out = run(capsys, "check", "mine.yaml")
    assert status == 2
    assert said in out
    assert (
        "there is no scenario 'carraing'; there are: carracing"
        in run(capsys, "check", "carraing")[1]
    )
    assert "none.yaml cannot be read" in run(capsys, "show", "none.yaml")[1]


CODE = """\
# @package _global_
# A scenario of anyone's.
scenario: {_target_: code_of_anyone.Mine}
prompter: {_target_: chronosim.prompters.Driving}
policy: {_target_: chronosim.policies.Constant, action: [0.0, 0.0, 0.0]}
"""


@pytest.mark.parametrize("command", ["check", "show"])
def test_code_of_a_file_runs_with_trust_alone_and_is_said_first(
    command: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "code_of_anyone.py").write_text("raise SystemExit('it ran')\n")
    (here / "mine.yaml").write_text(CODE)
    for given in ([], ["trust=false"]):
        assert main(["scenarios", command, "mine.yaml", *given]) == 2
        err = capsys.readouterr().err
        assert "mine.yaml does more than chronosim's own parts" in err
        assert "scenario: calls 'code_of_anyone.Mine'" in err
    with pytest.raises(SystemExit, match="it ran"):
        main(["scenarios", command, "mine.yaml", "trust=true"])
    assert "scenario: calls 'code_of_anyone.Mine'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("_target_: chronosim.scenarios.Scene\na: &x {b: *x}\n", "circle"),
        ("_target_: chronosim.scenarios.Scene\na: " + "[" * 3000, "too deep"),
        ("_target_: chronosim.scenarios.Scene\na: [" + "x, " * 30_000 + "]", "too much"),
    ],
)
def test_a_file_that_would_never_end_is_refused(
    text: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.yaml").write_text(text)
    for given in (["check", "mine.yaml"], ["show", "mine.yaml"], ["ls", "."]):
        assert main(["scenarios", *given]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "# @package _global_\ndefaults: [mine]\nscenario: {_target_: x}\n",
        "defaults: 3\n_target_: chronosim.scenarios.Scene\nframe: carracing\n",
        "defaults: [{a: b, c: d}]\n_target_: chronosim.scenarios.Scene\nframe: carracing\n",
        "_target_: chronosim.scenarios.Scene\nframe: ${scenario.frame}\n",
        "_target_: chronosim.scenarios.Scene\nframe: ${nosuch:1}\n",
        "_target_: chronosim.scenarios.Scene\nframe: ${oc.env:HOME}\n",
        "_target_: [a]\n",
        "_target_: null\n",
        "_target_: chronosim.scenarios.Scene\nframe: carracing\n_partial_: true\n",
    ],
)
def test_whatever_a_file_says_is_answered_in_a_sentence(
    text: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.yaml").write_text(text)
    assert main(["scenarios", "check", "mine.yaml"]) in (1, 2)
    assert main(["scenarios", "show", "mine.yaml"]) == 2
    assert len(capsys.readouterr().err.splitlines()) in (1, 2)
