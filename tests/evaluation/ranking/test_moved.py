"""What moves a ranking, in a world small enough to know it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.evaluation import Reference
from chronosim.evaluation.ranking import Contest, Ranking
from chronosim.evaluation.ranking.moved import move_ranking, moved_section
from chronosim.evaluation.ranking.tournament import play, witness
from chronosim.types import Prediction
from chronosim.world import World
from tests.evaluation.ranking.test_rank import Rightwards, contestants


@pytest.fixture
def contest(slider: Reference, tmp_path: Path) -> Contest:
    ranking = Ranking(contestants(), Rightwards(), starts=4, horizon=3)
    return Contest(ranking, reference=slider, folder=tmp_path, first_seed=1)


def test_a_model_that_knows_the_world_loses_by_worse_words_alone(
    contest: Contest, broken: Any
) -> None:
    simulator = World(broken(), contest.reference.prompter)
    moved = {one.name: one for one in move_ranking(contest, simulator, seed=0)}
    assert set(moved) == {"nothing", "noise", "error fed back", "coarse words", "no state"}
    for name in ("nothing", "noise", "error fed back"):
        assert moved[name].pearson == pytest.approx(1)
        assert moved[name].gain.value == pytest.approx(0)
    assert moved["no state"].pearson < 1
    section = moved_section(list(moved.values()), contest)
    assert "5 policies from 4 starts, 3 held actions" in section.tables[0].caption
    assert "From the first 4 starts alone policies rank with a Pearson of 1.00." in section.verdict
    only_chance = moved_section([moved["nothing"], moved["noise"]], contest)
    assert "Nothing is shown to move it; the most: another seed" in only_chance.verdict


def test_an_error_that_is_fed_back_moves_the_ranking(contest: Contest, broken: Any) -> None:
    class Fading(broken):  # type: ignore[misc]
        """Knows one step, but is lost once it is shown a frame of its own."""

        def _answer(self, prompt: Any) -> Prediction:
            right = super()._answer(prompt).trajectory
            lost = prompt.frame.max() < 220
            return Prediction(np.zeros_like(right) if lost else np.minimum(right, 200))

        def reconstruct(self, frame: Any, trajectory: Any) -> Any:
            return trajectory

    moved = move_ranking(contest, World(Fading(), contest.reference.prompter), seed=0)
    named = {one.name: one for one in moved}
    assert named["error fed back"].pearson == pytest.approx(1)
    assert named["autoencoder alone"].pearson == pytest.approx(1)
    assert named["error fed back"].gain.value > 0.1


def test_experiments_are_not_played_again(contest: Contest, broken: Any) -> None:
    simulator = World(broken(), contest.reference.prompter)
    first = move_ranking(contest, simulator, seed=0)

    class Silent:
        identity: Any = {"name": "silent"}  # noqa: RUF012

        def predict(self, prompts: Any) -> Any:
            raise AssertionError("everything is kept")

    assert move_ranking(contest, World(Silent(), simulator.prompter), seed=0) == first


def test_a_witness_of_the_truth_scores_as_the_reference_does(contest: Contest) -> None:
    starts = contest.draw()
    for one in contestants():
        seen = witness(
            contest.game, one.policy, starts, lambda before, actions, truths, seeds: truths, seed=0
        )
        true = [play(contest.game, one.policy, start) for start in starts]
        assert [each.score for each in seen] == [each.score for each in true]
        assert [each.steps for each in seen] == [each.steps for each in true]
