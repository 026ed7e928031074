from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from chronosim.cli.main import main
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.frames import read_frame
from chronosim.whatif import load_tree

SMALL = ["model.denoising_steps=1", "trajectories=false"]


def whatif(output: Path, *settings: str) -> int:
    return main(["whatif", f"output={output}", *settings])


def branches(output: Path) -> dict[str, dict[str, object]]:
    return {one["name"]: one for one in json.loads((output / "tree.json").read_text())["branches"]}


def test_four_futures_of_nano(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert whatif(out, *SMALL, "steps=2") == 0
    tree = load_tree(out / "episodes")
    assert [branch.name for branch in tree.branches] == ["straight", "left", "right", "brake"]
    assert np.allclose(tree["left"].actions, [[-0.25, 0.1, 0.0]] * 2)
    assert tree.predictions == 8
    printed = capsys.readouterr().out
    assert "8 predictions, 8 of them made now" in printed
    for name in ("config.yaml", "divergence.csv", "tree.json", "tree.mp4", "tree.png"):
        assert (out / name).is_file()
        assert name in printed
    assert read_frame(out / "tree.png").shape[1] > 3 * 192
    with av.open(out / "tree.mp4") as video:
        assert sum(1 for _ in video.decode(video=0)) == 3
    told = branches(out)
    assert {one["with"] for one in told.values()} == {None}
    with (out / "divergence.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 2
    left = next(row for row in rows if (row["branch"], row["other"]) == ("straight", "left"))
    assert float(left["psnr_db"]) == pytest.approx(
        20 * math.log10(255 / float(left["rms_grey_levels"]))
    )


def test_a_whole_run_is_only_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert whatif(tmp_path / "out", "model=echo", "steps=2") == 0
    drawn = (tmp_path / "out" / "tree.png").read_bytes()
    assert whatif(tmp_path / "out", "model=echo", "steps=2") == 0
    assert "8 predictions, 0 of them made now" in capsys.readouterr().out
    assert (tmp_path / "out" / "tree.png").read_bytes() == drawn
    assert whatif(tmp_path / "out", "model=echo", "steps=3") == 2
    assert "was made with steps=2, not 3" in capsys.readouterr().err


def test_plans_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "plans.yaml").write_text(
        "ahead: {action: [0, 0.2, 0], steps: 3}\nlate: [[0, 0.2, 0], [0, 0.2, 0], [1, 0, 0]]\n"
    )
    assert whatif(tmp_path / "out", "model=echo", f"plans={tmp_path / 'plans.yaml'}") == 0
    told = branches(tmp_path / "out")
    assert (told["late"]["with"], told["late"]["shares"]) == ("ahead", 2)
    assert load_tree(tmp_path / "out" / "episodes").predictions == 4


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An episode of an echo's, driven straight on."""
    folder = tmp_path_factory.mktemp("logged")
    settings = ["policy=straight", "episodes=1", "horizon=5", "pictures=0", f"output={folder}"]
    assert main(["rollout", "model=echo", *settings]) == 0
    return folder / "episodes" / "0000000"


def test_what_if_an_episode_had_done_otherwise(logged: Path, tmp_path: Path) -> None:
    (tmp_path / "plans.yaml").write_text(
        "the same: {action: [0, 0.1, 0], steps: 2}\nleft: {action: [-0.5, 0.1, 0], steps: 2}\n"
    )
    out, plans = tmp_path / "out", f"plans={tmp_path / 'plans.yaml'}"
    assert whatif(out, "model=echo", plans, f"from={logged}", "at=3", "steps=2") == 0
    tree, reader = load_tree(out / "episodes"), EpisodeReader(logged)
    assert [branch.name for branch in tree.branches] == ["as logged", "left", "the same"]
    assert np.array_equal(tree.root.frame, reader.observation(3).frame)
    assert np.array_equal(tree.frames(tree["as logged"]), reader.frames[4:6])
    assert tree["the same"].steps == tree["as logged"].steps, "the log's own noise goes on"
    assert tree["left"].steps[0].seed == reader.step(3).seed
    about = EpisodeReader(list_episodes(out / "episodes")[0]).about
    assert about["lineage"] == {"episode": str(logged), "step": 3, "branch": 1}


def test_a_log_of_another_model_is_imagined_as_well(logged: Path, tmp_path: Path) -> None:
    given = ["model=echo", "model.time=2", f"from={logged}", "at=0", "steps=2"]
    assert whatif(tmp_path / "out", *given) == 0
    tree = load_tree(tmp_path / "out" / "episodes")
    assert [branch.name for branch in tree.branches][:2] == ["as logged", "the same, imagined"]
    lengths = [len(branch.steps[0].prediction.trajectory) for branch in tree.branches[:2]]
    assert lengths == [1, 2]
    assert not branches(tmp_path / "out")["the same, imagined"]["shares"]


def test_a_frame_of_ones_own(tmp_path: Path) -> None:
    Image.fromarray(np.full((96, 96, 3), 102, np.uint8)).save(tmp_path / "road.png")
    given = [f"frame={tmp_path / 'road.png'}", "start={speed: 12}", "model=echo", "steps=1"]
    assert whatif(tmp_path / "out", *given) == 0
    tree = load_tree(tmp_path / "out" / "episodes")
    assert tree.root.frame.mean() == 102
    assert tree.root.state.tolist() == [12]
    assert whatif(tmp_path / "wrong", *given, "fit=true") == 2, "CarRacing judges no such frames"
    photo = ["scenario=table-reach", f"scenario.frame={tmp_path / 'road.png'}"]
    large = [given[0], *given[2:], *photo, "fit=true", "plans=null"]
    assert whatif(tmp_path / "large", *large) == 0
    assert load_tree(tmp_path / "large" / "episodes").root.frame.shape == (960, 960, 3)


def test_a_scenario_that_waits_for_a_frame_keeps_its_values(tmp_path: Path) -> None:
    Image.fromarray(np.full((90, 160, 3), 102, np.uint8)).save(tmp_path / "street.jpg")
    given = ["scenario=street-pedestrian", f"frame={tmp_path / 'street.jpg'}", "model=echo"]
    assert whatif(tmp_path / "out", *given, "steps=1") == 0
    tree = load_tree(tmp_path / "out" / "episodes")
    assert tree.root.state.tolist() == [8, 0], "m/s and heading: as a rollout begins"
    assert tree.root.frame.shape == (720, 1280, 3)
    assert list(branches(tmp_path / "out"))[-1] == "brake"


def test_a_search_shows_the_best_and_keeps_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["model=echo", "search=cem", "budget=12", "population=3", "steps=2", "keep=2"]
    assert whatif(tmp_path / "out", *given) == 0
    names = {branch.name for branch in load_tree(tmp_path / "out" / "episodes").branches}
    assert names == {"LaneFollower", *(f"cem 1.{n}" for n in (1, 2, 3)), "cem 2.1", "cem 2.2"}
    assert len(branches(tmp_path / "out")) == 2
    printed = capsys.readouterr().out
    assert "2 of 6 plans shown; 12 predictions, 12 of them made now" in printed


def test_the_second_world_has_plans_of_its_own(tmp_path: Path) -> None:
    assert whatif(tmp_path / "out", "scenario=pusht", "model=echo", "steps=1") == 0
    assert list(branches(tmp_path / "out")) == ["left", "right", "up", "down"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["steps=0"], "steps must be a whole number of at least 1, not 0"),
        (["search=luck"], "search must be random or cem, or null, not 'luck'"),
        (["search=cem", "seek=both"], "seek must be best or worst, not 'both'"),
        (["search=cem", "budget=3"], "a budget of 3 predictions is not enough for one plan of 5"),
        (["apart=0"], "apart must be a number above 0, at most 255, not 0"),
        (["plans=nowhere.yaml"], "the plans in nowhere.yaml cannot be read"),
        (["from=nowhere"], "there is no episode at nowhere"),
        (["from=nowhere", "frame=a.png"], "begins at from= or at frame=, not at both"),
        (["frame=nowhere.png"], "there is no image at nowhere.png"),
        (["start=fast"], "start must be named numbers"),
        (["start={height: 3}"], "has no initial value 'height'"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    given: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert whatif(tmp_path / "out", "model=echo", *given) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_moment_that_a_log_does_not_have(
    logged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert whatif(tmp_path / "out", "model=echo", f"from={logged}", "at=5") == 2
    assert "has 5 steps: what if it had done otherwise at step 5?" in capsys.readouterr().err
    assert whatif(tmp_path / "out", "model=echo", "scenario=pusht", f"from={logged}") == 2
    assert "choose the prompter that the episode was logged with" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
