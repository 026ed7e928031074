"""Episodes in: a data set of another format as chronosim's own, every conversion noted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from tqdm import tqdm

from chronosim.episodes import EpisodeWriter, list_episodes
from chronosim.episodes.place import as_place, discard, draft_of, read_attributes
from chronosim.errors import ChronosimError, EpisodeNotFound, InvalidConfig, InvalidEpisode
from chronosim.formats.atomic import draft
from chronosim.formats.columns import (
    OF_ONE_EPISODE,
    SKIP_BAD,
    EpisodeColumns,
    SharedTraits,
    unused_row,
)
from chronosim.formats.resampling import COMBINATIONS, first_observation, resample, steps_of
from chronosim.protocols import Prompter
from chronosim.types import Observation


@dataclass(frozen=True, slots=True)
class Contents:
    """What is found in a foreign data set.

    Attributes:
        recordings: A function for each of its episodes, that reads it. What is wrong with one
            episode is raised there, or by its frames, so that the others can be read.
        unread: What else the data set holds, for which an episode has no place. What only some
            episodes hold is said in their `EpisodeColumns.lost`.
        converted: What was made of what; this and `unread` may be sets that grow while
            `recordings` and their frames are gone through.
    """

    recordings: Sequence[Callable[[], EpisodeColumns]]
    unread: Collection[str] = ()
    converted: Collection[str] = ()


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
        converted: What was made of what, as RGB of grey.
        skipped: A sentence for each episode that was left out, which says why.
    """

    path: Path
    episodes: int
    steps: int
    lost: tuple[str, ...]
    converted: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.episodes} episodes, {self.steps:,} steps"]
        said = {"converted": self.converted, "left behind": self.lost}
        lines += [f"{word}: {'; '.join(what)}" for word, what in said.items() if what]
        return "\n".join([*lines, *(f"left out: {sentence}" for sentence in self.skipped)])


