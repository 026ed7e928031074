"""Reads all of an episode, chunk by chunk, and names each kind of damage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from upath import UPath

from chronosim.episodes.arrays import REPAIR, Stored, missing_chunks, read_rows
from chronosim.episodes.compaction import leftovers
from chronosim.episodes.layout import SCHEMA, Row, action_array
from chronosim.episodes.place import Place, as_place, locate, named, read_attributes
from chronosim.errors import InvalidEpisode


def verify(path: str | Path | UPath) -> list[Damage]:
    """Reads all of an episode and names what is wrong with it.

    Args:
        path: The episode.

    Returns:
        The damages; none if the episode is whole.

    Raises:
        EpisodeNotFound: There is no episode.
    """
    return survey(locate(as_place(path))).damages


def first_damage(path: str | Path | UPath) -> Damage | None:
    """Gives the first damage that keeps something of an episode from being read; None: all can be.

    Args:
        path: The episode.

    Raises:
        EpisodeNotFound: There is no episode.
    """
    found = (one for one in verify(path) if not one.harmless and one.kind != "leftover")
    return next(found, None)


@dataclass(slots=True, eq=False)
class Survey:
    """What a look at every chunk found.

    Attributes:
        damages: All that is wrong.
        attributes: What the episode says about itself; empty if that cannot be read.
        content: Its arrays; None if there is no reading them at all.
        rows: Its rows, T + 1; None for those that cannot be read.
        frames: Whether each observed frame can be read, bool (T + 1,).
        between: Whether what lies between the observations of each step can be read, bool (T,).
    """

    damages: list[Damage] = field(default_factory=list)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    content: Stored | None = None
    rows: list[Row | None] = field(default_factory=list)
    frames: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    between: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def note(self, kind: Kind, place: str, sentence: str) -> None:
        """Notes a damage."""
        self.damages.append(Damage(kind, place, sentence.removesuffix(REPAIR)))


def survey(place: Place) -> Survey:
    """Looks an episode over.

    Raises:
        EpisodeNotFound: There is no episode.
    """
    found = Survey()
    try:
        attributes = read_attributes(place)
    except InvalidEpisode as error:
        found.note("unreadable", "zarr.json", str(error))
        return found
    if attributes["schema"] != SCHEMA:
        sentence = (
            f"{place} has schema {attributes['schema']}, but this chronosim reads schema {SCHEMA}"
        )
        found.note("schema", "zarr.json", sentence)
        return found
    if not attributes["finished"] or place != named(place):
        why = attributes.get("failure") or "it is being written, or was broken off"
        sentence = f"{place} is not finished: {why}"
        found.note("unfinished", "zarr.json", sentence)
    data = place / attributes["data"] / "zarr.json"
    if not data.is_file():
        sentence = f"{attributes['data']}/zarr.json of {place} is missing"
        found.note("unreadable", f"{attributes['data']}/zarr.json", sentence)
    found.attributes = attributes
    found.content = Stored(place, attributes)
    _Look(place, found, found.content, int(attributes["steps"])).all_round()
    for entry in leftovers(place, attributes["data"]):
        sentence = f"{entry.name} in {place} is left over from something that was broken off"
        found.note("leftover", entry.name, sentence)
    return found


@dataclass(slots=True, eq=False)
class _Look:
    """One look, noting into a survey."""

    place: Place
    found: Survey
    content: Stored
    steps: int

    def all_round(self) -> None:
        """Looks at records, then at frames, then at what lies between them."""
        found, rows = self.found, self._rows()
        found.rows = rows
        self.content.trust(rows)
        self._note_values(rows)
        found.frames = self._readable("frames", [1] * (self.steps + 1))
        found.between = np.ones(self.steps, bool)
        clips = [row.clip if row else 0 for row in rows[1:]]
        lengths = [row.between if row and not row.clip else 0 for row in rows[1:]]
        if any(lengths):
            found.between &= self._readable("between", lengths)
        if any(clips):
            found.between &= self._readable("clips", clips)
            for step in np.flatnonzero(np.array(clips) * found.between):
                self._look_at_clip(int(step))

    def _rows(self) -> list[Row | None]:
        rows: list[Row | None] = [None] * (self.steps + 1)
        for start, texts in self._stretches("records", [1] * (self.steps + 1)):
            for index, text in enumerate([] if texts is None else texts, start):
                try:
                    rows[index] = Row.loads(str(text))
                except ValueError as error:
                    self.found.note("undecodable", f"records {index}", str(error))
        return rows

    def _note_values(self, rows: Sequence[Row | None]) -> None:
        kind = self.content.action() if self.steps and any(rows) else None
        found: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            if row is None:
                continue
            values = {"state": np.array(row.state), "reward": np.array(row.reward)}
            if kind is not None and row.action is not None and kind["dtype"] != "string":
                action = action_array([row.action], kind["dtype"], tuple(kind["shape"]))
                values["action"] = action.astype(float)
            for name, value in values.items():
                if np.isnan(value).any():
                    found.setdefault(name, []).append(index)
        for name, indices in found.items():
            more = f" and {len(indices) - 1:,} more" if len(indices) > 1 else ""
            sentence = f"the {name} in row {indices[0]}{more} of {self.place} is not a number"
            self.found.note("nan", f"records {indices[0]}", sentence)

    def _readable(self, name: str, widths: Sequence[int]) -> np.ndarray:
        """Whether each row of an array can be read; a row of width 0 has nothing to be read."""
        readable = np.array(widths) == 0
        for start, values in self._stretches(name, widths):
            if values is not None:
                readable[start : start + len(values)] = True
        return readable

    def _stretches(
        self, name: str, widths: Sequence[int]
    ) -> Iterator[tuple[int, np.ndarray | None]]:
        """Reads an array chunk by chunk: first row, and the values or None."""
        try:
            array = self.content.array(name)
        except InvalidEpisode as error:
            self.found.note("unreadable", name, str(error))
            return
        rows = min(len(widths), array.shape[0])
        if rows < len(widths):
            sentence = f"{array.path} in {self.place} has {rows} rows, but needs {len(widths)}"
            self.found.note("length", name, sentence)
        step = array.chunks[0]
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            width = max(widths[start:stop])
            if width == 0:
                continue
            if name in ("between", "clips") and width > array.shape[1]:
                sentence = f"{array.path} in {self.place} holds {array.shape[1]} a row, not {width}"
                self.found.note("length", f"{name} {start}", sentence)
                yield start, None
            else:
                yield start, self._read(array, start, stop, width)

    def _read(self, array: zarr.Array[Any], start: int, stop: int, width: int) -> np.ndarray | None:
        name = array.path.rpartition("/")[2]
        extent = width if name in ("between", "clips") else None
        missing = missing_chunks(self.place, array, start, stop, extent)
        try:
            values = read_rows(self.place, array, start, stop)
        except InvalidEpisode as error:
            kind: Kind = "checksum" if "checksum" in str(error) else "undecodable"
            self.found.note(kind, f"{name} {start}", str(error))
            return None
        for file in missing:
            self.found.note("missing chunk", file, f"{file} of {self.place} is missing")
        return None if missing else values

    def _look_at_clip(self, step: int) -> None:
        try:
            self.content.between(step, step + 1)
        except InvalidEpisode as error:
            self.found.between[step] = False
            self.found.note("undecodable", f"clips {step}", str(error))


Kind = Literal[
    "unreadable",
    "schema",
    "unfinished",
    "missing chunk",
    "checksum",
    "length",
    "nan",
    "undecodable",
    "leftover",
]


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong with an episode.

    Attributes:
        kind: `unreadable` (what it says of itself, or of an array, cannot be read), `schema` (not
            ours), `unfinished` (still written, or broken off), `missing chunk`, `checksum`,
            `length` (a shape against the committed length), `nan` (written so: an unknown reward or
            state), `undecodable`, or `leftover` (of something broken off; it costs only space).
        place: Where: a file, or an array and its first row concerned.
        sentence: What is wrong.
    """

    kind: Kind
    place: str
    sentence: str

    @property
    def harmless(self) -> bool:
        """Whether the episode is as it was written all the same."""
        return self.kind == "nan"

    def __str__(self) -> str:
        return self.sentence
