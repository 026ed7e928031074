"""Many actions: how near a model stays to the truth, step after step, and what wears out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from math import isnan
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from chronosim.evaluation.defects import (
    LEAVING,
    find_leaving,
    find_wear,
    shares_lost,
    sharpness_curve,
)
from chronosim.evaluation.intervals import Curve, resample_steps
from chronosim.evaluation.report.plots import difference, draw_curves, filmstrip
from chronosim.evaluation.report.section import Gauge, Picture, Section, Table, finite
from chronosim.evaluation.terms import Reader, own_errors, read_rollouts
from chronosim.evaluation.truth import Recording, Steps
from chronosim.metrics.distribution import Distance
from chronosim.metrics.perceptual import Perceptual
from chronosim.metrics.pixels import finite_psnr, psnr, squared_error
from chronosim.metrics.structure import SMALLEST, multiscale_similarity, structural_similarity
from chronosim.types import Frame, Frames

_SHOWN = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50)  # steps that a table has room for
_PICTURED = 8  # frames of a filmstrip
_MEAN = "PSNR, dB: mean frame of the other episodes"
_SHARP = (
    "Sharpness (variance of the Laplacian) of predicted frames over that of the true ones: below 1 "
    "they are blurred, above 1 they are grainy."
)
_TERMS = (
    "Fed on its own frames, in the world's own terms: the median difference from the truth, or the "
    "median ratio where one is named, over the episodes of which both frames could be read."
)
_MODEL, _FIRST, _BEFORE = "model", "copy-last-frame (the first)", "copy-last-frame"


def horizon_section(
    recordings: Sequence[Recording],
    imagined: Steps,
    taught: Steps,
    networks: Networks | None = None,
    shown: Steps = (),
    *,
    reader: Reader | None = None,
) -> Section:
    """Judges a model step by step: fed on its own frames, and shown the true one each time.

    Args:
        recordings: What truly happened in at least two episodes, all of one length.
        imagined: What the model made of their actions alone, as `roll_out` gives it.
        taught: What it made of each true observation, as `teach` gives it.
        networks: For LPIPS, FID and FVD.
        shown: The truth through the model's autoencoder; none if it has none.
        reader: Tells of frames in the world's own terms; None: nobody can.
    """
    networks = networks or Networks()
    true = _true(recordings)
    measures = applicable(true[0].shape[1:3], networks.lpips)
    free = _measure(measures, true[1:], {_MODEL: imagined, _FIRST: [true[0]] * len(imagined)})
    led = _measure(measures, true[1:], {_MODEL: taught, _BEFORE: true[:-1]})
    sharp = {"free-running": sharpness_curve(imagined, true[1:])}
    sharp["teacher-forced"] = sharpness_curve(taught, true[1:])
    lost = shares_lost(imagined, true, shown)
    findings = [*find_wear(imagined, true), *([find_leaving(lost)] if lost else [])]
    drift = score_rollouts(recordings, imagined)
    sets = compare_sets(networks, imagined, true[1:])
    rows, terms = read_rollouts(reader, true, imagined, shown) if reader else ([], {})
    captions = (
        f"Fed on its own frames: {len(recordings)} episodes of {len(imagined)} steps.",
        "Shown the true frame before each step: the error of one step, none of it fed back.",
    )
    return Section(
        name="fidelity",
        title="Many actions: on its own frames",
        verdict=_verdict(free["psnr"], led["psnr"], drift.steps_above_first, len(recordings)),
        warnings=tuple(finding.name for finding in findings if finding.found),
        tables=(
            steps_table(
                # What one would reach who knows the world, but not the episode.
                [*_rows(measures, free), (_MEAN, drift.mean_frame, ".1f")],
                captions[0],
            ),
            *([steps_table(rows, f"{_TERMS} {own_errors(reader)}")] if reader else []),
            steps_table(_rows(measures, led), captions[1]),
            steps_table([(name, curve.values, ".2f") for name, curve in sharp.items()], _SHARP),
            *([steps_table([("lost", lost, ".0%")], LEAVING)] if lost else []),
            *sets_table(sets),
        ),
        pictures=(
            _curves(measures, free, captions[0]),
            _rollout_picture(recordings, imagined, free["psnr"]),
            _curves(measures, led, captions[1]),
        ),
        values=finite(
            {
                "episodes": len(recordings),
                "steps": len(imagined),
                "free_running": _plain(free),
                "teacher_forced": _plain(led),
                "mean_frame_psnr": drift.mean_frame,
                "steps_above_first": drift.steps_above_first,
                "steps_above_mean": drift.steps_above_mean,
                "sharpness": {name: asdict(curve) for name, curve in sharp.items()},
                "lost": lost,
                "sets": sets,
                "terms": terms,
                "findings": {each.name: each.values() for each in findings},
            }
        ),
        gauge=_gauge(free["psnr"], _gain(measures[0], imagined, true)),
    )


def _true(recordings: Sequence[Recording]) -> list[Frames]:
    """The true frames: the first ones, then after each step."""
    times = range(len(recordings[0].observations))
    return [np.stack([each.observations[time].frame for each in recordings]) for time in times]


def _measure(
    measures: Sequence[Measure], true: Steps, ways: Mapping[str, Steps]
) -> dict[str, dict[str, Curve]]:
    """For each measure, the curve of each way of predicting."""
    return {
        measure.key: {
            name: resample_steps(
                np.stack([measure.compare(a, b) for a, b in zip(steps, true, strict=True)]),
                of=measure.figure,
            )
            for name, steps in ways.items()
        }
        for measure in measures
    }


def _verdict(free: Mapping[str, Curve], led: Mapping[str, Curve], above: int, episodes: int) -> str:
    alone, first, shown, before = free[_MODEL], free[_FIRST], led[_MODEL], led[_BEFORE]
    return (
        f"Fed on its own frames for {len(alone.values)} steps, the model reaches {_told(alone)} on "
        f"average, a copy of the first frame {first.mean:.1f} dB, and stays above it for the first "
        f"{above} steps; shown the true frame before each step it reaches {_told(shown)}, a copy "
        f"of that frame {before.mean:.1f} dB ({episodes} episodes)."
    )


def _told(curve: Curve) -> str:
    return f"{curve.mean:.1f} dB ({curve.mean_low:.1f} to {curve.mean_high:.1f})"


def _gain(measure: Measure, imagined: Steps, true: Steps) -> Curve:
    """What the model is above a copy of the first frame, episode by episode."""
    ours, copied = (
        np.stack([measure.compare(a, b) for a, b in zip(steps, true[1:], strict=True)])
        for steps in (imagined, [true[0]] * len(imagined))
    )
    return resample_steps(ours, copied, of=lambda a, b: measure.figure(a) - measure.figure(b))


def _gauge(free: Mapping[str, Curve], gain: Curve) -> Gauge:
    ours = free[_MODEL]
    return Gauge(
        label=f"PSNR, mean over {len(ours.values)} steps alone",
        value=ours.mean,
        low=ours.mean_low,
        high=ours.mean_high,
        baseline=free[_FIRST].mean,
        baseline_label="copy-last-frame",
        least=8.0,
        most=30.0,
        unit="dB",
        gain_low=gain.mean_low,
        gain_high=gain.mean_high,
    )


def _rows(
    measures: Sequence[Measure], curves: Mapping[str, Mapping[str, Curve]]
) -> list[tuple[str, Sequence[float], str]]:
    return [
        (f"{measure.title}: {name}", curve.values, f".{measure.digits}f")
        for measure in measures
        for name, curve in curves[measure.key].items()
    ]


def steps_table(rows: Sequence[tuple[str, Sequence[float], str]], caption: str) -> Table:
    """Lays out rows of a name, a value after each step (NaN: none) and its format, if they fit."""
    number = len(rows[0][1])
    steps = [*(step for step in _SHOWN if step < number), number]
    cells = (
        (name, *("-" if isnan(v := values[s - 1]) else format(v, style) for s in steps))
        for name, values, style in rows
    )
    return Table(("step", *map(str, steps)), tuple(cells), caption)


def _curves(
    measures: Sequence[Measure], curves: Mapping[str, Mapping[str, Curve]], caption: str
) -> Picture:
    drawn = draw_curves({measure.title: curves[measure.key] for measure in measures})
    return Picture(drawn, f"{caption} Bands: 95%, by resampling the episodes.")


def _rollout_picture(
    recordings: Sequence[Recording], imagined: Steps, free: Mapping[str, Curve]
) -> Picture:
    """The episode whose error at the end is the middle one: neither the best nor the worst."""
    last = np.stack([recording.observations[-1].frame for recording in recordings])
    errors = np.mean((imagined[-1].astype(float) - last) ** 2, (1, 2, 3))
    episode = int(np.argsort(errors)[len(errors) // 2])
    spread = np.geomspace(1, len(imagined), min(_PICTURED, len(imagined)))
    steps = sorted({round(step) for step in spread})
    true = [recordings[episode].observations[step].frame for step in steps]
    ours = [imagined[step - 1][episode] for step in steps]
    rows = {
        "real": true,
        "predicted": ours,
        "difference": [difference(a, b) for a, b in zip(true, ours, strict=True)],
    }
    return Picture(
        filmstrip(rows, [f"step {step}" for step in steps]),
        f"A held-out episode (seed {recordings[episode].seed}), the middle one by its error at the "
        "end: both begin with the same frame and take the same actions; the model never sees a "
        "real frame again.",
    )


def _plain(curves: Mapping[str, Mapping[str, Curve]]) -> dict[str, Any]:
    return {
        key: {name: asdict(curve) for name, curve in ways.items()} for key, ways in curves.items()
    }


_SSIM_SMALLEST = 11  # pixels


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A measure of pairs of frames.

    Attributes:
        key: Its name in JSON.
        title: Its name and unit in words.
        compare: From predicted and true frames to a number for each episode.
        figure: From the mean of those numbers to what is told.
        digits: Behind the point.
        smallest: Pixels that a frame's side must have.
    """

    key: str
    title: str
    compare: Callable[[Frames, Frames], Float64[np.ndarray, " episodes"]]
    figure: Callable[..., Any] = np.positive
    digits: int = 3
    smallest: int = 1


