from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from chronosim.evaluation import Closeness, Drift, Region, Scores, Share
from chronosim.evaluation.machine import describe_machine, list_versions
from chronosim.evaluation.pictures import draw_drift
from chronosim.evaluation.report import Report


@pytest.fixture
def report() -> Report:
    near = Closeness(24.04, 23.04, Share(0.8, 0.74, 0.85))
    far = Closeness(18.0, 16.0, Share(0.2, 0.15, 0.26))
    best = Closeness(math.inf, 33.0, Share(1.0, 0.98, 1.0))
    return Report(
        source="Slider",
        first_seed=1_000_000,
        moments=200,
        others=4,
        apart=10.0,
        left_out=Region("dashboard", 84),
        scores={
            "model": Scores(near, far, (25.0, 24.0)),
            "copy-last-frame": Scores(far, far, (20.0, 19.0)),
            "oracle": Scores(best, best, (34.0, 33.0)),
        },
        drift=Drift(40, (20.0, 18.0), (19.0, 18.5), (17.0, 17.0)),
        seconds=0.27,
    )


def test_the_tables_say_it_all(report: Report) -> None:
    text = report.markdown()
    lines = text.splitlines()
    assert "200 moments of Slider (seeds from 1,000,000 on)" in text
    assert (
        "at least 10 grey levels (RMS) apart, the dashboard left out: guessing follows 20%" in text
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    assert ["model", "24.0", "23.0", "80% (74% to 85%)"] in rows
    assert ["model, no dashboard", "18.0", "16.0", "20% (15% to 26%)"] in rows
    assert ["copy-last-frame", "20.0", "19.0"] in rows
    assert ["step", "1", "2"] in rows
    assert "above copy-last-frame for 1 steps from the beginning" in text
    assert "above the mean frame for 2" in text


def test_a_world_without_a_region_has_no_rows_of_it(report: Report) -> None:
    scores = {name: replace(row, without=None) for name, row in report.scores.items()}
    assert "dashboard" not in replace(report, left_out=None, scores=scores).markdown()


def test_trajectories_of_another_length_are_told(report: Report) -> None:
    scores = dict(report.scores) | {"model": replace(report.scores["model"], between=None)}
    text = replace(report, scores=scores).markdown()
    assert "only the outcomes were judged" in text
    assert "on the way" not in text


def test_every_figure_is_json(report: Report) -> None:
    values = report.values()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["scores"]["oracle"]["whole"]["psnr"] is None, "infinite"
    assert values["scores"]["model"]["between"] == [25.0, 24.0]
    assert values["drift"]["model"] == [20.0, 18.0]


def test_the_curves_are_drawn(report: Report, tmp_path: Path) -> None:
    draw_drift(report.drift, tmp_path / "rollouts.png")
    assert (tmp_path / "rollouts.png").stat().st_size > 5000


def test_the_machine_is_json() -> None:
    assert json.loads(json.dumps(describe_machine())) == describe_machine()
    assert describe_machine()["processor"]
    assert {"chronosim", "torch"} <= set(list_versions())
