"""Every shipped policy keeps the contract, and what is no policy yet is made into one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim import policies
from chronosim.errors import InvalidAction, InvalidConfig, ResetNeeded
from chronosim.policies import RowByRow, Unchunked, act_alone, as_policy, clone, policy_name
from chronosim.prompters import Driving, Pushing
from chronosim.protocols import Policy, Prompter
from chronosim.testing import check_policy
from chronosim.types import Chunk, Observation

DRIVERS: dict[str, Callable[[], Any]] = {
    "AnyDrive": policies.AnyDrive,
    "Constant": lambda: policies.Constant([0.1, 0.2, 0.0]),
    "DriverMix": policies.DriverMix,
    "Handicapped": lambda: policies.Handicapped(
        policies.RoadBalance(), Driving(), noise=0.1, whim=0.2, delay=1
    ),
    "LaneFollower": policies.LaneFollower,
    "Planned": lambda: policies.Planned([[0.1, 0.2, 0.0], [0.2, 0.2, 0.0]]),
    "Random": lambda: policies.Random(Driving()),
    "RoadBalance": policies.RoadBalance,
    "RoadLeaver": policies.RoadLeaver,
    "StopAndGo": policies.StopAndGo,
    "RoadPlanner": lambda: policies.RoadPlanner(plans=8, rounds=1, depth=1),
}
PUSHERS: dict[str, Callable[[], Any]] = {
    "AllSides": policies.AllSides,
    "AnyPush": policies.AnyPush,
    "Pusher": policies.Pusher,
    "PusherMix": policies.PusherMix,
    "Shover": policies.Shover,
    "StayPut": policies.StayPut,
}
OURS = {"Cloned", "clone", "PerEpisode", "RowByRow", "Unchunked", "act_alone", "as_policy"}


def seen(prompter: Prompter, count: int = 3) -> list[Observation]:
    rng = np.random.default_rng(0)
    return [
        Observation(rng.integers(0, 256, (96, 96, 3), np.uint8), prompter.begin({}), step)
        for step in range(count)
    ]


def test_all_of_them_are_checked() -> None:
    assert {*DRIVERS, *PUSHERS} == set(dir(policies)) - OURS - {"policy_name"}


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_keeps_the_contract(name: str) -> None:
    check_policy(DRIVERS[name](), Driving(), seen(Driving()))


@pytest.mark.parametrize("name", PUSHERS)
def test_a_pusher_keeps_the_contract(name: str) -> None:
    check_policy(PUSHERS[name](), Pushing(), seen(Pushing()))


def test_a_clone_keeps_the_contract(tmp_path: Path) -> None:
    shown = seen(Driving(), 8)
    clone(
        tmp_path / "clone.safetensors",
        np.stack([one.frame for one in shown]),
        np.stack([one.state for one in shown]),
        np.zeros((8, 3), np.float32),
        space=Driving().action_space,
        width=4,
        epochs=1,
    )
    check_policy(policies.Cloned(tmp_path / "clone.safetensors"), Driving(), shown, tolerance=1e-5)


class Chunky:
    """Draws two actions at a time."""

    identity = {"name": "chunky"}  # noqa: RUF012

    def __init__(self) -> None:
        self.rngs: dict[int, np.random.Generator] = {}
        self.asked: list[list[int]] = []

    def begin(self, seeds: Any, *, instruction: str = "") -> None:
        self.rngs |= {row: np.random.default_rng(seed) for row, seed in seeds.items()}

    def act(self, observations: Any, rows: Any) -> list[Any]:
        self.asked.append(list(rows))
        return [Chunk(self.rngs[row].uniform(0, 0.5, (2, 3)).astype(np.float32)) for row in rows]


def test_a_policy_of_chunks_is_asked_when_they_are_at_an_end() -> None:
    check_policy(Chunky(), Driving(), seen(Driving()))
    policy, shown = Chunky(), seen(Driving(), 2)
    one_by_one = Unchunked(policy)
    one_by_one.begin({0: 5, 1: 6})
    acted = [one_by_one.act(shown, [0, 1]), one_by_one.act(shown[:1], [0])]
    acted.append(one_by_one.act(shown, [0, 1]))
    assert policy.asked == [[0, 1], [0]]
    whole = np.random.default_rng(5).uniform(0, 0.5, (2, 3)).astype(np.float32)
    assert np.array_equal([acted[0][0], acted[1][0]], whole)
    one_by_one.begin({1: 7})
    one_by_one.act(shown, [0, 1])
    assert policy.asked[2:] == [[1]], "what was left of the row's chunk is dropped"
    check_policy(one_by_one, Driving(), seen(Driving()))
    with pytest.raises(InvalidAction, match="at least one"):
        Chunk([])


class Counting:
    """Remembers in all ways that a class of somebody's may; its network is costly."""

    def __init__(self) -> None:
        self.network = object()
        self.count, self.seen = 0, [0]
        self.window: deque[int] = deque([0], maxlen=2)
        self.rng, self.total = np.random.default_rng(0), np.zeros(1)

    def __call__(self, observation: Observation) -> Any:
        self.count += 1
        self.seen.append(self.count)
        self.window.append(self.count)
        self.total += 1
        spice = sum(self.seen) + sum(self.window) + float(self.total[0]) + self.rng.random()
        return np.array([0, min(1, spice / 100), 0], np.float32)


