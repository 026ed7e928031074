"""Grades edits on disk by the figures that papers on editing quote, and sums them up."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronosim.bench.timing import list_versions
from chronosim.errors import InvalidConfig, InvalidFrame, InvalidPrompt
from chronosim.evaluation.intervals import resample
from chronosim.evaluation.report.section import Section, Table
from chronosim.files import user_path, write_text
from chronosim.frames import read_frame, resize_frame
from chronosim.metrics.clip import Clip
from chronosim.metrics.judge import AXES, Judge, judge_edit
from chronosim.metrics.perceptual import Perceptual
from chronosim.metrics.pixels import psnr, sharpness, squared_error
from chronosim.metrics.structure import structural_similarity
from chronosim.progress import Progress, listening, watch
from chronosim.types import Frame

_log = logging.getLogger(__name__)
_GRADES = "grades.jsonl"
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


def grade_edits(
    edits: str | Path | Sequence[Edit],
    graders: Graders | None = None,
    folder: Path | None = None,
    *,
    progress: Progress | None = None,
) -> Section:
    """Grades edits, and sums the grades up.

    Args:
        edits: Or where `find_edits` finds them.
        graders: What looks at them; None: arithmetic alone.
        folder: Gets results.json, results.md and grades.jsonl, in which each edit's grades stand as
            they come: the same call goes on, and what has changed by then is graded anew. None:
            nothing is kept.
        progress: Called with what is being done, how many of it are done, and of how many.

    Returns:
        The means and each edit's grades, as tables and as values.

    Raises:
        InvalidConfig: There are no edits, or one is not whole.
        InvalidFrame: A frame cannot be read.
        JudgementFailed: The judge gives no mark.
    """
    found = find_edits(edits) if isinstance(edits, str | Path) else edits
    graders = graders or Graders()
    known = {} if folder is None else _load(folder)
    by, grades = json.dumps(graders.settings, sort_keys=True), []
    with listening(progress):
        for edit in watch(found, "judging", len(found)):
            asked = hashlib.sha256(f"{edit.fingerprint} {by}".encode()).hexdigest()
            if asked not in known:
                known[asked] = grade(edit, graders)
                line = {"edit": asked, "name": edit.name, "grades": known[asked]}
                if folder is not None:
                    with (folder / _GRADES).open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
            grades.append(known[asked])
    section = editing_section(found, grades, graders)
    if folder is not None:
        _save(folder, section)
    return section


def _save(folder: Path, section: Section) -> None:
    results = {**section.values, "versions": list_versions()}
    text = json.dumps(results, indent=2, allow_nan=False)
    write_text(folder / "results.json", text + "\n")
    text = "\n\n".join(table.markdown() for table in section.tables)
    write_text(folder / "results.md", f"{text}\n")


def _load(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The grades of an earlier run, by what was graded; a line it was killed at is made anew."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _GRADES
    if not path.is_file():
        return {}
    whole = [line for line in path.read_text(encoding="utf-8").splitlines(True) if line[-1] == "\n"]
    write_text(path, "".join(whole))
    return {each["edit"]: each["grades"] for each in map(json.loads, whole)}


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
    told = ""
    if main in means:
        title, digits = _TITLES[main]
        value = f"{means[main]['mean']:.{digits}f}"
        told = f", {title} {value} ({_interval(means[main], digits)})"
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
    mean = resample(known)
    return {"mean": mean.value, "low": mean.low, "high": mean.high, "edits": len(known)}


def _interval(mean: Mapping[str, Any], digits: int) -> str:
    return f"{mean['low']:.{digits}f} to {mean['high']:.{digits}f}"


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _named(settings: Any) -> str:
    return str(settings["name"]) if isinstance(settings, Mapping) else str(settings)


_KINDS = (".png", ".jpg", ".jpeg", ".webp")
_COLUMNS = ("before", "prompt", "after")


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit on disk.

    Attributes:
        name: What it is called.
        before: File of the frame that was seen.
        text: The edit in words.
        after: File of the frame that came of it.
    """

    name: str
    before: Path
    text: str
    after: Path

    def read(self) -> tuple[Frame, UInt8[np.ndarray, "rows columns 3"]]:
        """Reads both frames; their sizes may differ.

        Raises:
            InvalidFrame: One cannot be read.
        """
        return read_frame(self.before), read_frame(self.after)

    @property
    def fingerprint(self) -> str:
        """Of the words and of both files: what is changed has to be graded anew.

        Raises:
            InvalidFrame: A file cannot be read.
        """
        try:
            parts = [self.before.read_bytes(), self.text.encode(), self.after.read_bytes()]
        except OSError as error:
            raise InvalidFrame(f"the edit {self.name} cannot be read: {error}") from error
        digests = b"".join(hashlib.sha256(part).digest() for part in parts)
        return hashlib.sha256(digests).hexdigest()


