"""Episodes out: a data set in one of the formats of the field, in one call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.episodes.place import named, read_attributes
from chronosim.episodes.verify import first_damage
from chronosim.errors import EpisodeNotFound, InvalidConfig, InvalidEpisode
from chronosim.formats.atomic import draft
from chronosim.formats.columns import (
    OF_ONE_EPISODE,
    SKIP_BAD,
    EpisodeColumns,
    FrameSource,
    RowBar,
    SharedTraits,
    make_columns,
)
from chronosim.types import Frame


@runtime_checkable
class Exporter(Protocol):
    """A format that recordings can be written in."""

    @property
    def holds(self) -> Collection[str]:
        """Which of `EpisodeColumns.contents` it has a place for."""
        ...

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings, at least one, into an empty folder.

        Raises:
            ChronosimError: What the format cannot hold at all.
            OSError: The disk refuses.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did.

    Attributes:
        path: The new data set.
        episodes: How many.
        rows: How many, all together; a last observation that is kept is none of them.
        rows_are: `steps` or `frames`.
        fps: Rows a second, every rate that occurs; None where an episode knows no clock.
        lost: What the format has no place for.
        skipped: Episodes that are unfinished or have no step.
        bad: A sentence for each episode that was left out because it is damaged, or the format
            cannot hold it.
        cleared: Whether an export that was broken off had left something, which is removed now.
    """

    path: Path
    episodes: int
    rows: int
    rows_are: str
    fps: tuple[float | None, ...]
    lost: tuple[str, ...]
    skipped: tuple[str, ...]
    bad: tuple[str, ...] = ()
    cleared: bool = False

    def __str__(self) -> str:
        each = "a held action" if self.rows_are == "steps" else "a frame of a trajectory"
        counts = f"{self.episodes} episodes, {self.rows:,} rows"
        lines = [f"{self.path}: {counts}; each {each}, {_clock(self.fps)}"]
        if self.lost:
            lines.append(f"no place for: {', '.join(self.lost)}")
        if self.skipped:
            lines.append(f"left out, unfinished or without a step: {', '.join(self.skipped)}")
        lines += [f"left out: {sentence}" for sentence in self.bad]
        lines += ["removed what an export that was broken off had left"] * self.cleared
        return "\n".join(lines)


@dataclass(slots=True)
class _Tally:
    """What went by while the episodes were written."""

    episodes: int = 0
    rows: int = 0
    fps: dict[float | None, None] = field(default_factory=dict)  # in order, none twice
    contents: set[str] = field(default_factory=set)
    current: EpisodeReader | None = None  # the episode that is being written


def export_dataset(
    dataset: str | Path,
    output: str | Path,
    exporter: Exporter,
    *,
    rows: str = "steps",
    seconds_per_step: float | None = None,
    skip_bad: bool = False,
    force: bool = False,
    progress: bool = True,
) -> ExportReport:
    """Writes the finished episodes of a data set in another format.

    The new data set appears when it is complete.

    Args:
        dataset: Folder of the episodes.
        output: Where to; a folder that does not exist.
        exporter: The format.
        rows: `steps`: a row is a held action; `frames`: a frame of its trajectory.
        seconds_per_step: How long an action is held; None: as the episodes say.
        skip_bad: Whether episodes that are damaged, or that the format cannot hold beside the
            others, are left out and named; False: the first of them ends the export.
        force: Whether what is at `output` may be replaced.
        progress: Whether to draw a progress bar.

    Returns:
        What was written, and what the format has no place for.

    Raises:
        EpisodeNotFound: There is no data set, or no finished episode with a step in it.
        EpisodeExists: There is something at `output`.
        InvalidConfig: A setting that cannot work.
        InvalidEpisode: The episodes do not fit the format, or one another.
        EpisodeWriteError: The disk refuses; nothing is left behind.
        MissingDependency: The format's library is not installed.
    """
    readers, skipped, bad = _finished(dataset, skip_bad=skip_bad)
    while True:
        if not readers:
            raise EpisodeNotFound(_nothing_left(dataset, bad))
        tally = _Tally()
        try:
            with (
                draft(output, force=force, keep=Path(dataset)) as begun,
                RowBar(len(readers), shown=progress) as bar,
            ):
                recordings = _tallied(readers, rows, seconds_per_step, tally)
                exporter.write(map(bar.watch, recordings), begun.folder)
            break
        except OF_ONE_EPISODE as error:
            if tally.current is None:
                raise
            if not skip_bad:
                raise type(error)(f"{error} ({SKIP_BAD})") from error
            # A format cannot take an episode out again: it is written anew without this one.
            bad.append(f"{tally.current.path.name}: {error}")
            readers.remove(tally.current)
    return ExportReport(
        path=Path(output),
        episodes=tally.episodes,
        rows=tally.rows,
        rows_are=rows,
        fps=tuple(tally.fps),
        lost=tuple(sorted(tally.contents - set(exporter.holds))),
        skipped=tuple(skipped),
        bad=tuple(bad),
        cleared=begun.found,
    )


