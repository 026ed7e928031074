"""Rollouts from Python: every episode as its seed gives it alone, none lost, none doubled."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.envs import make_env
from chronosim.episodes import EpisodeReader, EpisodeWriter, list_episodes, verify
from chronosim.errors import EpisodeWriteError, InvalidConfig
from chronosim.policies import DriverMix, LaneFollower
from chronosim.rollouts import Progress, episode_name, run
from chronosim.testing import EchoModel
from chronosim.types import Chunk, Observation, Prediction
from chronosim.world import World


class Noisy:
    """Adds noise that depends on the prompt's seed, and counts what it is asked."""

    identity = {"name": "noisy"}  # noqa: RUF012

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict(self, prompts: Any) -> list[Prediction]:
        self.asked.append(len(prompts))
        return [self.answer(prompt) for prompt in prompts]

    def answer(self, prompt: Any) -> Prediction:
        noise = np.random.default_rng(prompt.seed).integers(-2, 3, (2, *prompt.frame.shape))
        return Prediction(np.clip(prompt.frame + noise, 0, 255).astype(np.uint8))


class Told:
    """Drives ahead, two steps at a time, and keeps what it was told."""

    identity = {"name": "told", "weights": "abc"}  # noqa: RUF012

    def __init__(self) -> None:
        self.begun: list[tuple[dict[int, int], str]] = []

    def begin(self, seeds: Any, *, instruction: str = "") -> None:
        self.begun.append((dict(seeds), instruction))

    def act(self, observations: Sequence[Observation], rows: Sequence[int]) -> list[Chunk]:
        for observation in observations:
            observation.frame[:] = 0  # what it is shown is its own
        return [Chunk(np.array([[0, 0.2, 0]] * 2, np.float32)) for _ in rows]


@pytest.fixture
def noisy() -> Noisy:
    return Noisy()


@pytest.fixture
def world(noisy: Noisy) -> World:
    return make_env(noisy, scenario="carracing", horizon=3).world


def contents(path: Path) -> tuple[Any, ...]:
    """All that is in an episode but how long it took."""
    reader = EpisodeReader(path)
    steps = [
        (step.action.tobytes(), step.prediction.trajectory.tobytes(), step.text, step.seed)
        for step in reader
    ]
    return reader.path.name, dict(reader.about), reader.frames.tobytes(), steps


def test_an_episode_is_that_of_a_lone_environment(world: World, tmp_path: Path) -> None:
    done = run(world, DriverMix(), tmp_path, seeds=[6, 5, 9], num_envs=2, about={"mine": 1})
    assert [path.name for path in done.episodes] == ["0000006", "0000005", "0000009"]
    assert (done.there, done.failures, done.lost, done.steps) == ((), {}, {}, 9)
    reader, env = EpisodeReader(tmp_path / "0000005"), make_env(Noisy(), horizon=3)
    assert np.array_equal(reader.frames[0], env.reset(seed=5)[0]["image"])
    driver = DriverMix(seed=5)
    for step in reader:
        assert np.array_equal(step.action, driver(env.observation))
        _, reward, _, truncated, info = env.step(step.action)
        assert np.array_equal(step.prediction.trajectory, info["trajectory"])
        assert (step.text, step.seed) == (info["text"], info["seed"])
        assert (step.reward, step.truncated) == (reward, truncated)
        assert step.latency >= 0
    about = reader.about
    assert (about["mine"], about["policy"], about["seed"]) == (1, "DriverMix()", 5)
    assert (about["model"]["name"], about["synthetic"]) == ("noisy", True)


def test_eight_rows_give_each_what_it_gets_alone(
    world: World, noisy: Noisy, tmp_path: Path
) -> None:
    run(world, DriverMix(), tmp_path / "rows", seeds=range(10), num_envs=8)
    assert max(noisy.asked) == 8
    run(world, DriverMix(), tmp_path / "alone", seeds=range(10))
    assert [contents(tmp_path / "rows" / episode_name(seed)) for seed in range(10)] == [
        contents(tmp_path / "alone" / episode_name(seed)) for seed in range(10)
    ]
    assert len({contents(path)[2] for path in (tmp_path / "rows").iterdir()}) == 10


def test_a_policy_is_made_once_told_what_to_do_and_asked_when_its_chunk_is_done(
    world: World, tmp_path: Path
) -> None:
    policy = Told()
    done = run(world, policy, tmp_path, seeds=range(3), num_envs=2)
    assert [sorted(seeds.values()) for seeds, _ in policy.begun] == [[0, 1], [2]]
    assert {told for _, told in policy.begun} == {world.instruction}
    assert "road" in world.instruction
    reader = EpisodeReader(done.episodes[0])
    assert reader.frames[0].any()
    assert (reader.about["policy"], reader.about["policy_identity"]["weights"]) == ("told", "abc")