def find_edits(path: str | Path) -> list[Edit]:
    """Finds the edits in a folder, or those that a CSV lists.

    Args:
        path: A folder with `NAME.before.png`, `NAME.txt` and `NAME.after.png` for each (or .jpg,
            .jpeg, .webp); or a CSV with the columns `before`, `prompt` and `after`, files relative
            to its own folder.

    Raises:
        InvalidConfig: There is none, or one is not whole.
    """
    place = user_path(path)
    if place.is_dir():
        found = [_complete(place, name) for name in sorted(_names(place))]
    elif place.is_file() and place.suffix.lower() == ".csv":
        found = list(_rows(place))
    else:
        raise InvalidConfig(f"there is no folder and no CSV of edits at {place}")
    if not found:
        raise InvalidConfig(
            f"{place} holds no edits: each is a NAME.before.png, a NAME.txt and a NAME.after.png"
        )
    return found


def _names(folder: Path) -> set[str]:
    """The names of all that is there of an edit: any one of its files makes it one."""
    return {
        file.stem.rpartition(".")[0]
        for file in folder.iterdir()
        if file.suffix.lower() in _KINDS and file.stem.rpartition(".")[2] in ("before", "after")
    }


def _complete(folder: Path, name: str) -> Edit:
    words = folder / f"{name}.txt"
    if not words.is_file():
        raise InvalidConfig(f"the edit {name} has no words: {words} is missing")
    before, after = (_frame(folder, name, which) for which in ("before", "after"))
    return Edit(name, before, _text(words), after)


def _frame(folder: Path, name: str, which: str) -> Path:
    found = [
        file
        for file in sorted(folder.glob(f"{escape(name)}.{which}.*"))
        if file.suffix.lower() in _KINDS
    ]
    if len(found) != 1:
        raise InvalidConfig(
            f"the edit {name} needs one frame {name}.{which}.png (or {', '.join(_KINDS[1:])}) in "
            f"{folder}, not {len(found)}"
        )
    return found[0]


def _text(path: Path) -> str:
    text = _utf8(path).strip()
    if not text:
        raise InvalidConfig(f"{path} is empty: it holds an edit in words")
    return text


def _utf8(path: Path) -> str:
    """What a file says; a mark at its beginning, as Excel writes one, is none of it."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{path} is not text in UTF-8 ({error}): save it so") from error


def _rows(path: Path) -> Iterator[Edit]:
    reader = csv.DictReader(io.StringIO(_utf8(path), newline=""))
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidConfig(f"{path} has no column {missing[0]!r}; it needs: {', '.join(_COLUMNS)}")
    for number, row in enumerate(reader, 1):
        before, text, after = (str(row[name] or "").strip() for name in _COLUMNS)
        if not (before and text and after):
            raise InvalidConfig(f"row {number} of {path} is not whole: {before}, {text}, {after}")
        yield Edit(f"{number:04d}", path.parent / before, text, path.parent / after)
