import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.evaluation.report.report import Report, load_section, render, save_section
from chronosim.evaluation.report.section import Gauge, Picture, Section, Table


@pytest.fixture
def section() -> Section:
    return Section(
        name="outcomes",
        title="Outcomes",
        verdict="They come true.",
        warnings=("colours drift",),
        tables=(Table(("what", "dB"), (("model", "23.5"), ("copy", "18.4")), "Of a test."),),
        pictures=(Picture(b"\x89PNG first", "One."), Picture(b"\x89PNG second", "Two.")),
        values={"psnr": np.float32(23.5), "best": math.inf, "steps": np.arange(2)},
        gauge=Gauge("PSNR", 23.5, 22.0, 25.0, 18.4, "copy", 10.0, 30.0, "dB"),
    )


def test_a_section_comes_back_as_it_was_kept(section: Section, tmp_path: Path) -> None:
    assert load_section(tmp_path, "outcomes") is None
    save_section(tmp_path / "parts", section)
    kept = load_section(tmp_path / "parts", "outcomes")
    assert kept is not None
    assert (kept.title, kept.verdict, kept.warnings) == (
        "Outcomes",
        section.verdict,
        ("colours drift",),
    )
    assert kept.tables == section.tables
    assert [(p.png, p.caption) for p in kept.pictures] == [
        (p.png, p.caption) for p in section.pictures
    ]
    assert kept.values == {"psnr": 23.5, "best": None, "steps": [0, 1]}
    assert kept.gauge == section.gauge


@pytest.mark.parametrize("baseline", [math.inf, 18.4])
def test_a_figure_without_error_is_kept_and_drawn(
    section: Section, tmp_path: Path, baseline: float
) -> None:
    gauge = Gauge("PSNR", math.inf, 22.0, math.inf, baseline, "copy", 10.0, 30.0, "dB")
    save_section(tmp_path, replace(section, gauge=gauge))
    kept = load_section(tmp_path, "outcomes")
    assert kept is not None
    assert kept.gauge == gauge
    report = Report("mine", "Tested.", (kept,), {}, {}, {}, {}, "now")
    assert "inf dB" in render(report)


def test_what_cannot_be_read_is_said(section: Section, tmp_path: Path) -> None:
    save_section(tmp_path, section)
    kept = json.loads((tmp_path / "outcomes.json").read_text())
    del kept["verdict"]
    (tmp_path / "outcomes.json").write_text(json.dumps(kept))
    with pytest.raises(InvalidConfig, match="remove it, and it is computed anew"):
        load_section(tmp_path, "outcomes")


def test_a_table_is_markdown(section: Section) -> None:
    assert section.tables[0].markdown() == (
        "Of a test.\n\n| what  | dB   |\n| ----- | ---- |\n| model | 23.5 |\n| copy  | 18.4 |"
    )
    assert Table((), (), "Only words.").markdown() == "Only words."
    with pytest.raises(ValueError, match="a row of 1 cells under a header of 2"):
        Table(("a", "b"), (("c",),), "")


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "light"),
    [
        (0.6, 0.8, False, "good"),
        (0.1, 0.8, False, "unsure"),
        (0.1, 0.2, False, "bad"),
        (0.6, 0.8, True, "bad"),
        (0.1, 0.15, True, "good"),
    ],
)
def test_a_light_follows_from_interval_and_baseline(
    low: float, high: float, lower_is_better: bool, light: str
) -> None:
    gauge = Gauge("x", 0.5, low, high, 0.2, "guessing", 0, 1, "%", lower_is_better)
    assert gauge.light == light
