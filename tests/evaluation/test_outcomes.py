import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from chronosim.evaluation import Moment, Region, copy_frame
from chronosim.evaluation.outcomes import outcomes_section
from chronosim.evaluation.report.section import Section
from chronosim.evaluation.sources import Setting
from chronosim.types import Trajectory

Noise = Callable[..., list[Moment]]
SETTING = Setting("Slider", 1_000_000, 4, 10.0, Region("dashboard", 84))


def judged(moments: list[Moment], ours: list[Trajectory], setting: Setting = SETTING) -> Section:
    copies = [copy_frame(moment) for moment in moments]
    return outcomes_section(
        moments, {"model": ours, "copy-last-frame": copies}, setting, seconds=0.27
    )


def near(moment: Moment) -> Trajectory:
    return np.clip(moment.trajectory.astype(int) + 3, 0, 255).astype(np.uint8)


def test_the_tables_say_it_all(noise: Noise) -> None:
    moments = noise()
    section = judged(moments, [near(moment) for moment in moments])
    outcomes, between = section.tables
    assert "8 moments of Slider (seeds from 1,000,000 on)" in outcomes.caption
    assert "the dashboard left out: guessing follows 20%. 0.27 s a prediction." in outcomes.caption
    rows = {row[0]: row[1:] for row in outcomes.rows}
    assert rows["model"] == ("38.6", "38.6", "100% (68% to 100%)")
    assert set(rows) >= {"copy-last-frame", "model, no dashboard"}
    assert between.header == ("frame", "1", "2")
    assert section.gauge is not None
    assert section.gauge.light == "good"
    assert section.warnings == ()
    assert "38.6 dB PSNR" in section.verdict
    assert json.loads(json.dumps(dict(section.values), allow_nan=False)) == section.values


def test_no_better_than_the_last_frame_is_a_warning(noise: Noise) -> None:
    moments = noise()
    section = judged(moments, [copy_frame(moment) for moment in moments])
    assert section.warnings == ("outcomes are no better than the last frame",)
    assert section.gauge is not None
    assert section.gauge.light != "good"


def test_a_perfect_model_breaks_nothing(noise: Noise) -> None:
    moments = noise()
    section = judged(moments, [moment.trajectory for moment in moments])
    assert section.values["scores"]["model"]["whole"]["psnr"] is None, "infinite"
    assert section.warnings == ()


def test_where_nobody_knows_other_outcomes_following_is_not_told(noise: Noise) -> None:
    moments = [replace(m, actions=(0,), others=m.others[:0]) for m in noise()]
    section = judged(moments, [near(moment) for moment in moments], Setting("my data"))
    assert section.tables[0].header == ("outcome", "all", "moving half")
    assert "guessing" not in section.tables[0].caption
    assert "of my data, PSNR" in section.tables[0].caption


def test_trajectories_of_another_length_are_told(noise: Noise) -> None:
    moments = noise()
    section = judged(moments, [near(moment)[-1:] for moment in moments])
    assert "only the outcomes were judged" in section.tables[1].caption


@pytest.mark.parametrize("number", [2, 9])
def test_any_number_of_moments_is_pictured(noise: Noise, number: int) -> None:
    moments = noise(number)
    [picture] = judged(moments, [near(moment) for moment in moments]).pictures
    assert picture.png.startswith(b"\x89PNG")
