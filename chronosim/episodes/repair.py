"""Keeps what is whole of a damaged episode, and says what it drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from jaxtyping import UInt8
from upath import UPath

from chronosim.episodes.arrays import padded
from chronosim.episodes.compaction import leftovers, rewrite
from chronosim.episodes.layout import Row
from chronosim.episodes.place import (
    Place,
    as_place,
    draft_of,
    give_name,
    locate,
    named,
    read_attributes,
    remove,
    store,
)
from chronosim.episodes.reader import EpisodeReader
from chronosim.episodes.verify import Survey, survey
from chronosim.errors import EpisodeExists, InvalidEpisode

_OF_THE_LAST = ("unused_row", "unused_action")  # what an import says of the last observation


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did.

    Attributes:
        kept: Steps that the episode holds now.
        dropped: What was lost, a sentence each.
        episodes: Further episodes, made of whole stretches behind a gap.
    """

    kept: int
    dropped: tuple[str, ...]
    episodes: tuple[Place, ...]


def repair(path: str | Path | UPath) -> Repair:
    """Keeps what is whole of an episode, finishes it, and clears away what is left over.

    A step is whole if its record and the observations on both sides of it can be read; where only
    the frames between them are damaged, the step is kept with its outcome alone. Whole steps behind
    a gap become episodes of their own beside it, named `<name>-from-<step>`. The original goes only
    when all that replaces it stands on disk and was read back. Values that are no numbers are kept:
    none are made up. Nobody else may be writing to the episode.

    Args:
        path: The episode.

    Raises:
        EpisodeNotFound: There is no episode.
        InvalidEpisode: It cannot be repaired: what it says about itself cannot be read, its schema
            is not ours, or no observation is whole.
        EpisodeExists: An episode of the name that it or a stretch should get is there already.
        EpisodeWriteError: The disk refuses; the original is as it was.
    """
    place = locate(as_place(path))
    if place != named(place) and named(place).exists():
        raise EpisodeExists(
            f"{place} is left over from an attempt at {named(place)}, which is there: remove it"
        )
    found = survey(place)
    if found.content is None:
        raise InvalidEpisode(f"{found.damages[0]}; this cannot be repaired")
    if all(damage.harmless for damage in found.damages):
        return Repair(len(found.between), (), ())
    stretches = _stretches(found)
    if not stretches:
        raise InvalidEpisode(f"{place} cannot be repaired: no observation in it is whole")
    dropped = tuple(_dropped(found, stretches))
    first, *others = (_Stretch(found, *bounds) for bounds in stretches)
    made = tuple(_set_aside(place, one, found.attributes) for one in others)
    lost = any(damage.kind == "unreadable" for damage in found.damages)
    if dropped or lost or not found.attributes["finished"]:
        rewrite(place, first, _attributes(place, first, found.attributes, dropped))
    for entry in leftovers(place, str(read_attributes(place)["data"])):
        remove(entry)
    if isinstance(place, Path) and place != named(place):
        give_name(place, named(place))
    return Repair(len(first.rows()) - 1, dropped, made)