def alike(recordings: Iterable[EpisodeColumns]) -> Iterator[EpisodeColumns]:
    """Passes recordings on as long as they can share one table.

    Actions that are numbers of several kinds get the kind that holds all of them exactly.

    Raises:
        InvalidEpisode: A recording has frames, states, actions or a rate unlike the first one's.
    """
    known = SharedTraits()
    for recording in map(_in_one_kind, recordings):
        acted = recording.actions
        kind = "words" if acted.dtype.kind == "U" else "numbers"
        traits = {
            "frames": recording.size,
            "states": recording.states.shape[1:],
            "actions": f"{kind} of shape {acted.shape[1:]}",
            "rows a second": recording.fps,
        }
        known.check(recording.name, traits, "this format holds only episodes that are alike")
        yield recording


def _in_one_kind(recording: EpisodeColumns) -> EpisodeColumns:
    acted = recording.actions
    if recording.together in (None, str(acted.dtype)) or acted.dtype.kind == "U":
        return recording
    made = acted.astype(recording.together)
    if not np.array_equal(made.astype(acted.dtype), acted):
        raise InvalidEpisode(
            f"{recording.name} has actions of {acted.dtype} that {recording.together} cannot hold, "
            "which it must share with the others: export it on its own"
        )
    return replace(recording, actions=made)


def provenance(recording: EpisodeColumns) -> dict[str, Any]:
    """Says where a recording comes from, for the place that a format has for it: JSON values."""
    return {
        "chronosim": version("chronosim"),
        "episode": recording.name,
        "fps": recording.fps,
        "rows_per_step": recording.rows_per_step,
        "synthetic": recording.about.get("synthetic"),
        "about": dict(recording.about),
    }


def _clock(rates: tuple[float | None, ...]) -> str:
    """The rates in words: a few by name, more of them as a range."""
    known = [rate for rate in rates if rate is not None]
    words = [f"{rate:.4g}" for rate in known]
    if len(words) > 3:
        words = [f"{min(known):.4g} to {max(known):.4g}"]
    said = [f"{' and '.join(words)} a second"] if words else []
    return " or ".join(said + ["no clock"] * (None in rates))


def _finished(
    dataset: str | Path, *, skip_bad: bool
) -> tuple[list[EpisodeReader], list[str], list[str]]:
    """Finished episodes, names of those that are not, and sentences about damaged ones."""
    readers, skipped, bad = [], [], []
    for path in list_episodes(dataset, unfinished=True):
        try:
            reader = EpisodeReader(path)
        except InvalidEpisode as error:
            if not skip_bad:
                raise InvalidEpisode(f"{error} ({SKIP_BAD})") from error
            bad.append(f"{named(path).name}: {error}")
            continue
        if not reader.finished or not reader.steps:
            skipped.append(reader.path.name)
        elif skip_bad and (damage := first_damage(path)) is not None:
            bad.append(f"{reader.path.name}: {damage}")
        else:
            readers.append(reader)
    return readers, skipped, bad


def _nothing_left(dataset: str | Path, bad: Sequence[str]) -> str:
    sentence = f"{dataset} has no finished episode with a step in it"
    return f"{sentence} that can be exported; {'; '.join(bad)}" if bad else sentence


def _together(readers: Sequence[EpisodeReader]) -> str | None:
    """The dtype that holds all actions that are numbers."""
    told = [read_attributes(reader.place).get("action") or {} for reader in readers]
    kinds = {kind["dtype"] for kind in told if kind.get("dtype", "string") != "string"}
    return str(np.result_type(*kinds)) if kinds else None


_NOWHERE = {"metrics": "the metrics of predictions", "truncation_reason": "why it was truncated"}
"""What steps may have and no format has a place for, in the words of a report."""


