import json
import os
import shutil
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from omegaconf import OmegaConf

from chronosim.cli.main import main
from chronosim.episodes import EpisodeReader, list_episodes, verify
from chronosim.errors import InvalidEpisode
from chronosim.frames import read_frame
from chronosim.policies import policy_name
from chronosim.policies.carracing import DriverMix
from chronosim.rollouts.shards import seeds_to_make

TOYS = """
import zlib
import numpy as np
from chronosim.types import Prediction


CALLS = []  # what the next calls do, the last one first; then all answer


class Noisy:
    '''Adds noise; which depends on the seed and the words.'''

    identity = {"name": "noisy"}

    def predict(self, prompts):
        if CALLS and CALLS.pop() == "break off":
            raise KeyboardInterrupt
        return [self.answer(prompt) for prompt in prompts]

    def answer(self, prompt):
        rng = np.random.default_rng((prompt.seed, zlib.crc32(prompt.text.encode())))
        shape = (int(rng.integers(1, 4)), *prompt.frame.shape)
        noisy = prompt.frame + rng.integers(-2, 3, shape)
        return Prediction(np.clip(noisy, 0, 255).astype(np.uint8))


class Coin:
    '''Steers by chance, seed by seed.'''

    def __init__(self, seed, gain=1.0):
        self.rng, self.gain = np.random.default_rng(seed), gain

    def __call__(self, observation):
        return np.array([self.gain * self.rng.uniform(-1, 1), 0, 0], np.float32)


def ahead(observation):
    return np.array([0, 0.5, 0], np.float32)


LOADED = []


class Costly:
    '''Takes a while to load, and in its sixth step acts out of bounds, by a rounding.'''

    def __init__(self):
        LOADED.append(self)
        self.steps = 0

    def __call__(self, observation):
        self.steps += 1
        most = np.float32(1)
        return np.array([most if self.steps < 6 else np.nextafter(most, 2 * most), 0, 0])
"""
NOISY = ["model=noisy", "--config-dir", "conf"]


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's own, a config folder that names its model, and a folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "rollout_toys", raising=False)
    (tmp_path / "rollout_toys.py").write_text(TOYS)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "noisy.yaml").write_text("_target_: rollout_toys.Noisy\n")


def contents(episode: EpisodeReader) -> dict[str, Any]:
    """All that is in an episode but how long it took."""
    steps = list(episode)
    return {
        "about": dict(episode.about),
        "finished": episode.finished,
        "frames": episode.frames.tobytes(),
        "states": episode.states.tobytes(),
        "trajectories": [step.prediction.trajectory.tobytes() for step in steps],
        "actions": [step.action.tobytes() for step in steps],
        "rest": [
            (step.text, step.seed, step.reward, step.terminated, step.truncated) for step in steps
        ],
    }


def rollout(output: Path, *settings: str) -> list[EpisodeReader]:
    assert main(["rollout", "model=echo", f"output={output}", "horizon=3", *settings]) == 0
    return [EpisodeReader(path) for path in list_episodes(output / "episodes")]


def test_every_episode_is_logged_drawn_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["episodes=3", "policy=straight", "model.time=2", "pictures=2"]
    readers = rollout(tmp_path / "out", *settings)
    assert [reader.steps for reader in readers] == [3, 3, 3]
    assert all(reader.finished for reader in readers)
    for name in ("0000000", "0000001"):
        assert read_frame(tmp_path / "out" / f"{name}.png").shape[1] > 3 * 216
        with av.open(tmp_path / "out" / f"{name}.mp4") as video:
            assert sum(1 for _ in video.decode(video=0)) == 1 + 3 * 2
    assert not list((tmp_path / "out").glob("0000002.*"))
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith("000000")]
    assert [row[:4] for row in rows] == [
        ["0000000", "0", "3", "truncated"],
        ["0000001", "1", "3", "truncated"],
        ["0000002", "2", "3", "truncated"],
    ]
    assert str(tmp_path / "out") in out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["episodes"], summary["steps"]) == (3, 9)
    assert summary["ends"] == {"truncated": 3}
    assert [row["seed"] for row in summary["each"]] == [0, 1, 2]
    assert read_frame(tmp_path / "out" / "summary.png").shape[1] >= 840