def import_dataset(
    source: str | Path,
    output: str | Path,
    importer: Importer,
    conversion: Conversion | None = None,
    *,
    prompter: Prompter | None = None,
    skip_bad: bool = False,
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
        skip_bad: Whether episodes that cannot be read, are too short or are unlike the others are
            left out and named; False: the first of them ends the import.
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
    skipped = []
    with draft(output, force=force, keep=source) as folder:
        work = _Import(source, folder, repr(importer), contents, conversion, prompter)
        bar = tqdm(contents.recordings, unit="episode", disable=not progress)
        for number, read in enumerate(bar):
            try:
                work.add(number, read)
            except OF_ONE_EPISODE as error:
                if not skip_bad:
                    raise type(error)(f"{error} ({SKIP_BAD})") from error
                skipped.append(f"episode {number}: {error}")
        if not work.episodes:
            raise InvalidEpisode(f"no episode of {source} can be imported; {'; '.join(skipped)}")
    return ImportReport(
        path=Path(output),
        episodes=work.episodes,
        steps=work.steps,
        lost=tuple(sorted(work.lost.union(contents.unread))),
        converted=tuple(sorted(contents.converted)),
        skipped=tuple(skipped),
    )


@dataclass(slots=True)
class _Import:
    """An import on its way: where from, where to, how, and what was done."""

    source: Path
    folder: Path
    kind: str
    contents: Contents
    conversion: Conversion
    prompter: Prompter | None
    known: SharedTraits = field(default_factory=SharedTraits)
    lost: set[str] = field(default_factory=set)
    episodes: int = 0
    steps: int = 0

    def add(self, number: int, read: Callable[[], EpisodeColumns]) -> None:
        """Imports one episode; of one that fails nothing stays."""
        found, chosen = read(), self.conversion
        clocked = found if found.fps else replace(found, fps=chosen.source_fps)
        recording = resample(clocked, chosen.fps)
        per_step = chosen.rows_per_step
        lost = {*self.contents.unread, *found.lost}
        lost |= left_behind(clocked, recording, rows_per_step=per_step, action=chosen.action)
        about = about_import(self.source, self.kind, found, recording, chosen, self.prompter)
        about["left_behind"] = sorted(lost)
        known = SharedTraits(dict(self.known.first))
        path = self.folder / f"{number:07d}"
        try:
            steps = self._write(path, recording, about, known)
            if steps == 0:
                raise InvalidEpisode(
                    f"{found.name} has {len(found)} rows, too few for a step of {per_step}"
                )
        except ChronosimError:
            for written in (path, draft_of(path)):
                discard(written)
            raise
        self.known = known
        self.lost |= lost
        self.episodes += 1
        self.steps += steps

    def _write(
        self, path: Path, recording: EpisodeColumns, about: Mapping[str, Any], known: SharedTraits
    ) -> int:
        chosen = self.conversion
        size = None if chosen.size is None else (chosen.size[0], chosen.size[1])
        first = first_observation(recording, size, self.prompter)
        _check_alike(known, recording, first)
        with EpisodeWriter(path, first, about) as writer:
            for step in steps_of(
                recording,
                rows_per_step=chosen.rows_per_step,
                action=chosen.action,
                size=size,
                text=chosen.text,
                prompter=self.prompter,
            ):
                writer.append(step)
        return writer.steps


def _check_alike(known: SharedTraits, recording: EpisodeColumns, first: Observation) -> None:
    """Holds an episode, as it will be, to the first one: others learn from all of them at once."""
    acted = recording.actions
    others = {
        "states": first.state.shape,
        "actions": "words" if acted.dtype.kind == "U" else acted.shape[1:],
    }
    apart = "import episodes that are not alike apart"
    known.check(recording.name, {"frames": first.frame.shape[:2]}, f"{apart}, or give frame_size=")
    known.check(recording.name, others, apart)


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


LAST_ROW = (
    "each episode's last row (action, words), whose outcome is not known; its reward and its end "
    "count to the last step"
)


def left_behind(
    found: EpisodeColumns, recording: EpisodeColumns, *, rows_per_step: int, action: str
) -> set[str]:
    """Compares what was found with the steps that will be made of it.

    Args:
        found: The rows as the source has them, at their rate, which may have been given.
        recording: The same at the rate asked for.
        rows_per_step: Rows in a step.
        action: What a step's action is made of.
    """
    rows = len(recording) - (not recording.closed)
    lost: dict[str, Any] = {
        LAST_ROW: not recording.closed,
        "rows between those of the new rate": recording.fps != found.fps,
        "rows at the end that make no whole step (their rewards and ends count to the last one)": (
            rows % rows_per_step > 0
        ),
    }
    steps = rows // rows_per_step
    if rows_per_step > 1 and steps:
        kept = steps * rows_per_step
        rewards = recording.rewards[:kept].reshape(steps, -1)
        lost |= {
            "the rewards of single rows (a step has their sum)": rewards[:, :-1].any(),
            "the states within a step": _vary(recording.states[:kept], steps),
            f"the actions of single rows (a step has: {action})": (
                action != "chunk" and _vary(recording.actions[:kept], steps)
            ),
            "the words of single rows": _vary(np.array(recording.texts[:kept]), steps),
        }
    return {what for what, happened in lost.items() if happened}


def _vary(values: np.ndarray, steps: int) -> bool:
    """Whether rows differ within a step."""
    grouped = values.reshape(steps, -1, *values.shape[1:])
    return bool((grouped != grouped[:, :1]).any())


def about_import(
    source: Path,
    kind: str,
    found: EpisodeColumns,
    recording: EpisodeColumns,
    conversion: Conversion,
    prompter: Prompter | None,
) -> dict[str, Any]:
    """Says what made an imported episode.

    Args:
        source: The foreign data set.
        kind: Its format, as it was read.
        found: The rows as the source has them.
        recording: The same at the rate asked for.
        conversion: How they become steps.
        prompter: What words their actions; None: the source.

    Returns:
        JSON values, for the episode's `about`.
    """
    said = found.about.get("synthetic")
    synthetic = conversion.synthetic if said is None else said
    per_step = conversion.rows_per_step
    worded = conversion.text is not None or prompter is not None
    return {
        "source": _name(source, found.about, synthetic=bool(synthetic)),
        "format": kind,
        "episode": found.name,
        "source_fps": found.fps or conversion.source_fps,
        "synthetic": synthetic,
        "seconds_per_step": per_step / recording.fps if recording.fps is not None else None,
        "conversion": {**asdict(conversion), "size": conversion.size and list(conversion.size)},
        "prompter": None if prompter is None else repr(prompter),
        "unused_row": unused_row(recording, rows_per_step=per_step, worded=worded),
        "origin": dict(found.about) or None,
    }


def check_foreign(source: Path) -> None:
    """Refuses a data set that needs no import.

    Raises:
        InvalidEpisode: Its episodes are chronosim's own.
    """
    for folder in (source, source / "episodes"):
        if _holds_episodes(folder):
            raise InvalidEpisode(f"{source} holds chronosim's own episodes already")


def _name(source: Path, origin: Mapping[str, Any], *, synthetic: bool) -> str:
    """Names the source, and the world that its frames come from, if it says that."""
    model = origin.get("model")
    name = model.get("name") if isinstance(model, Mapping) else None
    world = name or origin.get("source")
    if isinstance(world, str):
        return f"{world} via {source.name}"
    return f"{source.name} (synthetic)" if synthetic else source.name


def _holds_episodes(folder: Path) -> bool:
    """Whether a folder is one of our episodes or a data set of them, not just any Zarr."""
    try:
        places = [as_place(folder)] if (folder / "zarr.json").is_file() else list_episodes(folder)
        for place in places[:1]:
            read_attributes(place)
    except (EpisodeNotFound, InvalidEpisode):
        return False
    return bool(places)
