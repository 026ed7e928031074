"""Episodes in: a data set of another format as chronosim's own, every conversion noted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tqdm import tqdm

from chronosim.adapters.datasets.drafts import draft
from chronosim.adapters.datasets.losses import left_behind
from chronosim.adapters.datasets.recording import Recording
from chronosim.adapters.datasets.resampling import resample
from chronosim.adapters.datasets.stepping import COMBINATIONS, first_observation, steps_of
from chronosim.episodes import EpisodeWriter
from chronosim.errors import EpisodeNotFound, InvalidConfig, InvalidEpisode
from chronosim.protocols import Prompter

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
class Conversion:
    """How foreign rows become steps; every value is noted in each episode's `about`.

    Attributes:
        size: Height and width that frames are fitted to: cut to the shape, then resized.
        source_fps: The source's rows a second, where it does not say.
        fps: Rows a second to resample to, actions held; None: as they are.
        rows_per_step: Rows in one step; the frames between them become its trajectory.
        action: What the step's action is made of: the `first` row's, the `chunk` of all rows',
            their `mean`, or their `sum`.
        text: Words of every step; None: as the source says.
        synthetic: Whether the source's frames were predicted by a model, where it does not say.

    Raises:
        InvalidConfig: A value that cannot work.
    """

    size: Sequence[int] | None = None
    source_fps: float | None = None
    fps: float | None = None
    rows_per_step: int = 1
    action: str = "first"
    text: str | None = None
    synthetic: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise InvalidConfig(f"size must be a height and a width in pixels, not {self.size}")
        if self.rows_per_step < 1:
            raise InvalidConfig(f"rows_per_step must be 1 or more, not {self.rows_per_step}")
        if self.action not in COMBINATIONS:
            raise InvalidConfig(
                f"action must be one of {', '.join(COMBINATIONS)}, not {self.action!r}"
            )
        for name in ("source_fps", "fps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidConfig(f"{name} must be above 0, not {value}")


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
        return "\n".join(lines + ([f"left behind: {', '.join(self.lost)}"] if self.lost else []))


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
        InvalidEpisode: The source contradicts itself, is unfinished, or would have to be executed.
        InvalidAction: The source's actions are of several widths, or the prompter refuses one.
        InvalidFrame: The source's frames are of several sizes.
        EpisodeWriteError: The disk refuses; nothing is left behind.
        MissingDependency: The format's library is not installed.
    """
    source, conversion = Path(source), conversion or Conversion()
    if not source.exists():
        raise EpisodeNotFound(f"there is no data set at {source}")
    contents = importer.read(source)
    lost, steps = set(contents.unread), 0
    size = None if conversion.size is None else (conversion.size[0], conversion.size[1])
    with draft(output, force=force, keep=source) as folder:
        bar = tqdm(contents.recordings, total=contents.count, unit="episode", disable=not progress)
        for number, found in enumerate(bar):
            clocked = found if found.fps else replace(found, fps=conversion.source_fps)
            recording = resample(clocked, conversion.fps)
            lost |= left_behind(
                found, recording, rows_per_step=conversion.rows_per_step, action=conversion.action
            )
            about = _about(source, importer, found, recording, conversion, prompter)
            path = folder / f"{number:07d}"
            first = first_observation(recording, size, prompter)
            with EpisodeWriter(path, first, about) as writer:
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


def _about(
    source: Path,
    importer: Importer,
    found: Recording,
    recording: Recording,
    conversion: Conversion,
    prompter: Prompter | None,
) -> dict[str, Any]:
    said = found.about.get("synthetic")
    return {
        "source": source.name,
        "format": repr(importer),
        "episode": found.name,
        "source_fps": found.fps or conversion.source_fps,
        "synthetic": conversion.synthetic if said is None else said,
        "seconds_per_step": (
            conversion.rows_per_step / recording.fps if recording.fps is not None else None
        ),
        "conversion": {**asdict(conversion), "size": conversion.size and list(conversion.size)},
        "prompter": None if prompter is None else repr(prompter),
        "unused_action": None if found.closed else found.actions[-1].tolist(),
        "origin": dict(found.about) or None,
    }
