"""That the parts are given the evidence they are about; each part has tests of its own."""

from pathlib import Path
from typing import Any

import pytest

from chronosim.evaluation import Judging, Reference, run
from chronosim.evaluation.comparison import Comparison
from chronosim.evaluation.ranking import Contestant, Ranking
from chronosim.evaluation.report.section import Section
from chronosim.evaluation.run import make_section
from chronosim.evaluation.sources import Simulated
from chronosim.world import World


@pytest.fixture
def evidence(slider: Reference, broken: Any, tmp_path: Path) -> Comparison:
    source = Simulated(
        slider, windows=4, rollouts=3, rollout_steps=4, first_seed=1, others=2, apart=10.0
    )
    return Comparison(tmp_path, World(broken(), slider.prompter), source, seed=7)


def test_outcomes_have_their_baseline(evidence: Comparison) -> None:
    section = make_section("outcomes", evidence)
    assert set(section.values["scores"]) == {"model", "copy-last-frame"}
    assert section.values["scores"]["model"]["whole"]["psnr"] is None, "it knows everything"
    assert "4 moments of Slider (seeds from 1 on)" in section.tables[0].caption


def test_the_diagnosis_is_of_the_rollouts(evidence: Comparison) -> None:
    section = make_section("diagnosis", evidence)
    assert "3 episodes of 4 steps" in section.tables[0].caption
    assert section.values["effects"]["swapped actions"]["gain"] < -10


_SETTINGS: dict[str, Any] = {"starts": 2, "horizon": 2, "lead_in": None, "lead_steps": 1}
_SCORER: Any = type("Scorer", (), {"begin": lambda *_: None, "score": lambda *_: (0.0, False)})()


def three(evidence: Comparison) -> list[Contestant]:
    source: Any = evidence.source
    return [Contestant(name, name, source.reference.policy) for name in "abc"]


def test_the_ranking_is_looked_into_where_there_is_one(evidence: Comparison) -> None:
    judging = Judging(ranking=Ranking(three(evidence), _SCORER, **_SETTINGS))
    ranked, moved = (make_section(name, evidence, judging) for name in ("ranking", "moved"))
    assert set(ranked.values["policies"]) == {"a", "b", "c"}
    assert "From the first 2 starts alone" in moved.verdict
    assert "3 policies from 2 starts" in moved.tables[0].caption
    assert "noise" in moved.values["ranking"]


def test_other_seeds_are_for_the_probe_and_for_the_ranking(
    evidence: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    held: dict[str, Any] = {}

    def record(*_: Any, **settings: Any) -> Section:
        given.update(settings)
        return Section("following", "following", "")

    def hold(contest: Any, *_: Any, **settings: Any) -> Section:
        held.update(contest=contest, **settings)
        return Section("ranking", "ranking", "")

    monkeypatch.setattr(run, "following", record)
    monkeypatch.setattr(run, "rank", hold)
    source: Any = evidence.source
    ranking = Ranking(three(evidence), _SCORER, **_SETTINGS)
    judging = Judging(source.reference.policy(0), ["way"], ranking=ranking)
    make_section("following", evidence, judging)
    make_section("ranking", evidence, judging)
    contest = held["contest"]
    assert (given["first_seed"], contest.first_seed) == (500_001, 600_001)
    assert given["reference"] is contest.reference is source.reference
    assert given["folder"].parent == contest.folder.parent == evidence.folder
    assert (given["simulator"], given["seed"]) == (evidence.simulator, 7)
    assert (given["names"], contest.ranking.lead_steps) == (["way"], 1)
