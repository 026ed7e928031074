"""Episodes out: a data set in one of the formats of the field, in one call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tqdm import tqdm

from chronosim.adapters.datasets.drafts import draft
from chronosim.adapters.datasets.likeness import Likeness
from chronosim.adapters.datasets.recording import Recording
from chronosim.adapters.datasets.rows import record_rows
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import EpisodeNotFound

__all__ = ["ExportReport", "Exporter", "alike", "export_dataset", "provenance"]


@runtime_checkable
class Exporter(Protocol):
    """A format that recordings can be written in."""

    @property
    def holds(self) -> Collection[str]:
        """Which of `Recording.facts` it has a place for."""
        ...

    def write(self, recordings: Iterable[Recording], folder: Path) -> None:
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
    """

    path: Path
    episodes: int
    rows: int
    rows_are: str
    fps: tuple[float | None, ...]
    lost: tuple[str, ...]
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        each = "a held action" if self.rows_are == "steps" else "a frame of a trajectory"
        counts = f"{self.episodes} episodes, {self.rows:,} rows"
        lines = [f"{self.path}: {counts}; each {each}, {_clock(self.fps)}"]
        if self.lost:
            lines.append(f"no place for: {', '.join(self.lost)}")
        if self.skipped:
            lines.append(f"left out, unfinished or without a step: {', '.join(self.skipped)}")
        return "\n".join(lines)


@dataclass(slots=True)
class _Tally:
    """What went by while the episodes were written."""

    episodes: int = 0
    rows: int = 0
    fps: dict[float | None, None] = field(default_factory=dict)  # in order, none twice
    facts: set[str] = field(default_factory=set)
    skipped: list[str] = field(default_factory=list)


def export_dataset(
    dataset: str | Path,
    output: str | Path,
    exporter: Exporter,
    *,
    rows: str = "steps",
    seconds_per_step: float | None = None,
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
    tally = _Tally()
    readers = _finished(dataset, tally)
    with draft(output, force=force, keep=Path(dataset)) as folder:
        bar = tqdm(readers, unit="episode", disable=not progress)
        exporter.write(_tallied(bar, rows, seconds_per_step, tally), folder)
    return ExportReport(
        path=Path(output),
        episodes=tally.episodes,
        rows=tally.rows,
        rows_are=rows,
        fps=tuple(tally.fps),
        lost=tuple(sorted(tally.facts - set(exporter.holds))),
        skipped=tuple(tally.skipped),
    )


def alike(recordings: Iterable[Recording]) -> Iterator[Recording]:
    """Passes recordings on as long as they can share one table.

    Raises:
        InvalidEpisode: A recording has frames, states, actions or a rate unlike the first one's.
    """
    known = Likeness()
    for recording in recordings:
        traits = {
            "frames": recording.size,
            "states": recording.states.shape[1:],
            "actions": (recording.actions.dtype.kind, *recording.actions.shape[1:]),
            "rows a second": recording.fps,
        }
        known.check(recording.name, traits, "this format holds only episodes that are alike")
        yield recording


def provenance(recording: Recording) -> dict[str, Any]:
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


def _finished(dataset: str | Path, tally: _Tally) -> list[EpisodeReader]:
    readers = []
    for path in list_episodes(dataset):
        reader = EpisodeReader(path)
        if reader.finished and reader.steps:
            readers.append(reader)
        else:
            tally.skipped.append(path.name)
    if not readers:
        raise EpisodeNotFound(f"{dataset} has no finished episode with a step in it")
    return readers


def _tallied(
    readers: Iterable[EpisodeReader], rows: str, seconds: float | None, tally: _Tally
) -> Iterator[Recording]:
    for reader in readers:
        recording = record_rows(reader, rows=rows, seconds_per_step=seconds)
        tally.episodes += 1
        tally.rows += len(recording)
        tally.fps[recording.fps] = None
        tally.facts |= recording.facts()
        if rows == "steps" and reader.column("between_length").any():
            tally.facts.add("the trajectories between two observations")
        yield recording