def _tallied(
    readers: Sequence[EpisodeReader], rows: str, seconds: float | None, tally: _Tally
) -> Iterator[EpisodeColumns]:
    together = _together(readers)
    for reader in readers:
        tally.current = reader
        recorded = record_rows(reader, rows=rows, seconds_per_step=seconds)
        recording = replace(recorded, together=together)
        tally.episodes += 1
        tally.rows += len(recording)
        tally.fps[recording.fps] = None
        tally.contents |= recording.contents()
        if rows == "steps" and reader.column("between_length").any():
            tally.contents.add("the trajectories between two observations")
        tally.contents |= {words for name, words in _NOWHERE.items() if name in reader.told}
        yield recording
    tally.current = None


ROWS = ("steps", "frames")
"""What a row may be: a held action, or a frame of its trajectory."""


def record_rows(
    reader: EpisodeReader, *, rows: str, seconds_per_step: float | None = None
) -> EpisodeColumns:
    """Gives an episode as rows.

    As frames, a step of a trajectory of n frames becomes n rows that hold its action and its
    commanded state; its reward, its end and its latency lie in the last of them. An action that an
    import made of n actions is given back as those n.

    Args:
        reader: The episode, with at least one step.
        rows: One of `ROWS`.
        seconds_per_step: How long an action is held; None: as the episode says.

    Raises:
        InvalidConfig: `rows` is none of `ROWS`, or `seconds_per_step` is not positive.
        InvalidEpisode: Its trajectories differ in length, so that frames are no even rows.
    """
    if rows not in ROWS:
        raise InvalidConfig(f"rows must be one of {', '.join(ROWS)}, not {rows!r}")
    seconds = _row_clock(reader, seconds_per_step)
    length = _length(reader) if rows == "frames" else 1
    last = np.zeros(reader.steps * length, np.bool_)
    last[length - 1 :: length] = True
    states = reader.states
    return make_columns(
        reader.path.name,
        FrameSource(lambda: _frames(reader, rows)),
        _actions(reader, length),
        closed=True,
        fps=None if seconds is None else length / seconds,
        states=np.concatenate([states[:-1].repeat(length, 0), states[-1:]]),
        texts=[str(text) for text in reader.column("text").repeat(length)],
        about=reader.about,
        rows_per_step=length,
        rewards=np.where(last, reader.column("reward").repeat(length), 0),
        terminated=last & reader.column("terminated").repeat(length),
        truncated=last & reader.column("truncated").repeat(length),
        seeds=reader.column("seed").repeat(length),
        latency=np.where(last, reader.column("latency").repeat(length), np.nan),
        success=np.where(last, reader.success.repeat(length), np.nan),
    )


_BLOCK = 2**23  # bytes of frames that are read at once: one by one each costs 2 ms out of a shard


def _frames(reader: EpisodeReader, rows: str) -> Iterator[Frame]:
    yield reader.window(0, 1)[0]
    height, width = reader.frame_size
    each = height * width * 3 * (_length(reader) if rows == "frames" else 1)
    size = max(1, _BLOCK // each)
    for start in range(0, reader.steps, size):
        stop = min(start + size, reader.steps)
        if rows == "frames":
            yield from (frame for way in reader.trajectories_of(start, stop) for frame in way)
        else:
            yield from reader.window(start + 1, stop + 1)


def _length(reader: EpisodeReader) -> int:
    lengths = np.unique(reader.column("between_length")) + 1
    if len(lengths) > 1:
        raise InvalidEpisode(
            f"the trajectories of {reader.path.name} have {lengths.min()} to {lengths.max()} "
            "frames, which do not lie evenly in time: use rows=steps"
        )
    return int(lengths[0])


def _actions(reader: EpisodeReader, length: int) -> np.ndarray:
    actions = reader.column("action")
    conversion = reader.about.get("conversion") or {}
    chunked = conversion.get("action") == "chunk" and actions.shape[1:2] == (length,)
    return actions.reshape(-1, *actions.shape[2:]) if chunked else actions.repeat(length, 0)


def _row_clock(reader: EpisodeReader, given: float | None) -> float | None:
    seconds = reader.about.get("seconds_per_step") if given is None else given
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InvalidConfig(f"seconds_per_step must be a number above 0, not {seconds!r}")
    return float(seconds)