@pytest.mark.usefixtures("toys")
def test_an_episode_is_the_same_whatever_runs_beside_it(tmp_path: Path) -> None:
    mine = [*NOISY, "policy=own", "policy._target_=rollout_toys.Coin", "+policy.seed=${seed}"]
    settings = [*mine, "horizon=4", "pictures=0"]
    assert main(["rollout", *settings, "episodes=4", "num_envs=3", "output=rows", "seed=3"]) == 0
    assert main(["rollout", *settings, "episodes=4", "num_envs=1", "output=alone", "seed=3"]) == 0
    rows, alone = (
        [contents(EpisodeReader(path)) for path in list_episodes(tmp_path / name / "episodes")]
        for name in ("rows", "alone")
    )
    assert len({episode["frames"] for episode in rows}) == 4
    assert rows == alone


@pytest.mark.usefixtures("toys")
def test_a_run_broken_off_goes_on_without_a_lost_or_doubled_episode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [*NOISY, "horizon=3", "pictures=1", "episodes=5", "num_envs=2"]
    assert main(["rollout", *settings, "output=whole"]) == 0
    made: dict[str, int] = {}
    for calls in (4, 2, None):
        if calls is not None:
            import_module("rollout_toys").CALLS[:] = ["break off", *["answer"] * calls]
        assert main(["rollout", *settings, "output=broken"]) == (0 if calls is None else 130)
        for path in list_episodes(tmp_path / "broken" / "episodes"):
            if EpisodeReader(path).finished:
                number = path.stat().st_ino
                assert made.setdefault(path.name, number) == number, "what is finished stays"
    assert "of the 5 episodes are there already" in capsys.readouterr().out
    broken = [EpisodeReader(path) for path in list_episodes(tmp_path / "broken" / "episodes")]
    assert [reader.path.name for reader in broken] == [f"{seed:07d}" for seed in range(5)]
    whole = [EpisodeReader(path) for path in list_episodes(tmp_path / "whole" / "episodes")]
    assert list(map(contents, broken)) == list(map(contents, whole))
    assert (tmp_path / "broken" / "0000000.mp4").is_file()


def test_the_settings_are_beside_the_results_and_resolved(tmp_path: Path) -> None:
    rollout(
        tmp_path / "out", "episodes=1", "seed=7", "policy.target_speed=3", "policy=lane-follower"
    )
    config = OmegaConf.load(tmp_path / "out" / "config.yaml")
    assert (config.seed, config.policy.target_speed, config.model.time) == (7, 3, 1)
    assert "${" not in (tmp_path / "out" / "config.yaml").read_text()


def test_the_same_seed_gives_the_same_episodes_and_each_its_own(tmp_path: Path) -> None:
    first = rollout(tmp_path / "a", "episodes=2")
    again = rollout(tmp_path / "b", "episodes=1", "seed=1")
    actions = [reader.column("action") for reader in (*first, *again)]
    assert not np.array_equal(actions[0], actions[1])
    assert np.array_equal(actions[1], actions[2])
    assert np.array_equal(first[1].frames, again[0].frames)


def test_the_words_are_in_the_video_when_asked_for(tmp_path: Path) -> None:
    rollout(tmp_path / "out", "episodes=1", "words=true")
    with av.open(tmp_path / "out" / "0000000.mp4") as video:
        assert video.streams.video[0].height > video.streams.video[0].width


def test_an_unfinished_episode_is_made_anew_and_a_finished_one_kept(tmp_path: Path) -> None:
    [reader] = rollout(tmp_path / "out", "episodes=1")
    dataset = tmp_path / "out" / "episodes"
    assert seeds_to_make(dataset, range(2)) == [1]
    for name in (".0000001.a.dropped", ".0000002.b.dropped", ".0000001.c.draft"):
        (dataset / name).mkdir()
        os.utime(dataset / name, (0, 0))
    (dataset / f".0000001.{'d' * 32}.draft").mkdir()  # begun by another run at this moment
    shutil.copytree(str(reader.path), draft := dataset / f".0000001.{'e' * 32}.draft")
    set_finished(draft, False)
    assert seeds_to_make(dataset, range(2)) == [1]
    left = [f".0000001.{'d' * 32}.draft", draft.name, ".0000002.b.dropped", "0000000"]
    assert sorted(path.name for path in dataset.iterdir()) == left
    set_finished(draft, True)
    assert seeds_to_make(dataset, range(2)) == [], "it lacked its name alone"
    assert [path.name for path in list_episodes(dataset)] == ["0000000", "0000001"]