def _squared_errors(predicted: Frames, true: Frames) -> Float64[np.ndarray, " episodes"]:
    return np.array([squared_error(a, b) for a, b in zip(predicted, true, strict=True)])


MEASURES = (
    # Of the error pooled over episodes, as everywhere in an evaluation.
    Measure("psnr", "PSNR, dB", _squared_errors, finite_psnr, 1),
    Measure("ssim", "SSIM", structural_similarity, smallest=_SSIM_SMALLEST),
    Measure("ms_ssim", "MS-SSIM (4 scales)", multiscale_similarity, smallest=SMALLEST),
)
"""Those that need no network."""


def applicable(size: tuple[int, int], perceptual: Perceptual | None = None) -> Sequence[Measure]:
    """Gives the measures that frames of a size allow, and LPIPS where there is a network.

    Args:
        size: (height, width).
        perceptual: LPIPS; None: without.
    """
    known = [measure for measure in MEASURES if min(size) >= measure.smallest]
    if perceptual is not None:
        known.append(Measure("lpips", "LPIPS (lower is better)", perceptual))
    return known


Clips = UInt8[np.ndarray, "episodes time height width 3"]


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """Trained networks for the measures that need one; None: that measure is left out.

    Attributes:
        lpips: Compares frame with frame.
        fid: Compares all frames of the rollouts with all true ones.
        fvd: Compares whole rollouts with whole episodes.
    """

    lpips: Perceptual | None = None
    fid: Distance | None = None
    fvd: Distance | None = None


