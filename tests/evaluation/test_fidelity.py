"""Fidelity against the horizon, on a world whose answers are known and on broken rollouts."""

import json
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from chronosim.evaluation import Recording, Reference, draw_recordings, roll_out
from chronosim.evaluation.fidelity import Networks, compare_sets, horizon_section, sets_table
from chronosim.evaluation.predictions import teach
from chronosim.evaluation.report.section import Section
from chronosim.metrics.distribution import Distance
from chronosim.metrics.perceptual import Perceptual
from chronosim.testing import EchoModel
from chronosim.types import Observation
from chronosim.world import World

STEPS, EPISODES = 8, 4


def judge(reference: Reference, model: Any) -> Section:
    recordings = list(draw_recordings(EPISODES, reference=reference, steps=5, first_seed=1))
    simulator = World(model, reference.prompter)
    imagined = list(roll_out(recordings, simulator, seed=0))
    return horizon_section(recordings, imagined, list(teach(recordings, simulator, seed=0)))


@pytest.fixture(scope="module")
def films() -> Any:
    """True frames (time, episodes, 96, 96, 3): coloured blocks that move on by 4 pixels a step."""
    blocks = np.random.default_rng(0).integers(60, 190, (EPISODES, 12, 12, 3), np.uint8)
    first = blocks.repeat(8, axis=1).repeat(8, axis=2)
    return np.stack([np.roll(first, 4 * time, axis=2) for time in range(STEPS + 1)])


def judged(films: Any, imagined: Any, networks: Networks | None = None) -> Section:
    recordings = [
        Recording(seed, (None,) * STEPS, tuple(map(Observation, films[:, seed])))
        for seed in range(EPISODES)
    ]
    return horizon_section(recordings, list(imagined), list(films[1:]), networks)


def test_a_model_that_knows_the_world_is_without_fault(slider: Reference, knowing: Any) -> None:
    section = judge(slider, knowing)
    assert section.name == "fidelity"
    assert section.warnings == ()
    alone = section.values["free_running"]["ssim"]["model"]
    assert alone["values"] == pytest.approx([1] * 5)
    psnrs = section.values["free_running"]["psnr"]["model"]["values"]
    assert psnrs == pytest.approx([108.1] * 5, abs=0.1), "no error counts as one of 1e-6"
    assert section.values["sharpness"]["free-running"]["values"] == [1] * 5
    assert "ms_ssim" not in section.values["free_running"], "24 pixels are too few for four scales"
    json.dumps(section.values, allow_nan=False)


def test_a_model_that_copies_scores_as_the_copies_do_and_freezes(slider: Reference) -> None:
    section = judge(slider, EchoModel())
    for way, copy in (
        ("free_running", "copy-last-frame (the first)"),
        ("teacher_forced", "copy-last-frame"),
    ):
        for curves in section.values[way].values():
            assert curves["model"] == curves[copy]
    assert section.warnings == ("frames freeze",)
    assert section.values["steps_above_first"] == 0
    assert section.gauge is not None
    assert section.gauge.value == section.gauge.baseline
    assert section.gauge.light == "bad", "not better in any episode"


def test_teaching_shows_the_true_frame_at_each_step(slider: Reference) -> None:
    recordings = list(draw_recordings(3, reference=slider, steps=4, first_seed=1))
    taught = list(teach(recordings, World(EchoModel(), slider.prompter), seed=0))
    for depth, frames in enumerate(taught):
        for frame, recording in zip(frames, recordings, strict=True):
            np.testing.assert_array_equal(frame, recording.observations[depth].frame)


def drift_colours(frames: Any, time: int) -> Any:
    return (frames.astype(int) + np.array([3 * time, 0, 0])).clip(0, 255).astype(np.uint8)


def blur(frames: Any, time: int) -> Any:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 0.1 + time / 4) for frame in frames])