def set_finished(path: Path, finished: bool) -> None:
    attributes = json.loads((path / "zarr.json").read_text())
    attributes["attributes"]["finished"] = finished
    (path / "zarr.json").write_text(json.dumps(attributes))


def test_a_run_goes_on_over_what_was_half_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = rollout(tmp_path / "out", "episodes=2", "pictures=0")
    (first.path / "zarr.json").unlink()
    assert main(["episodes", "verify", str(tmp_path / "out")]) == 1
    out = capsys.readouterr().out
    assert "0000000 has lost its zarr.json" in out
    assert "1 of 2 episodes are whole" in out
    kept = second.path.stat().st_ino
    assert len(rollout(tmp_path / "out", "episodes=2", "pictures=0")) == 2
    assert second.path.stat().st_ino == kept
    assert main(["episodes", "verify", str(tmp_path / "out")]) == 0


def test_more_episodes_of_the_same_settings_join_those_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [first] = rollout(tmp_path / "out", "episodes=1", "seed=5")
    before = first.path.stat().st_ino
    assert len(rollout(tmp_path / "out", "episodes=2", "seed=5", "num_envs=2")) == 2
    assert first.path.stat().st_ino == before
    assert "1 of the 2 episodes are there already" in capsys.readouterr().out
    assert OmegaConf.load(tmp_path / "out" / "config.yaml").episodes == 2


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rollout(tmp_path / "out", "episodes=1")
    before = sorted(tmp_path.rglob("*"))
    assert main(["rollout", "model=echo", "horizon=9", f"output={tmp_path / 'out'}"]) == 2
    assert "was made with horizon=3, not 9" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    assert main(["rollout", "model=echo", f"output={tmp_path / 'mine'}"]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err


def test_runs_share_a_folder(tmp_path: Path) -> None:
    """Three at a time, two with seeds of their own and one with some of both."""
    together = [
        ["episodes=3", "seed=0"],
        ["episodes=3", "seed=1000", "num_envs=2"],
        ["episodes=4", "seed=1"],
    ]
    settings = ["model=echo", "horizon=20", "pictures=0", f"output={tmp_path / 'out'}"]
    code = "import sys; from chronosim.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "rollout", *settings]
    runs = [subprocess.Popen([*command, *own], stderr=subprocess.PIPE) for own in together]
    said = [run.communicate()[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    paths = list_episodes(tmp_path / "out" / "episodes", unfinished=True)
    seeds = (*range(5), *range(1000, 1003))
    assert [path.name for path in paths] == [f"{seed:07d}" for seed in seeds]
    assert all(verify(path) == [] for path in paths)


def test_a_run_of_other_settings_does_not_join(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rollout(tmp_path / "out", "episodes=1")
    assert main(["rollout", "model=echo", "horizon=4", f"output={tmp_path / 'out'}"]) == 2
    assert "was made with horizon=3, not 4" in capsys.readouterr().err


@pytest.mark.usefixtures("toys")
def test_a_function_can_be_the_policy(tmp_path: Path) -> None:
    own = ["policy=own", "policy._target_=rollout_toys.ahead", "+policy._partial_=true"]
    [reader] = rollout(tmp_path / "out", "episodes=1", *own)
    assert np.allclose(reader.column("action"), [0, 0.5, 0])
    assert reader.about["policy"] == "ahead"


@pytest.mark.usefixtures("toys")
def test_a_policy_is_loaded_once_and_its_mistakes_end_their_own_episodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["policy=own", "policy._target_=rollout_toys.Costly", "model=echo", "pictures=0"]
    settings = [*own, "episodes=3", "num_envs=2", "horizon=6"]
    assert main(["rollout", *settings, "clip_actions=true", "output=clipped"]) == 0
    assert len(import_module("rollout_toys").LOADED) == 1
    assert main(["rollout", *settings, "output=out"]) == 1
    out = capsys.readouterr().out
    said = "the episode of seed 2 failed: step 5 could not be taken: an action must lie between"
    assert said in out
    assert main(["episodes", "ls", "out"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in rows[1:4]] == [[f"000000{seed}", "5", "failed"] for seed in range(3)]
    assert main(["episodes", "show", "out/episodes/0000001"]) == 0
    assert "step 5 could not be taken" in capsys.readouterr().out


def test_a_policy_of_ones_own_must_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollout", "policy=own", f"output={tmp_path / 'out'}"]) == 2
    assert "rollout needs policy._target_=..." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["rollout", "model=echo", f"output={tmp_path / 'file' / 'out'}"]) == 2
    assert "results cannot be written to" in capsys.readouterr().err


def test_the_usual_output_is_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["rollout", "model=echo", "episodes=1", "horizon=1"]) == 0
    [folder] = (tmp_path / "runs" / "rollout").iterdir()
    assert (folder / "config.yaml").is_file()


@pytest.mark.usefixtures("toys")
def test_an_episode_cut_off_and_repaired_is_neither_done_nor_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [*NOISY, "horizon=3", "pictures=0", "episodes=2", "output=out"]
    import_module("rollout_toys").CALLS[:] = ["break off", *["answer"] * 4]
    assert main(["rollout", *settings]) == 130
    assert main(["episodes", "repair", "out", "--force"]) == 0
    cut = tmp_path / "out" / "episodes" / "0000001"
    assert EpisodeReader(cut).finished
    assert main(["rollout", *settings]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "0000001 was broken off or damaged, and then repaired: move it away" in said
    assert EpisodeReader(cut).steps == 1, "it is not ours to remove"
    cut.rename(tmp_path / "aside")
    assert main(["rollout", *settings]) == 0
    assert [EpisodeReader(path).steps for path in list_episodes(cut.parent)] == [3, 3]


def test_a_repaired_episode_is_not_done_though_its_end_is_whole(tmp_path: Path) -> None:
    [reader] = rollout(tmp_path / "out", "episodes=1", "model.time=2")
    attributes = json.loads((reader.path / "zarr.json").read_text())
    attributes["attributes"]["about"]["repaired"] = {"episode": "0000000", "step": 0}
    (reader.path / "zarr.json").write_text(json.dumps(attributes))
    (reader.path.parent / ".0000001.a.dropped").mkdir()
    os.utime(str(reader.path.parent / ".0000001.a.dropped"), (0, 0))
    with pytest.raises(InvalidEpisode, match="0000000 was broken off or damaged"):
        seeds_to_make(tmp_path / "out" / "episodes", range(2))
    assert (reader.path.parent / ".0000001.a.dropped").exists(), "nothing was removed"


@pytest.mark.parametrize("kept", ["video", "none"])
def test_trajectories_can_be_kept_otherwise(
    kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["episodes=1", "model.time=3", "pictures=0"]
    [reader] = rollout(tmp_path / "out", *settings, f"trajectories={kept}")
    assert reader.trajectories == kept
    assert reader.lengths.tolist() == [3 if kept == "video" else 1] * 3
    output = f"output={tmp_path / 'out'}"
    assert main(["rollout", "model=echo", "horizon=3", *settings, output]) == 2
    assert f"was made with trajectories={kept}, not lossless" in capsys.readouterr().err


def test_trajectories_can_only_be_kept_in_ways_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollout", "model=echo", "trajectories=gif", f"output={tmp_path / 'out'}"]) == 2
    said = "trajectories must be lossless, video or none, not 'gif'"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class Plain:
    def __call__(self, observation: object) -> None: ...


def steer(observation: object, gain: float = 1.0) -> None: ...


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (Plain(), "Plain"),
        (steer, "steer"),
        (partial(steer), "steer"),
        (partial(steer, gain=2.0), "steer(gain=2.0)"),
        (Plain().__call__, "Plain.__call__"),
        (DriverMix(seed=3), "DriverMix()"),
    ],
)
def test_a_policy_is_logged_by_a_name_that_says_something(policy: object, name: str) -> None:
    assert policy_name(policy) == name


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("rollout_toys.Nope", "there is no rollout_toys.Nope to import"),
        ("no_toys.Nope", "there is no no_toys.Nope to import"),
        ("rollout_toys.Coin.Nope", "there is no rollout_toys.Coin.Nope to import"),
        ("broken.Nope", "broken.Nope cannot be imported: No module named 'nothing_such'"),
    ],
)
def test_a_policy_that_is_not_there_is_one_line(
    target: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_such")
    own = ["policy=own", f"policy._target_={target}", "output=out"]
    assert main(["rollout", "model=echo", *own]) == 2
    line = f"chronosim: policy cannot be made: {said}"
    assert capsys.readouterr().err.splitlines() == [line]
