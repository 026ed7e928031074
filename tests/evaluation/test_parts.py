"""That the parts are given the evidence they are about; each part has tests of its own."""

from pathlib import Path
from typing import Any

import pytest

from chronosim.evaluation import Reference, parts
from chronosim.evaluation.evidence import Evidence
from chronosim.evaluation.outcomes.outcomes import Setting
from chronosim.evaluation.reporting.section import Section
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


def test_other_seeds_are_for_the_probe_and_for_the_ranking(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def record(name: str) -> Any:
        def part(*_: Any, **settings: Any) -> Section:
            given[name] = settings
            return Section(name, name, "")

        return part

    monkeypatch.setattr(parts, "following", record("following"))
    monkeypatch.setattr(parts, "rank", record("ranking"))
    source: Any = evidence.source
    idle = source.reference.policy(0)
    parts.followed(evidence, idle, ["way"])
    scorer: Any = type("Scorer", (), {"begin": lambda *_: None, "score": lambda *_: None})()
    parts.ranked(evidence, [], scorer, starts=5, horizon=3, lead_in=idle, longest=2)
    assert given["following"]["first_seed"] == 500_001
    assert given["ranking"]["first_seed"] == 600_001
    for settings in given.values():
        assert settings["reference"] is source.reference
        assert settings["simulator"] is evidence.simulator
        assert settings["seed"] == 7
        assert settings["folder"].parent == evidence.folder
    assert given["ranking"]["longest"] == 2
    assert given["following"]["names"] == ["way"]
