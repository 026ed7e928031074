"""A whole ranking in a world small enough to know the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.evaluation import Reference
from chronosim.evaluation.ranking import (
    Cloning,
    Contest,
    Contestant,
    Ranking,
    rank,
    read_contestants,
)
from chronosim.evaluation.ranking.contestants import draw_starts
from chronosim.evaluation.ranking.tournament import Game, play
from chronosim.evaluation.report.section import Section
from chronosim.policies import Cloned, Random
from chronosim.testing import EchoModel
from chronosim.types import Observation, Prediction
from chronosim.world import World


class Rightwards:
    """A step is worth how far right the bar is; at the edge the episode ends."""

    def begin(self, rng: np.random.Generator) -> Any:
        raise NotImplementedError

    def score(self, before: Any, action: Any, prediction: Prediction, after: Observation) -> Any:
        place = int(after.frame[0, :, 0].argmax())
        return place / 20, place >= 20


@dataclass
class Walker:
    """Goes right by so many columns a tick, with a share of random steps."""

    way: int
    whim: float
    seed: int

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def __call__(self, observation: Observation) -> Any:
        way = self.rng.integers(-1, 2) if self.rng.random() < self.whim else self.way
        return np.array([way], np.float32)


def contestants() -> list[Contestant]:
    kinds = {"right": (1, 0.0), "left": (-1, 0.0), "still": (0, 0.0), "random": (0, 1.0)}
    found = [Contestant(name, name, partial(_walk, *kind)) for name, kind in kinds.items()]
    return [*found, Contestant("right-often", "right", partial(_walk, 1, 0.4))]


def _walk(way: int, whim: float, seed: int) -> Walker:
    return Walker(way, whim, seed)


def ranked(
    slider: Reference, model: Any, folder: Path, *, chosen: Any = None, starts: int = 6
) -> Section:
    ranked = contestants() if chosen is None else chosen
    ranking = Ranking(ranked, Rightwards(), starts=starts, horizon=3)
    contest = Contest(ranking, reference=slider, folder=folder, first_seed=1)
    return rank(contest, World(model, slider.prompter))


def test_a_model_that_knows_the_world_ranks_alike(
    slider: Reference, knowing: Any, tmp_path: Path
) -> None:
    # Seed 10 ends after two steps in the simulator alone: it is not among the six.
    section = ranked(slider, knowing, tmp_path)
    everything = section.values["all"]
    assert everything["pearson"]["value"] == pytest.approx(1)
    assert everything["mmrv"]["value"] == 0
    for scores in section.values["policies"].values():
        assert scores["model"] == scores["reference"]
    assert (everything["policies"], everything["makes"], everything["starts"]) == (5, 4, 6)
    assert section.warnings == ("policies cannot be ranked in it",)
    assert "5 policies are too few" in section.verdict
    assert section.tables[1].rows[0][1].startswith("right")
    assert section.pictures[0].png.startswith(b"\x89PNG")


def test_a_model_in_which_nothing_moves_ranks_nothing(slider: Reference, tmp_path: Path) -> None:
    section = ranked(slider, EchoModel(), tmp_path)
    assert "score alike" in section.verdict
    assert section.values["all"]["pearson"]["value"] is None
    assert section.gauge is None


def test_what_was_played_is_not_played_again(
    slider: Reference, knowing: Any, tmp_path: Path
) -> None:
    class Breaking:
        identity: Mapping[str, Any] = {"name": "breaking"}
        calls = 0

        def predict(self, prompts: Any) -> Any:
            self.calls += 1
            if self.calls == 8:
                raise KeyboardInterrupt
            return knowing.predict(prompts)

    with pytest.raises(KeyboardInterrupt):
        ranked(slider, Breaking(), tmp_path)
    done = sorted(path.name for path in (tmp_path / "model").glob("*.json"))
    assert done == ["left.json", "right.json"]
    assert len(list((tmp_path / "reference").glob("*.json"))) == 5

    counting = Breaking()
    counting.calls = 100  # it never breaks
    section = ranked(slider, counting, tmp_path)
    assert counting.calls == 100 + 3 * 3, "three policies of three steps were left"
    whole = ranked(slider, knowing, tmp_path / "other")
    assert section.values == whole.values
    with pytest.raises(InvalidConfig, match="use the same settings"):
        ranked(slider, knowing, tmp_path, starts=5)
    (tmp_path / "model" / "left.json").write_text("{")
    with pytest.raises(InvalidConfig, match=r"left.json cannot be read"):
        ranked(slider, knowing, tmp_path)


def test_a_clone_learns_and_plays(slider: Reference, knowing: Any, tmp_path: Path) -> None:
    cloning = Cloning(teacher=partial(_walk, 1, 0.0), episodes=2, width=4, epochs=8)
    chosen = [*contestants(), Contestant("clone", "clone", cloning=cloning)]
    section = ranked(slider, knowing, tmp_path, chosen=chosen)
    assert len(section.values["policies"]["clone"]["model"]) == 6
    learned = Cloned(tmp_path / "policies" / "clone.safetensors")
    seen = slider.simulator().reset(7)[0]
    assert learned(Observation(seen, np.zeros(1, np.float32))) == pytest.approx(1, abs=0.1)


def test_the_last_reward_counts_on(slider: Reference) -> None:
    game = Game(slider.simulator, slider.prompter, Rightwards(), 5)
    [start] = draw_starts(1, reference=slider, first_seed=12)
    played = play(game, partial(_walk, 1, 0.0), start)  # 16, then 20: the edge
    assert played.steps == 2
    assert played.score == pytest.approx((16 + 4 * 20) / 20 / 5)


def test_starts_lie_behind_a_lead_in(slider: Reference) -> None:
    starts = list(
        draw_starts(4, reference=slider, lead_in=Walker(1, 0, 0), longest=2, first_seed=5)
    )
    assert [start.seed for start in starts] == [5, 6, 7, 8]
    for start in starts:
        assert 1 <= len(start.history) <= 2
        assert start.observation.step == 0
        assert start.observation.state == start.seed + 4 * len(start.history)


def test_contestants_are_read_from_settings() -> None:
    prompter = {"_target_": "chronosim.prompters.Driving"}
    random = {
        "_target_": "chronosim.policies.Random",
        "prompter": "${prompter}",
        "seed": "${seed}",
    }
    lane = {"_target_": "chronosim.policies.LaneFollower"}
    found = read_contestants(
        {
            "random": {"make": "random", "policy": random},
            "clone": {"make": "clone", "cloning": {"teacher": lane, "width": 4}},
        },
        prompter,
    )
    assert [one.make for one in found] == ["random", "clone"]
    assert isinstance(found[0].policy, Random)
    assert found[1].cloning is not None
    assert found[1].cloning.width == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"policy": {}}, "needs a make"),
        ({"make": "a"}, "needs a policy or a cloning"),
        ({"make": "a", "cloning": {"depth": 3}}, "cannot be cloned so"),
        ({"make": "a", "policy": {"_target_": "nowhere.Nobody"}}, "cannot be made"),
        ({"make": "a", "policy": {"speed": 3}}, "must name its class under _target_"),
    ],
)
def test_contestants_that_cannot_be_are_refused(settings: Any, words: str) -> None:
    with pytest.raises(InvalidConfig, match=words):
        read_contestants({"one": settings}, {})


def test_rankings_that_cannot_be_are_refused(
    slider: Reference, knowing: Any, tmp_path: Path
) -> None:
    with pytest.raises(InvalidConfig, match="from 3 contestants"):
        ranked(slider, knowing, tmp_path, chosen=contestants()[:2])
    with pytest.raises(InvalidConfig, match="names of their own"):
        ranked(slider, knowing, tmp_path, chosen=contestants() + contestants()[:1])