def compare_sets(networks: Networks, imagined: Steps, true: Steps) -> dict[str, Any]:
    """Gives FID and FVD, and those of halves: model from truth, and truth from truth.

    Distances of few are larger than those of many, so halves are compared with halves.

    Args:
        networks: Those that are None are left out.
        imagined: After each step, the model's frame of each episode.
        true: The true ones.

    Returns:
        By measure: `model`; `half`, of half of the model's episodes from the other half's truth,
        and `truth`, of half of the truth from its other half (None with fewer than 4 episodes); and
        the settings that the figures depend on; JSON values.
    """
    found: dict[str, Any] = {}
    clips, real = np.stack(imagined, 1), np.stack(true, 1)
    sizes: dict[str, Any] = {"clips": len(clips), "frames": clips.shape[1]}
    if (fid := networks.fid) is not None:
        frames = {"frames": len(clips) * clips.shape[1]}
        found["fid"] = {
            **_distances(lambda a, b: fid.of_frames([*chain(*a)], [*chain(*b)]), clips, real),
            "network": fid.name,
            **frames,
        }
    if (fvd := networks.fvd) is not None:
        distances = _distances(lambda a, b: fvd.of_clips(list(a), list(b)), clips, real)
        found["fvd"] = {**distances, "network": fvd.name, **sizes}
    return found