class Seeded:
    def __init__(self, seed: int, gain: float = 1.0) -> None:
        self.rng, self.gain = np.random.default_rng(seed), gain

    def __call__(self, observation: Observation) -> Any:
        return np.array([self.gain * self.rng.random(), 0, 0], np.float32)


def ahead(observation: Observation) -> Any:
    return np.array([0, 0.5, 0], np.float32)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (Counting(), "Counting"),
        (Counting, "Counting"),
        (Seeded, "Seeded"),
        (partial(Seeded, gain=0.5), "Seeded(gain=0.5)"),
        (ahead, "ahead"),
        (partial(ahead), "ahead"),
        (policies.LaneFollower, "LaneFollower(target_speed=18.0, lookahead=22, gain=0.6)"),
    ],
)
def test_what_can_act_is_made_into_a_policy(given: Any, name: str) -> None:
    policy = as_policy(given)
    assert isinstance(policy, Policy)
    assert policy.identity == {"name": name}
    check_policy(policy, Driving(), seen(Driving()))


def test_what_is_costly_is_shared() -> None:
    mine = Counting()
    policy: Any = as_policy(mine)
    policy.begin({0: 0, 1: 1})
    first, second = policy._rows[0], policy._rows[1]
    assert first.network is second.network is mine.network
    assert mine.count == 0


def test_what_cannot_act_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="a policy has identity, begin and act"):
        as_policy(3)
    with pytest.raises(ResetNeeded, match="no episode was begun in row 4"):
        policies.StayPut().act(seen(Pushing(), 1), [4])


def test_a_seed_gives_the_episode_that_it_gave_alone() -> None:
    shown = seen(Driving())
    for policy in (policies.DriverMix(), policies.DriverMix(seed=9), policies.DriverMix):
        act = act_alone(policy, 3)
        alone = policies.DriverMix(seed=3)
        assert all(np.array_equal(act(one), alone(one)) for one in shown)
    assert policy_name(policies.DriverMix(seed=3)) == "DriverMix()"
    assert isinstance(policies.DriverMix(), RowByRow)


def test_a_policy_that_mixes_its_rows_up_is_caught() -> None:
    class Mixed(Chunky):
        def begin(self, seeds: Any, *, instruction: str = "") -> None:
            self.rng = np.random.default_rng(min(seeds.values()))

        def act(self, observations: Any, rows: Any) -> list[Any]:
            return [self.rng.uniform(0, 0.5, 3).astype(np.float32) for _ in rows]

    with pytest.raises(AssertionError, match=r"answers keep the order|alone acts as in a batch"):
        check_policy(Mixed(), Driving(), seen(Driving()))