class _Stretch:
    """Whole observations of a surveyed episode, `first` to `last`: a `Content` of its own."""

    def __init__(self, found: Survey, first: int, last: int) -> None:
        assert found.content is not None
        self.first, self._content = first, found.content
        self.at_the_end = last + 1 == len(found.rows)
        self._whole = found.between[first:last]
        rows = [row for row in found.rows[first : last + 1] if row is not None]
        steps = (
            row if whole else replace(row, between=0, clip=0)
            for row, whole in zip(rows[1:], self._whole, strict=True)
        )
        self._rows = [Row(rows[0].state), *steps]

    def action(self) -> Mapping[str, Any] | None:
        """Dtype and shape of the actions; None before the first step."""
        return self._content.action() if len(self._rows) > 1 else None

    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames, pixels."""
        return self._content.frame_size()

    def rows(self) -> Sequence[Row]:
        """The rows; a step whose trajectory is damaged has its outcome alone."""
        return self._rows

    def frames(self, start: int, stop: int) -> UInt8[np.ndarray, "n height width 3"]:
        """Observed frames."""
        return self._content.frames(self.first + start, self.first + stop)

    def between(self, start: int, stop: int) -> UInt8[np.ndarray, "n time height width 3"]:
        """What lies between observations, where it is whole."""
        frame = self.frames(0, 1).shape[1:]
        none = np.zeros((0, *frame), np.uint8)
        steps = range(self.first + start, self.first + stop)
        clips = [
            self._content.between(step, step + 1)[0] if row.between else none
            for step, row in zip(steps, self._rows[start + 1 : stop + 1], strict=True)
        ]
        return padded(clips, frame)

    def clip(self, step: int) -> bytes:
        """The video of what lies between, where it is whole."""
        return self._content.clip(self.first + step) if self._rows[step + 1].clip else b""


def _stretches(found: Survey) -> list[tuple[int, int]]:
    """First and last observation of each stretch of whole ones; a lone one only if all are."""
    whole = [row is not None and frame for row, frame in zip(found.rows, found.frames, strict=True)]
    edges = np.flatnonzero(np.diff([False, *whole, False])).tolist()
    every = [(start, stop - 1) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return [one for one in every if one[1] > one[0]] or every[:1]


def _dropped(found: Survey, stretches: list[tuple[int, int]]) -> list[str]:
    kept = {step for first, last in stretches for step in range(first, last)}
    lost = [step for step in range(len(found.between)) if step not in kept]
    short = [step for step in sorted(kept) if not found.between[step]]
    return [f"{_named(run)}: an observation or its record is damaged" for run in _runs(lost)] + [
        f"{_named(run)}: the frames on the way are damaged; the outcome is kept"
        for run in _runs(short)
    ]


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        first = runs.pop()[0] if runs and runs[-1][1] == number - 1 else number
        runs.append((first, number))
    return runs


def _named(run: tuple[int, int]) -> str:
    return f"step {run[0]}" if run[0] == run[1] else f"steps {run[0]} to {run[1]}"


def _attributes(
    place: Place, stretch: _Stretch, attributes: Mapping[str, Any], dropped: Sequence[str]
) -> dict[str, Any]:
    about = _about(stretch, attributes)
    if dropped:
        before = about.get("repaired", {}).get("dropped", [])
        about["repaired"] = {**_origin(place, stretch, about), "dropped": [*before, *dropped]}
    return {**_kept(attributes), "about": about}


def _about(stretch: _Stretch, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of an episode, but for the row of a last observation that a stretch lacks."""
    about = dict(attributes["about"])
    if not stretch.at_the_end:
        for name in _OF_THE_LAST:
            about.pop(name, None)
    return about


def _set_aside(place: Place, stretch: _Stretch, attributes: Mapping[str, Any]) -> Place:
    """Writes a stretch as an episode of its own; it is complete when it appears."""
    target = named(place).with_name(f"{named(place).name}-from-{stretch.first}")
    about = _about(stretch, attributes)
    about["repaired"] = _origin(place, stretch, about)
    if target.exists():
        if EpisodeReader(target).about == about:
            return target  # made by a repair that was broken off later
        raise EpisodeExists(f"{target} is there already: move it away, then repair again")
    draft = draft_of(target, uuid4().hex) if isinstance(target, Path) else target
    zarr.create_group(store(draft))
    rewrite(draft, stretch, {**_kept(attributes), "about": about})
    if isinstance(draft, Path):
        draft.rename(str(target))
    return target


def _origin(place: Place, stretch: _Stretch, about: Mapping[str, Any]) -> dict[str, Any]:
    """Where a stretch begins in the episode as it was recorded; it may be repaired once more."""
    before = about.get("repaired", {"episode": named(place).name, "step": 0})
    return {"episode": before["episode"], "step": before["step"] + stretch.first}


def _kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"trajectories": attributes.get("trajectories", "lossless")}