def test_what_is_there_stays_and_progress_is_told(
    world: World, noisy: Noisy, tmp_path: Path
) -> None:
    first = run(world, LaneFollower(), tmp_path, seeds=range(2))
    kept = [path.stat().st_ino for path in first.episodes]
    noisy.asked.clear()
    told: list[Progress] = []
    again = run(world, LaneFollower(), tmp_path, seeds=range(4), num_envs=3, progress=told.append)
    assert again.there == (0, 1)
    assert sum(noisy.asked) == again.steps == 6
    assert [path.stat().st_ino for path in again.episodes[:2]] == kept
    assert [(one.done, one.total, one.steps) for one in told] == [(0, 2, 2), (0, 2, 4), (2, 2, 6)]


def test_an_action_out_of_the_space_ends_its_episode_alone(world: World, tmp_path: Path) -> None:
    class Edge:
        def __init__(self, seed: int) -> None:
            self.steps, self.at = 0, 1 if seed == 2 else 99

        def __call__(self, observation: Observation) -> Any:
            self.steps += 1
            high = np.nextafter(np.float32(1), np.float32(2)) if self.steps > self.at else 1
            return np.array([high, 0.1, 0], np.float32)

    done = run(world, Edge, tmp_path / "a", seeds=range(4), num_envs=4)
    assert [path.name for path in done.episodes] == ["0000000", "0000001", "0000003"]
    [(seed, why)] = done.failures.items()
    assert seed == 2
    assert why.startswith("step 1 could not be taken: an action must lie between")
    failed = EpisodeReader(tmp_path / "a" / "0000002")
    assert (failed.steps, failed.finished, failed.failure) == (1, False, why)
    again = run(world, Edge, tmp_path / "a", seeds=range(4), num_envs=4)
    assert (again.there, list(again.failures)) == ((0, 1, 3), [2])
    assert len(list_episodes(tmp_path / "a", unfinished=True)) == 4, "the older attempt went"
    clipped = run(world, Edge, tmp_path / "b", seeds=range(4), num_envs=4, clip_actions=True)
    assert (clipped.failures, len(clipped.episodes)) == ({}, 4)
    assert EpisodeReader(tmp_path / "b" / "0000002").column("action").max() == 1


def test_who_is_late_says_so_and_goes_on(world: World, tmp_path: Path) -> None:
    def steal(progress: Progress) -> None:  # another run finishes episode 0 in the meantime
        if progress.steps == 2:
            run(world, LaneFollower(), tmp_path, seeds=[0])

    done = run(world, LaneFollower(), tmp_path, seeds=range(3), num_envs=2, progress=steal)
    [(seed, said)] = done.lost.items()
    assert seed == 0
    assert said.startswith(f"another attempt at {tmp_path / '0000000'} was finished first")
    assert [verify(path) for path in done.episodes] == [[], [], []]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_data_set_is_of_one_making(world: World, tmp_path: Path) -> None:
    run(world, LaneFollower(), tmp_path, seeds=[0])
    with pytest.raises(InvalidConfig, match="0000000 was made with another policy: use the same"):
        run(world, DriverMix(), tmp_path, seeds=range(2))
    other = make_env(EchoModel(), scenario="carracing", horizon=3).world
    with pytest.raises(InvalidConfig, match="made with another model"):
        run(other, LaneFollower(), tmp_path, seeds=range(2))


def test_what_cannot_work_is_one_sentence(world: World, tmp_path: Path) -> None:
    endless = make_env(EchoModel(), scenario="carracing", horizon=None).world
    with pytest.raises(InvalidConfig, match="a rollout needs a horizon"):
        run(endless, LaneFollower(), tmp_path, seeds=[0])
    assert run(endless, LaneFollower(), tmp_path, seeds=[0], horizon=1).steps == 1
    with pytest.raises(InvalidConfig, match="needs 1 row or more, not num_envs=0"):
        run(world, LaneFollower(), tmp_path, seeds=[0], num_envs=0)


def test_a_full_disk_ends_the_run_and_leaves_what_is_whole(
    world: World, tmp_path: Path, full_disk: Callable[[int], Any]
) -> None:
    run(world, LaneFollower(), tmp_path, seeds=[0])
    with full_disk(300), pytest.raises(EpisodeWriteError):
        run(world, LaneFollower(), tmp_path, seeds=range(2))
    assert [path.name for path in list_episodes(tmp_path)] == ["0000000"]
    assert len(run(world, LaneFollower(), tmp_path, seeds=range(2)).episodes) == 2