def _distances(
    measure: Callable[[Clips, Clips], float], clips: Clips, real: Clips
) -> dict[str, float | None]:
    whole = measure(clips, real)
    if len(clips) < 4:
        return {"model": whole, "half": None, "truth": None}
    halves = (measure(clips[::2], real[1::2]), measure(clips[1::2], real[::2]))
    truth = measure(real[::2], real[1::2])
    return {"model": whole, "half": float(np.mean(halves)), "truth": truth}


def sets_table(sets: Mapping[str, Any]) -> tuple[Table, ...]:
    """Gives what was compared as a table; none if nothing was."""
    if not sets:
        return ()
    ways = ("model", "half", "truth")
    rows = tuple(
        (
            name.upper(),
            *("-" if each[way] is None else f"{each[way]:.1f}" for way in ways),
            each["network"],
        )
        for name, each in sets.items()
    )
    caption = (
        "Distances between sets, fed on its own frames. Half of its episodes from the other half's "
        "truth compares with the truth of the halves from one another, the least that so few can "
        "show. Figures of other numbers of frames, clips or lengths, or of other networks, cannot "
        "be compared."
    )
    header = ("distance", "model", "model, halves", "truth from truth, halves", "network")
    return (Table(header, rows, caption),)


@dataclass(frozen=True, slots=True)
class Drift:
    """How near to the truth a free-running model stays; PSNR of the error pooled over episodes, dB.

    Attributes:
        episodes: How many.
        model: Of the model's frame after each step.
        first_frame: Of the last true frame that the model saw, the first of the episode.
        mean_frame: Of the mean over all true frames of the other episodes: the best guess of one
            who knows the world but not this episode. Those are held-out episodes, too, so it is a
            mean that the model never saw; that of the frames it was trained on differs little.
    """

    episodes: int
    model: tuple[float, ...]
    first_frame: tuple[float, ...]
    mean_frame: tuple[float, ...]

    @property
    def steps_above_first(self) -> int:
        """How many steps from the beginning the model is above the first frame throughout."""
        return _leading(self.model, self.first_frame)

    @property
    def steps_above_mean(self) -> int:
        """How many steps from the beginning the model is above the mean frame throughout."""
        return _leading(self.model, self.mean_frame)


def score_rollouts(recordings: Sequence[Recording], imagined: Sequence[Frames]) -> Drift:
    """Scores rollouts, step by step.

    Args:
        recordings: What truly happened in at least two episodes.
        imagined: What the model made of it: after each step, a frame of each episode.
    """
    first = np.stack([recording.observations[0].frame for recording in recordings])
    mean = np.stack(_means_of_others(recordings))
    true = [
        np.stack([recording.observations[step + 1].frame for recording in recordings])
        for step in range(len(imagined))
    ]
    return Drift(
        episodes=len(recordings),
        model=tuple(psnr(squared_error(i, t)) for i, t in zip(imagined, true, strict=True)),
        first_frame=tuple(psnr(squared_error(first, t)) for t in true),
        mean_frame=tuple(psnr(squared_error(mean, t)) for t in true),
    )


def _means_of_others(recordings: Sequence[Recording]) -> list[Frame]:
    """For each episode the mean frame of all others."""
    means = np.stack(
        [np.mean([o.frame for o in recording.observations], axis=0) for recording in recordings]
    )
    others = (means.sum(axis=0) - means) / (len(means) - 1)
    return list(others.round().astype(np.uint8))


def _leading(ours: Sequence[float], theirs: Sequence[float]) -> int:
    above = [a > b for a, b in zip(ours, theirs, strict=True)]
    return above.index(False) if False in above else len(above)