@pytest.mark.parametrize(
    ("spoil", "warnings"),
    [
        (lambda frames, time: frames, ()),
        (drift_colours, ("colours drift",)),
        (blur, ("frames blur",)),
    ],
)
def test_what_wears_out_is_named(films: Any, spoil: Any, warnings: tuple[str, ...]) -> None:
    section = judged(films, [spoil(frames, time) for time, frames in enumerate(films)][1:])
    assert section.warnings == warnings
    finding = section.values["findings"]["colours drift"]
    # Over the last quarter: steps 7 and 8.
    drifted = 22.5 if "colours drift" in warnings else 0
    assert finding["measured"] == pytest.approx(drifted, abs=0.5)


def test_frames_that_stop_are_named(films: Any) -> None:
    stuck = [films[min(time, 2)] for time in range(1, STEPS + 1)]
    section = judged(films, stuck)
    assert section.warnings == ("frames freeze",)
    assert "a copy of the first frame" in section.verdict
    psnrs = section.values["free_running"]["psnr"]["model"]["values"]
    assert psnrs[:2] == pytest.approx([108.1] * 2, abs=0.1)
    assert psnrs[2] > psnrs[-1] < 15


def test_errors_are_seen_in_every_measure_and_picture(films: Any) -> None:
    noise = np.random.default_rng(1).normal(0, 30, films[1:].shape)
    spoilt = (films[1:] + noise).clip(0, 255).astype(np.uint8)
    section = judged(films, spoilt)
    alone = section.values["free_running"]
    assert max(alone["ssim"]["model"]["values"]) < 0.9
    assert max(alone["ms_ssim"]["model"]["values"]) < 0.999
    assert alone["psnr"]["model"]["mean"] == pytest.approx(18.8, abs=0.3)
    low, high = alone["psnr"]["model"]["mean_low"], alone["psnr"]["model"]["mean_high"]
    assert low < alone["psnr"]["model"]["mean"] < high
    assert min(section.values["sharpness"]["free-running"]["values"]) > 1.2, "noise is grainy"
    assert [picture.png[:4] for picture in section.pictures] == [b"\x89PNG"] * 3
    for table in section.tables:
        assert all(len(row) == len(table.header) for row in table.rows)


def test_networks_add_their_measures(films: Any) -> None:
    def colours(frames: torch.Tensor) -> torch.Tensor:
        return frames.double().flatten(2).mean(2)

    networks = Networks(
        lpips=Perceptual(lambda frames: [frames], [torch.ones(3)], name="pixels"),
        fid=Distance(colours, "colours"),
        fvd=Distance(colours, "colours of clips"),
    )
    section = judged(films, films[1:], networks)
    assert section.values["free_running"]["lpips"]["model"]["values"] == [0] * STEPS
    sets = section.values["sets"]
    assert sets["fid"]["model"] == pytest.approx(0, abs=1e-6)
    assert sets["fid"]["truth"] > 0.1, "of a few episodes, one half differs from the other"
    assert sets["fid"]["half"] == pytest.approx(sets["fid"]["truth"], rel=1e-6), "it is the truth"
    assert sets["fid"]["frames"] == STEPS * EPISODES
    assert sets["fvd"] == sets["fvd"] | {"network": "colours of clips", "clips": 4, "frames": 8}
    drifted = judged(films, [drift_colours(f, t) for t, f in enumerate(films)][1:], networks)
    assert drifted.values["sets"]["fid"]["model"] > 50
    assert "FID" in drifted.tables[-1].rows[0][0]
    few = compare_sets(networks, list(films[1:, :2]), list(films[1:, :2]))
    assert (few["fvd"]["half"], few["fvd"]["truth"]) == (None, None)
    [table] = sets_table(few)
    assert table.rows[1][2:4] == ("-", "-")


def test_what_is_hard_for_both_makes_nothing_unsure(films: Any) -> None:
    """Episodes differ by more than the model and the copy do."""
    rng = np.random.default_rng(0)
    loud = np.array([1, 5, 20, 60])[:, None, None, None]
    changes = loud * rng.normal(0, 1, films[1:].shape)
    world = np.concatenate([films[:1], (films[:1] + changes).clip(0, 255).astype(np.uint8)])
    section = judged(world, (films[:1] + 0.2 * changes).clip(0, 255).astype(np.uint8))
    assert section.gauge is not None
    assert section.gauge.low < section.gauge.baseline < section.gauge.high
    assert section.gauge.light == "good"
