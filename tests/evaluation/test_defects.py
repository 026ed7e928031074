"""A deliberately broken model is caught by name, and a whole one is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.evaluation import Moment, Reference
from chronosim.evaluation.comparison import Comparison
from chronosim.evaluation.report.section import Section
from chronosim.evaluation.run import make_section
from chronosim.evaluation.sources import Simulated
from chronosim.world import World


@pytest.fixture
def comparison(slider: Reference, broken: Any, tmp_path: Path) -> Callable[[str], Comparison]:
    def make(how: str) -> Comparison:
        source = Simulated(
            slider, windows=8, rollouts=3, rollout_steps=6, first_seed=1, others=2, apart=10.0
        )
        model = World(broken(how), slider.prompter)
        return Comparison(tmp_path / (how or "whole"), model, source, seed=0)

    return make


def found(*sections: Section) -> list[str]:
    return sorted({warning for section in sections for warning in section.warnings})


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ("", []),
        ("ignores actions", ["actions are ignored"]),
        ("stands still", ["actions are ignored", "the picture stands still"]),
        ("runs backwards", ["the trajectory runs backwards"]),
        ("changes its mind", ["the same question gets different answers"]),
    ],
)
def test_single_steps_tell(
    how: str, names: list[str], comparison: Callable[[str], Comparison]
) -> None:
    section = make_section("defects", comparison(how))
    assert found(section) == names
    known = section.values["findings"]
    assert sorted(name for name, finding in known.items() if finding["found"]) == names
    assert len(known) == len(section.tables[0].rows) >= 3
    assert all(name in section.verdict for name in names)


def test_long_rollouts_tell_of_colours(comparison: Callable[[str], Comparison]) -> None:
    assert "colours drift" in make_section("fidelity", comparison("drifts")).warnings


def test_words_of_other_moments_are_tried_where_no_other_outcome_is_known(
    comparison: Callable[[str], Comparison],
) -> None:
    for how in ("", "ignores actions"):
        each = comparison(how)
        alone = [
            Moment(m.seed, m.observation, m.actions[:1], m.trajectory, m.others[:0])
            for m in each.moments
        ]
        each.__dict__["moments"] = alone
        assert ("actions are ignored" in found(make_section("defects", each))) == bool(how)


def test_an_outcome_without_a_way_cannot_run_backwards(
    comparison: Callable[[str], Comparison],
) -> None:
    each = comparison("")
    outcomes = [np.array(trajectory[-1:]) for trajectory in each.predicted]
    each.__dict__["_predictions"] = (outcomes, 0.1)
    assert "the trajectory runs backwards" not in make_section("defects", each).values["findings"]
