"""Episodes in: a data set of another format as chronosim's own, every conversion noted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from tqdm import tqdm

from chronosim.adapters.datasets.conversion import Conversion
from chronosim.adapters.datasets.drafts import draft
from chronosim.adapters.datasets.likeness import Likeness
from chronosim.adapters.datasets.losses import left_behind
from chronosim.adapters.datasets.origin import about_import, check_foreign
from chronosim.adapters.datasets.recording import Recording
from chronosim.adapters.datasets.resampling import resample
from chronosim.adapters.datasets.stepping import first_observation, steps_of
from chronosim.episodes import EpisodeWriter
from chronosim.errors import EpisodeNotFound, InvalidEpisode
from chronosim.protocols import Prompter
from chronosim.types import Observation

__all__ = ["Contents", "Conversion", "ImportReport", "Importer", "import_dataset"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is found in a foreign data set.

    Attributes:
        recordings: Its episodes, read while they are gone through.
        count: How many.
        unread: What else it holds, for which an episode has no place.
    """

    recordings: Iterable[Recording]
    count: int
    unread: tuple[str, ...] = ()


@runtime_checkable
class Importer(Protocol):
    """A format that recordings can be read from."""

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: There is none, or a part of it is missing.
            InvalidEpisode: It contradicts itself, is unfinished, or would have to be executed.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        path: The new data set.
        episodes: How many.
        steps: How many, all together.
        lost: What an episode has no place for, or the conversion dropped.
    """

    path: Path
    episodes: int
    steps: int
    lost: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.episodes} episodes, {self.steps:,} steps"]
        return "\n".join(lines + ([f"left behind: {'; '.join(self.lost)}"] if self.lost else []))


def import_dataset(
    source: str | Path,
    output: str | Path,
    importer: Importer,
    conversion: Conversion | None = None,
    *,
    prompter: Prompter | None = None,
    force: bool = False,
    progress: bool = True,
) -> ImportReport:
    """Makes episodes of a foreign data set.

    The new data set appears when it is complete; nothing in the source is executed.

    Args:
        source: The foreign data set, a folder or a file.
        output: Where to; a folder that does not exist.
        importer: The format.
        conversion: How rows become steps; None: one by one, as they are.
        prompter: Words the actions and keeps the commanded state, from its defaults on; None: as
            the source says.
        force: Whether what is at `output` may be replaced.
        progress: Whether to draw a progress bar.

    Returns:
        What was written, and what was left behind.

    Raises:
        EpisodeNotFound: There is no data set at `source`, or a part of it is missing.
        EpisodeExists: There is something at `output`.
        InvalidConfig: A setting that cannot work.
        InvalidEpisode: The source contradicts itself, is unfinished, would have to be executed, has
            episodes unlike one another, or is chronosim's own.
        InvalidAction: An episode's actions are of several widths, or the prompter refuses one.
        InvalidFrame: An episode's frames are of several sizes.
        EpisodeWriteError: The disk refuses; nothing is left behind.
        MissingDependency: The format's library is not installed.
    """
    source, conversion = Path(source), conversion or Conversion()
    if not source.exists():
        raise EpisodeNotFound(f"there is no data set at {source}")
    check_foreign(source)
    contents = importer.read(source)
    lost, steps, known = set(contents.unread), 0, Likeness()
    size = None if conversion.size is None else (conversion.size[0], conversion.size[1])
    with draft(output, force=force, keep=source) as folder:
        bar = tqdm(contents.recordings, total=contents.count, unit="episode", disable=not progress)
        for number, found in enumerate(bar):
            clocked = found if found.fps else replace(found, fps=conversion.source_fps)
            recording = resample(clocked, conversion.fps)
            lost |= left_behind(
                clocked, recording, rows_per_step=conversion.rows_per_step, action=conversion.action
            )
            about = about_import(source, repr(importer), found, recording, conversion, prompter)
            first = first_observation(recording, size, prompter)
            _check_alike(known, recording, first)
            with EpisodeWriter(folder / f"{number:07d}", first, about) as writer:
                for step in steps_of(
                    recording,
                    rows_per_step=conversion.rows_per_step,
                    action=conversion.action,
                    size=size,
                    text=conversion.text,
                    prompter=prompter,
                ):
                    writer.append(step)
            if writer.steps == 0:
                raise InvalidEpisode(
                    f"{found.name} has {len(found)} rows, too few for a step of "
                    f"{conversion.rows_per_step}"
                )
            steps += writer.steps
    return ImportReport(Path(output), contents.count, steps, tuple(sorted(lost)))


def _check_alike(known: Likeness, recording: Recording, first: Observation) -> None:
    """Holds an episode, as it will be, to the first one: others learn from all of them at once."""
    acted = recording.actions
    others = {
        "states": first.state.shape,
        "actions": "words" if acted.dtype.kind == "U" else acted.shape[1:],
    }
    apart = "import episodes that are not alike apart"
    known.check(recording.name, {"frames": first.frame.shape[:2]}, f"{apart}, or give frame_size=")
    known.check(recording.name, others, apart)