def test_shards_are_dealt_out(world: World, tmp_path: Path) -> None:
    dealt: list[list[int]] = []

    def map_here(roll: Any, shards: Any) -> Any:
        for shard in shards:
            dealt.append(list(shard))
            yield roll(shard)

    told: list[Progress] = []
    done = run(
        world, DriverMix(), tmp_path / "a", seeds=range(6), map=map_here, progress=told.append
    )
    assert dealt == [[0, 1, 2, 3], [4, 5]]
    assert (done.steps, told[-1].done, len(done.episodes)) == (18, 6, 6)
    echo = make_env(EchoModel(), scenario="carracing", horizon=3).world
    shared = run(echo, DriverMix(), tmp_path / "b", seeds=range(6), workers=2)
    run(echo, DriverMix(), tmp_path / "c", seeds=range(6))
    assert shared.steps == 18
    assert [contents(path) for path in shared.episodes] == [
        contents(tmp_path / "c" / path.name) for path in shared.episodes
    ]


class Dying(EchoModel):
    """Kills its process once: at the first call while no other has been killed."""

    def predict(self, prompts: Any) -> Any:
        with suppress(FileExistsError):
            Path(os.environ["KILLED_ONCE"]).touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        return EchoModel().predict(prompts)


def test_a_killed_worker_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILLED_ONCE", str(tmp_path / "killed"))
    world = make_env(Dying(), scenario="carracing", horizon=3).world
    done = run(world, DriverMix(), tmp_path / "a", seeds=range(4), workers=2)
    assert (tmp_path / "killed").exists()
    echo = make_env(EchoModel(), scenario="carracing", horizon=3).world
    run(echo, DriverMix(), tmp_path / "b", seeds=range(4))
    assert [contents(path) for path in done.episodes] == [
        contents(tmp_path / "b" / path.name) for path in done.episodes
    ]
    assert len(done.episodes) == 4
    assert not list((tmp_path / "a").glob(".*")), "no draft of a killed attempt is left"


KILLED = """
import sys
from chronosim.envs import make_env
from chronosim.policies import DriverMix
from chronosim.rollouts import run
from chronosim.testing import EchoModel

world = make_env(EchoModel(2), scenario="carracing", horizon=8).world
print("ready", flush=True)
run(world, DriverMix(), sys.argv[1], seeds=range(6), num_envs=3)
"""


def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    """Each run goes on where the one before was killed; what has a name is whole and stays."""
    rng, kept = np.random.default_rng(3), dict[str, int]()
    killed = tmp_path / "killed"
    for _ in range(int(os.environ.get("CHRONOSIM_KILLS", "3"))):
        command = [sys.executable, "-c", KILLED, str(killed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(rng.uniform(0, 0.3))
            child.kill()
        for path in list_episodes(killed) if killed.exists() else []:
            # A compaction that was killed leaves its half-written arrays beside the whole ones.
            assert [damage for damage in verify(path) if damage.kind != "leftover"] == []
            assert kept.setdefault(path.name, path.stat().st_ino) == path.stat().st_ino
        if len(kept) == 6:
            shutil.rmtree(killed)
            kept.clear()
    world = make_env(EchoModel(2), scenario="carracing", horizon=8).world
    done = run(world, DriverMix(), killed, seeds=range(6), num_envs=3)
    run(world, DriverMix(), tmp_path / "whole", seeds=range(6))
    for path in done.episodes:
        assert contents(path) == contents(tmp_path / "whole" / path.name)
    assert run(world, DriverMix(), killed, seeds=range(6)).steps == 0
    assert len(list(killed.iterdir())) == 6, "nothing is left over"


def test_what_is_left_of_an_attempt_goes_when_one_is_finished(world: World, tmp_path: Path) -> None:
    first = Observation(np.zeros((96, 96, 3), np.uint8))
    dead = EpisodeWriter(tmp_path / "0000000", first, {}, rivals=True)
    assert EpisodeReader(tmp_path / "0000000").place == dead.place
    run(world, LaneFollower(), tmp_path, seeds=[0])
    assert list(tmp_path.iterdir()) == [tmp_path / "0000000"]


@pytest.mark.parametrize("seed", [2**63, 2**64, -1, 1.5, "a", True])
@pytest.mark.usefixtures("as_users_run_it")
def test_a_seed_is_a_whole_number_that_the_log_holds(seed: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="a seed must"):
        run(make_env(EchoModel()).world, LaneFollower(), tmp_path / "out", seeds=[seed])
    assert not (tmp_path / "out").exists()
    with pytest.raises(InvalidConfig, match="a seed must"):
        make_env(EchoModel()).reset(seed=seed)


@pytest.mark.usefixtures("as_users_run_it")
def test_numpys_seeds_will_do(tmp_path: Path) -> None:
    seeds: Any = np.arange(2)
    done = run(make_env(EchoModel(), horizon=1).world, LaneFollower(), tmp_path, seeds=seeds)
    assert [path.name for path in done.episodes] == ["0000000", "0000001"]
