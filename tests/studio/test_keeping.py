"""What is saved, what comes back, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.episodes import EpisodeReader, EpisodeWriter, list_episodes
from chronosim.settings.compose import compose_config
from chronosim.studio.library import save_branch
from chronosim.studio.sessions import Session
from chronosim.studio.tree import SessionTree
from chronosim.studio.workshop import Models
from chronosim.studio.worlds import Worlds
from chronosim.types import Observation

if TYPE_CHECKING:
    from tests.studio.conftest import Served


def test_a_tree_is_saved_as_episodes_with_lineage(
    served: Served, left: list[float], right: list[float]
) -> None:
    state = served.begin()
    for _ in range(3):
        state = served.change(state, "step", action=left)
    state = served.change(state, "go", node=1)
    state = served.change(state, "step", action=right)
    state = served.change(served.change(state, "go", node=4), "step", action=right)
    state = served.change(served.change(state, "go", node=4), "step", action=left)
    state = served.change(state, "save")
    readers = [EpisodeReader(path) for path in list_episodes(state["saved"])]
    assert [reader.steps for reader in readers] == [3, 2, 1]
    assert [reader.about["lineage"] for reader in readers] == [
        None,
        {"episode": "0000000", "step": 1, "branch": 1},
        {"episode": "0000001", "step": 1, "branch": 1},
    ]
    trunk, fork, _ = readers
    assert np.array_equal(fork.observation(0).frame, trunk.observation(1).frame)
    assert all(reader.finished for reader in readers)
    assert trunk.about["seed"] == 3
    assert Path(state["saved"]).is_relative_to(served.folder / "studio")


def test_a_branch_is_saved_whole_and_runs_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], left: list[float]
) -> None:
    worlds = Worlds(compose_config("studio", ["model=echo", "model.time=2"]), Models(print))
    world = worlds.make("carracing", "echo", {})
    first, noise = world.begin(3)
    session = Session(world, SessionTree(first, noise), seed=3, origin="a test")
    for action in (left, left):
        session.step(action)
    session.futures([left, [0.0, 0.0, 0.0]], 1, redraw=False)
    path = save_branch(session, session.at, tmp_path / "saved")
    assert EpisodeReader(path).steps == 3
    assert main(["episodes", "replay", str(path)]) == 0
    assert "3 steps alike" in capsys.readouterr().out


def test_saving_again_overwrites_nothing(served: Served, left: list[float]) -> None:
    state = served.change(served.begin(), "step", action=left)
    first = served.change(state, "save", what="branch")
    second = served.change(first, "save", what="branch")
    assert first["saved"] != second["saved"]
    assert EpisodeReader(first["saved"]).steps == EpisodeReader(second["saved"]).steps == 1


def test_nothing_to_save_is_said(served: Served) -> None:
    assert served.change(served.begin(), "save")["problem"].startswith("there is nothing to save")
    assert not served.folder.exists()


def test_a_full_disk_loses_no_session(
    served: Served, left: list[float], full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    state = served.change(served.begin(), "step", action=left)
    with full_disk(2000):
        failed = served.change(state, "save")
    assert "could not be written" in failed["problem"] or "cannot begin" in failed["problem"]
    assert failed["saved"] is None
    assert served.change(failed, "save")["saved"] is not None


@pytest.mark.parametrize("what", ["tree", "branch"])
def test_what_was_saved_is_opened_and_goes_on_as_it_would_have(
    what: str, served: Served, left: list[float], right: list[float]
) -> None:
    state = served.change(served.begin(), "step", action=left)
    state = served.change(served.change(state, "go", node=0), "step", action=right)
    state = served.change(state, "save", what=what)
    path = Path(state["saved"]).relative_to(served.folder).as_posix()
    opened = served.ask("/api/sessions/open", {"path": path}).lines[-1]["state"]
    assert opened["session"] != state["session"]
    assert len(opened["nodes"]) == (3 if what == "tree" else 2)
    there = max(node["number"] for node in opened["nodes"])
    opened = served.change(served.change(opened, "go", node=there), "step", action=left)
    state = served.change(state, "step", action=left)
    here, there_too = (
        served.ask(f"/api/sessions/{one['session']}/nodes/{one['at']}/2.png").frame
        for one in (state, opened)
    )
    assert np.array_equal(here, there_too)
    last = opened["nodes"][-1]
    assert last["text"] == state["nodes"][-1]["text"]
    assert last["depth"] == 2


def test_a_fork_opens_with_what_it_forked_from(
    served: Served, left: list[float], right: list[float]
) -> None:
    state = served.change(served.begin(), "step", action=left)
    state = served.change(served.change(state, "go", node=0), "step", action=right)
    state = served.change(state, "save")
    path = Path(state["saved"]).relative_to(served.folder) / "0000001"
    opened = served.ask("/api/sessions/open", {"path": path.as_posix()}).lines[-1]["state"]
    assert [node["parent"] for node in opened["nodes"]] == [None, 0, 0]


def test_the_library_lists_what_there_is(served: Served, left: list[float]) -> None:
    assert served.ask("/api/library").json["entries"] == []
    state = served.change(served.change(served.begin(), "step", action=left), "save")
    [run] = served.ask("/api/library?path=studio").json["entries"]
    assert run["kind"] == "run"
    [episode] = served.ask(f"/api/library?path={run['path']}/episodes").json["entries"]
    assert {"kind": "episode", "steps": 1, "fork": False, "world": "toy"}.items() <= episode.items()
    shown = served.ask(f"/api/library/frame?path={run['path']}").frame
    assert np.array_equal(shown, EpisodeReader(f"{state['saved']}/0000000").frames[-1])


def test_an_episode_of_another_world_is_refused(served: Served) -> None:
    served.folder.mkdir()
    first = Observation(np.zeros((96, 96, 3), np.uint8), np.zeros(4, np.float32))
    EpisodeWriter(served.folder / "strange", first, {}).close()
    told = served.ask("/api/sessions/open", {"path": "strange"}).lines[-1]["state"]
    assert "strange keeps 4 commanded numbers, but the world carracing keeps 1" in told["problem"]
    assert told["world"] is None


def test_unrelated_episodes_are_no_tree(served: Served, left: list[float]) -> None:
    first = Observation(np.zeros((96, 96, 3), np.uint8), np.zeros(1, np.float32))
    for name in ("a", "b"):
        EpisodeWriter(served.folder / "set" / name, first, {}).close()
    told = served.ask("/api/sessions/open", {"path": "set"}).lines[-1]["state"]
    assert "holds 2 episodes that are forks of none there" in told["problem"]


def test_a_session_has_an_end_to_its_memory(
    serve: Callable[..., Served], left: list[float]
) -> None:
    served = serve(most=150_000)
    state = served.change(served.begin(), "step", action=left)
    full = served.change(state, "step", action=left)
    assert "too many: save it and begin anew" in full["problem"]
    assert len(full["nodes"]) == 2
    assert served.change(full, "save")["saved"]


def test_new_noise_is_new_in_an_opened_tree_too(served: Served, left: list[float]) -> None:
    state = served.change(served.begin(), "step", action=left)
    state = served.change(served.change(state, "go", node=0), "redraw")
    state = served.change(served.change(state, "step", action=left), "save")
    path = Path(state["saved"]).relative_to(served.folder).as_posix()
    opened = served.ask("/api/sessions/open", {"path": path}).lines[-1]["state"]
    known = {node["noise"] for node in opened["nodes"]}
    assert len(known) == 2
    assert served.change(opened, "redraw")["noise"] not in known


@pytest.mark.parametrize(
    "others", [{"model": {"name": "other"}}, {"model": {"name": "toy"}, "synthetic": False}]
)
@pytest.mark.parametrize("what", ["tree", "branch"])
def test_what_another_world_did_is_neither_looked_up_nor_saved_as_this_models(
    what: str, others: dict[str, object], served: Served, left: list[float]
) -> None:
    state = served.change(served.begin(), "step", action=left)
    mine = served.change(served.change(state, "step", action=left), "save", what="branch")
    reader = EpisodeReader(mine["saved"])
    about = {**reader.about, **others}
    with EpisodeWriter(served.folder / "other", reader.observation(0), about) as writer:
        for step in reader:
            writer.append(step)
    opened = served.ask("/api/sessions/open", {"path": "other"}).lines[-1]["state"]
    again = served.change(opened, "step", action=left)
    assert again["at"] == 3, "the same action is asked of this model"
    onward = served.change(served.change(again, "go", node=1), "step", action=left)
    saved = Path(served.change(onward, "save", what=what)["saved"])
    folder = saved if what == "tree" else saved.parent
    readers = [EpisodeReader(path) for path in list_episodes(folder)]
    told = [(one.about["model"], one.about["synthetic"], one.steps) for one in readers]
    assert told[0] == (about["model"], about["synthetic"], 2 if what == "tree" else 1)
    assert told[1:] == [({"name": "toy"}, True, 1)] * (2 if what == "tree" else 1)
    assert {one.about["lineage"]["episode"] for one in readers[1:]} == {"0000000"}
    path = saved.relative_to(served.folder).as_posix()
    reopened = served.ask("/api/sessions/open", {"path": path}).lines[-1]["state"]
    assert len(reopened["nodes"]) == (5 if what == "tree" else 3)


@pytest.mark.parametrize("what", ["tree", "branch"])
def test_noise_that_changed_on_the_way_is_the_same_when_it_is_opened(
    what: str, served: Served, left: list[float]
) -> None:
    state = served.change(served.begin(), "step", action=left)
    state = served.change(served.change(state, "step", action=left), "redraw")
    state = served.change(served.change(state, "step", action=left), "save", what=what)
    path = Path(state["saved"]).relative_to(served.folder).as_posix()
    opened = served.ask("/api/sessions/open", {"path": path}).lines[-1]["state"]
    noises = [node["noise"] for node in opened["nodes"]]
    assert noises == [node["noise"] for node in state["nodes"]]
    assert len(set(noises)) == 2


def test_a_log_with_one_noise_for_all_its_steps_is_opened(
    served: Served, left: list[float]
) -> None:
    state = served.change(served.begin(), "step", action=left)
    state = served.change(served.change(state, "step", action=left), "save", what="branch")
    reader = EpisodeReader(state["saved"])
    about = {name: value for name, value in reader.about.items() if name != "noises"}
    with EpisodeWriter(served.folder / "old", reader.observation(0), about) as writer:
        for step in reader:
            writer.append(step)
    opened = served.ask("/api/sessions/open", {"path": "old"}).lines[-1]["state"]
    assert [node["noise"] for node in opened["nodes"]] == [str(about["noise"])] * 3
