"""Episodes in: a data set of another format as chronosim's own, every conversion noted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isclose
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

import numpy as np

from chronosim.episodes import list_episodes
from chronosim.episodes.place import as_place, discard, read_attributes
from chronosim.episodes.writer import write_at_once
from chronosim.errors import EpisodeNotFound, InvalidConfig, InvalidEpisode
from chronosim.formats.atomic import Draft, draft
from chronosim.formats.columns import (
    OF_ONE_EPISODE,
    SKIP_BAD,
    EpisodeColumns,
    RowBar,
    SharedTraits,
    unused_row,
)
from chronosim.formats.resampling import COMBINATIONS, count_steps, fitted, resample, steps_of
from chronosim.protocols import Prompter
from chronosim.types import Observation, Step


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
        resumed: How many episodes an import that was broken off had made already.
    """

    path: Path
    episodes: int
    steps: int
    lost: tuple[str, ...]
    converted: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    resumed: int = 0

    def __str__(self) -> str:
        before = f" ({self.resumed} of them made by an import that was broken off)"
        gone_on = before * (self.resumed > 0)
        lines = [f"{self.path}: {self.episodes} episodes, {self.steps:,} steps{gone_on}"]
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

    The new data set appears when it is complete; nothing in the source is executed. Interrupted or
    killed, the same import goes on from the episodes that were finished.

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
    check_local(source)
    source, conversion = Path(source), conversion or Conversion()
    if not source.exists():
        raise EpisodeNotFound(f"there is no data set at {source}")
    check_foreign(source)
    contents = importer.read(source)
    skipped = []
    with (
        draft(output, force=force, keep=source, resume=True) as begun,
        RowBar(len(contents.recordings), shown=progress) as bar,
    ):
        work = _Import(source, begun, repr(importer), contents, conversion, prompter, bar)
        for number, read in enumerate(contents.recordings):
            try:
                work.add(number, read)
            except OF_ONE_EPISODE as error:
                if not skip_bad:
                    raise type(error)(f"{error} ({SKIP_BAD})") from error
                named = str(error).startswith(f"episode {number} ")
                skipped.append(f"{'' if named else f'episode {number}: '}{error}")
        if not work.episodes:
            raise InvalidEpisode(f"no episode of {source} can be imported; {'; '.join(skipped)}")
        work.clear()
    return ImportReport(
        path=Path(output),
        episodes=len(work.episodes),
        steps=work.steps,
        lost=tuple(sorted(work.lost.union(contents.unread))),
        converted=tuple(sorted(contents.converted)),
        skipped=tuple(skipped),
        resumed=work.resumed,
    )


class _Import:
    """An import on its way: where from, where to, how, and what was done."""

    def __init__(
        self,
        source: Path,
        begun: Draft,
        kind: str,
        contents: Contents,
        conversion: Conversion,
        prompter: Prompter | None,
        bar: RowBar,
    ) -> None:
        self._source, self._folder, self._kind, self._bar = source, begun.folder, kind, bar
        self._contents, self._conversion, self._prompter = contents, conversion, prompter
        self._known = SharedTraits()
        self._changed = _last_change(source) if begun.found else math.inf
        self.lost: set[str] = set()
        self.episodes: set[str] = set()
        self.steps = self.resumed = 0

    def add(self, number: int, read: Callable[[], EpisodeColumns]) -> None:
        """Imports one episode; of one that fails nothing stays."""
        found, chosen = read(), self._conversion
        clocked = _clocked(found, chosen.source_fps)
        recording = resample(clocked, chosen.fps)
        per_step = chosen.rows_per_step
        self._bar.begin(len(recording))
        count = count_steps(recording, per_step)
        if count < 1:
            raise InvalidEpisode(
                f"{found.name} has {len(found)} rows, too few for a step of {per_step}"
            )
        about = about_import(self._source, self._kind, found, recording, chosen, self._prompter)
        lost = {*self._contents.unread, *found.lost}
        lost |= left_behind(clocked, recording, rows_per_step=per_step, action=chosen.action)
        self._write(f"{number:07d}", recording, count, {**about, "left_behind": sorted(lost)})
        self.lost |= lost
        self.steps += count

    def clear(self) -> None:
        """Removes what an import that was broken off had made, and this one does not."""
        for path in self._folder.iterdir():
            if path.name not in self.episodes:
                discard(path)

    def _write(
        self, name: str, recording: EpisodeColumns, count: int, about: Mapping[str, Any]
    ) -> None:
        chosen, prompter, path = self._conversion, self._prompter, self._folder / name
        size = None if chosen.size is None else (chosen.size[0], chosen.size[1])
        frames = fitted(recording, size)
        state = recording.states[0] if prompter is None else prompter.begin({})
        first, known = Observation(next(frames), state), SharedTraits(dict(self._known.first))
        _check_alike(known, recording, first)
        if self._made(path, count, about):
            self.resumed += 1
            self._bar.row(len(recording))
        else:
            discard(path)
            steps = steps_of(
                recording,
                first,
                frames,
                rows_per_step=chosen.rows_per_step,
                action=chosen.action,
                text=chosen.text,
                prompter=prompter,
            )
            write_at_once(path, first, self._counted(steps), count, about)
        self._known = known
        self.episodes.add(name)

    def _counted(self, steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            yield step
            self._bar.row(self._conversion.rows_per_step)

    def _made(self, path: Path, count: int, about: Mapping[str, Any]) -> bool:
        """Whether an import that was broken off made just this episode, of a source as it is."""
        try:
            made = read_attributes(path)
            written = (path / "zarr.json").stat().st_mtime_ns
        except (InvalidEpisode, EpisodeNotFound, FileNotFoundError):
            return False
        wanted = json.loads(json.dumps({**about, "left_behind": None}))
        same = {**made["about"], "left_behind": None} == wanted and made["steps"] == count
        return same and written > self._changed


def _last_change(source: Path) -> float:
    """When something of a data set was written last, in nanoseconds."""
    files = [source, *source.rglob("*")] if source.is_dir() else [source]
    return max(file.stat().st_mtime_ns for file in files)


def _clocked(found: EpisodeColumns, source_fps: float | None) -> EpisodeColumns:
    """A recording with its rate, which is given where the source does not say it."""
    if found.fps is None or source_fps is None:
        return found if found.fps else replace(found, fps=source_fps)
    if not isclose(found.fps, source_fps, rel_tol=1e-6):
        raise InvalidConfig(
            f"source_fps={source_fps:g} contradicts {found.name}, which says {found.fps:g}: leave "
            "it out, and give fps= for another rate"
        )
    return found


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
    "each episode's last row (action, words), whose outcome is not known; its reward, end and "
    "success count to the last step"
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
    grouped = values.reshape(steps, len(values) // steps, *values.shape[1:])
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


def check_local(source: str | Path) -> None:
    """Refuses an address.

    Raises:
        InvalidConfig: It is one; the sentence says how to fetch what is there.
    """
    kind, separator, rest = str(source).partition("://")
    if not separator:
        return
    fetch = f"copy it to a folder first, such as {PurePosixPath(rest).name}"
    if kind == "hf":
        repository = "/".join(rest.removeprefix("datasets/").split("/")[:2])
        fetch = f"hf download --repo-type dataset {repository} --local-dir FOLDER"
    raise InvalidConfig(
        f"{source} is an address, and imports read folders of this machine: {fetch}"
    )


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
