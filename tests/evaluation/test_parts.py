"""That the parts are given the evidence they are about; each part has tests of its own."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chronosim.evaluation import Reference
from chronosim.evaluation import evaluate as parts
from chronosim.evaluation.evidence import Evidence
from chronosim.evaluation.outcomes import Setting
from chronosim.evaluation.ranking import Contestant
from chronosim.evaluation.report.section import Section
from chronosim.evaluation.truth.sources import Simulated
from chronosim.simulator import Simulator


@pytest.fixture
def evidence(slider: Reference, broken: Any, tmp_path: Path) -> Evidence:
    source = Simulated(slider, Setting("Slider", 1, 2, 10.0), windows=4, rollouts=3, steps=4)
    return Evidence(tmp_path, Simulator(broken(), slider.prompter), source, seed=7)


def test_outcomes_have_their_baseline(evidence: Evidence) -> None:
    section = parts.outcomes(evidence)
    assert set(section.values["scores"]) == {"model", "copy-last-frame"}
    assert section.values["scores"]["model"]["whole"]["psnr"] is None, "it knows everything"
    assert "4 moments of Slider (seeds from 1 on)" in section.tables[0].caption


def test_the_diagnosis_is_of_the_rollouts(evidence: Evidence) -> None:
    section = parts.diagnosis(evidence)
    assert "3 episodes of 4 steps" in section.tables[0].caption
    assert section.values["effects"]["swapped actions"]["gain"] < -10


_SETTINGS: dict[str, Any] = {"starts": 2, "horizon": 2, "lead_in": None, "longest": 1}
_SCORER: Any = type("Scorer", (), {"begin": lambda *_: None, "score": lambda *_: (0.0, False)})()


def three(evidence: Evidence) -> list[Contestant]:
    source: Any = evidence.source
    return [Contestant(name, name, source.reference.policy) for name in "abc"]


def test_the_ranking_is_looked_into_where_there_is_one(evidence: Evidence) -> None:
    contest = partial(parts.contest, contestants=three(evidence), scorer=_SCORER, **_SETTINGS)
    ranked, moved = parts.ranked(evidence, contest), parts.moved(evidence, contest)
    assert set(ranked.values["policies"]) == {"a", "b", "c"}
    assert "From the first 2 starts alone" in moved.verdict
    assert "3 policies from 2 starts" in moved.tables[0].caption
    assert "noise" in moved.values["ranking"]


def test_other_seeds_are_for_the_probe_and_for_the_ranking(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def record(*_: Any, **settings: Any) -> Section:
        given.update(settings)
        return Section("following", "following", "")

    monkeypatch.setattr(parts, "following", record)
    source: Any = evidence.source
    parts.followed(evidence, source.reference.policy(0), ["way"])
    contest = parts.contest(evidence, three(evidence), _SCORER, **_SETTINGS)
    assert (given["first_seed"], contest.first_seed) == (500_001, 600_001)
    assert given["reference"] is contest.reference is source.reference
    assert given["folder"].parent == contest.folder.parent == evidence.folder
    assert (given["simulator"], given["seed"]) == (evidence.simulator, 7)
    assert (given["names"], contest.longest) == (["way"], 1)
