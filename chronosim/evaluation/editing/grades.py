"""The figures that papers on editing quote, of edits on disk, as a section."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chronosim.errors import InvalidFrame, InvalidPrompt
from chronosim.evaluation.editing.edits import Edit
from chronosim.evaluation.reporting.section import Section, Table
from chronosim.frames import resize_frame
from chronosim.metrics.clip import Clip
from chronosim.metrics.judge import Judge
from chronosim.metrics.perceptual import Perceptual
from chronosim.metrics.pixels import psnr, squared_error
from chronosim.metrics.sharpness import sharpness
from chronosim.metrics.structure import structural_similarity
from chronosim.metrics.verdict import AXES, judge_edit
from chronosim.types import Frame

__all__ = ["Graders", "editing_section", "grade"]

_log = logging.getLogger(__name__)
_RESAMPLES = 2000
_TITLES = {
    "psnr": ("PSNR to before, dB", 1),
    "ssim": ("SSIM to before", 3),
    "sharpness": ("sharpness of after", 0),
    "sharpness_ratio": ("sharpness, after over before", 2),
    "lpips": ("LPIPS to before", 3),
    "clip_i": ("CLIP-I", 3),
    "clip_t": ("CLIP-T", 3),
    "action_fidelity": ("judge: action fidelity, 1 to 5", 2),
    "identity": ("judge: identity, 1 to 5", 2),
    "coherence": ("judge: coherence, 1 to 5", 2),
    "overall": ("judge: overall, 1 to 5", 2),
}


@dataclass(frozen=True, slots=True, eq=False)
class Graders:
    """What looks at an edit besides arithmetic; None: that figure is left out.

    Attributes:
        clip: For CLIP-I and CLIP-T.
        lpips: For LPIPS.
        judge: For PBench-Edit's three axes.
    """

    clip: Clip | None = None
    lpips: Perceptual | None = None
    judge: Judge | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What the figures depend on, as JSON values."""
        return {
            "clip": None if self.clip is None else self.clip.name,
            "lpips": None if self.lpips is None else self.lpips.name,
            "judge": None if self.judge is None else dict(self.judge.identity),
        }


def grade(edit: Edit, graders: Graders) -> dict[str, Any]:
    """Grades one edit.

    Args:
        edit: On disk. An outcome of another size than what was seen is scaled to it for PSNR, SSIM
            and LPIPS, which compare pixel with pixel.
        graders: What there is.

    Returns:
        Figures by name, None for one that this edit has not (words too long for CLIP, a frame too
        small for a window); and `reasons`, what the judge said.

    Raises:
        InvalidFrame: A frame cannot be read.
        JudgementFailed: The judge gives no mark.
    """
    before, after = edit.read()
    size = (before.shape[0], before.shape[1])
    fitted = after if after.shape == before.shape else resize_frame(after, size)
    error = squared_error(before, fitted)
    ours, theirs = sharpness(after), sharpness(before)
    grades: dict[str, Any] = {
        "psnr": psnr(error) if error else None,
        "ssim": _or_none(edit, lambda: structural_similarity(fitted[None], before[None])[0]),
        "sharpness": ours,
        "sharpness_ratio": ours / theirs if theirs else None,
    }
    if (lpips := graders.lpips) is not None:
        grades["lpips"] = _or_none(edit, lambda: lpips(fitted[None], before[None])[0])
    if (clip := graders.clip) is not None:
        grades["clip_i"] = clip.compare_frames(before, after)
        grades["clip_t"] = _or_none(edit, lambda: clip.compare_words(after, edit.text))
    if graders.judge is not None:
        grades |= _marks(graders.judge, before, edit.text, after)
    return grades


def editing_section(
    edits: Sequence[Edit], grades: Sequence[Mapping[str, Any]], graders: Graders
) -> Section:
    """Sums up grades.

    Args:
        edits: At least one.
        grades: Of each.
        graders: What they were graded by.
    """
    named = [name for name in _TITLES if any(each.get(name) is not None for each in grades)]
    means = {name: _mean([each.get(name) for each in grades]) for name in named}
    rows = tuple(
        (title, f"{mean['mean']:.{digits}f}", _interval(mean, digits), str(mean["edits"]))
        for name, mean in means.items()
        for title, digits in [_TITLES[name]]
    )
    by = [f"{name} by {_named(value)}" for name, value in graders.settings.items() if value]
    caption = (
        "Means over edits, 95% intervals by resampling the edits. To before: what an edit should "
        "change lowers it as well as what it should not."
        + (f" Here {', '.join(by)}: other networks give other figures." if by else "")
    )
    header = ("edit", *(_TITLES[name][0] for name in named))
    each = tuple(
        (edit.name, *(_cell(one.get(name), _TITLES[name][1]) for name in named))
        for edit, one in zip(edits, grades, strict=True)
    )
    main = "overall" if "overall" in means else "clip_i" if "clip_i" in means else "ssim"
    told = f", {_TITLES[main][0]} {_range(means[main], main)}" if main in means else ""
    return Section(
        name="editing",
        title="Edits",
        verdict=f"{len(edits)} edits{told}.",
        tables=(
            Table(("measure", "mean", "95%", "edits"), rows, caption),
            Table(header, each, "Each edit by itself."),
        ),
        values={
            "means": means,
            "graders": graders.settings,
            "edits": [
                {"name": edit.name, "text": edit.text, **one}
                for edit, one in zip(edits, grades, strict=True)
            ],
        },
    )


def _marks(judge: Judge, before: Frame, text: str, after: Any) -> dict[str, Any]:
    verdict = judge_edit(judge, before, text, after)
    said = asdict(verdict)
    return {
        **{axis: said[axis]["mark"] for axis in AXES},
        "overall": verdict.overall,
        "reasons": {axis: said[axis]["reason"] for axis in AXES},
    }


def _or_none(edit: Edit, measure: Callable[[], Any]) -> float | None:
    try:
        return float(measure())
    except (InvalidFrame, InvalidPrompt) as error:
        _log.warning("%s: %s", edit.name, error)
        return None


def _mean(values: Iterable[float | None]) -> dict[str, Any]:
    known = np.array([value for value in values if value is not None], float)
    draws = np.random.default_rng(0).integers(0, len(known), (_RESAMPLES, len(known)))
    low, high = np.percentile(known[draws].mean(1), (2.5, 97.5))
    return {
        "mean": float(known.mean()),
        "low": float(low),
        "high": float(high),
        "edits": len(known),
    }


def _range(mean: Mapping[str, Any], name: str) -> str:
    digits = _TITLES[name][1]
    return f"{mean['mean']:.{digits}f} ({_interval(mean, digits)})"


def _interval(mean: Mapping[str, Any], digits: int) -> str:
    return f"{mean['low']:.{digits}f} to {mean['high']:.{digits}f}"


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _named(settings: Any) -> str:
    return str(settings["name"]) if isinstance(settings, Mapping) else str(settings)
