"""Gathers a finished episode, many small files as it was written, in a few that are read faster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from upath import UPath

from chronosim.episodes.arrays import Content, Stored
from chronosim.episodes.layout import COMPACT, LIVE, SCHEMA, new_array
from chronosim.episodes.place import Place, open_group, read_attributes, remove
from chronosim.episodes.reader import EpisodeReader
from chronosim.errors import EpisodeWriteError, InvalidEpisode


def compact(path: str | Path | UPath) -> bool:
    """Rewrites a finished episode in few files.

    The new arrays are written beside the old, read back and compared; then one replacement of the
    attributes points to them, and the old are removed. Killed at any moment, the episode is whole.

    Args:
        path: The episode.

    Returns:
        Whether there was something to do.

    Raises:
        EpisodeNotFound: There is no episode.
        InvalidEpisode: It is not finished (its writer may be at work), or it is damaged.
        EpisodeWriteError: The disk refuses; the episode is as it was.
    """
    reader = EpisodeReader(path)
    place = reader.place
    if not reader.finished:
        raise InvalidEpisode(
            f"{place} is not finished: let its writer close it, or, if that is dead, finish it "
            "with chronosim episodes repair"
        )
    attributes = read_attributes(place)
    if reader.compacted:
        for old in leftovers(place, attributes["data"]):
            if not old.name.startswith(COMPACT):
                remove(old)  # killed at its last moment, a compaction left the old arrays
        return False
    rewrite(
        place,
        Stored(place, attributes),
        {"trajectories": reader.trajectories, "about": reader.about},
    )
    return True


# Measured at 96 x 96 (zarr 3.1.6, one core): windows of 9 frames come at 13,500 frames a second
# from chunks of 8, at 6,000 from chunks of 1; out of shards at 9,600. So frames lie in chunks of
# a quarter of a megabyte, each a file of its own while there are few of them.
_CHUNK = 2**18  # bytes read at once
_PLAIN = 16  # chunks that may be files of their own
_SHARD = 2**26  # bytes of what lies in one file, before compression; memory to write it


def rewrite(place: Place, content: Content, attributes: Mapping[str, Any]) -> None:
    """Replaces what an episode holds by `content`, as a whole or not at all.

    Args:
        place: The episode.
        content: What it holds from now on; it may be read from what is replaced.
        attributes: `trajectories` and `about`; the others follow from the content.

    Raises:
        InvalidEpisode: The content is damaged.
        EpisodeWriteError: The disk refuses; the episode is as it was.
    """
    name = f"{COMPACT}{uuid4().hex[:8]}"
    present: dict[str, Any] = {"schema": SCHEMA, "steps": len(content.rows()) - 1, "finished": True}
    present |= {"data": name, "action": content.action(), **attributes}
    try:
        group = open_group(place)
        try:
            _write(group.create_group(name), content)
            _compare(Stored(place, present), content)
        except BaseException:
            remove(place / name)
            raise
        before = open_group(place).attrs.get("data")
        group.attrs.put(present)  # from here on the episode is the new one
        for old in leftovers(place, name):
            # Another compaction may be at work: what it writes is its own.
            if old.name == before or not old.name.startswith(COMPACT):
                remove(old)
    except OSError as error:
        raise EpisodeWriteError(f"{place} could not be compacted: {error}") from error


def leftovers(place: Place, data: str) -> list[Place]:
    """Gives what chronosim once wrote into an episode's folder and no reader looks at any more.

    Args:
        place: The episode.
        data: The subgroup that readers look at.
    """
    entries: list[Place] = list(place.iterdir())
    return [
        entry
        for entry in sorted(entries, key=lambda entry: entry.name)
        if (entry.name != data and (entry.name == LIVE or entry.name.startswith(COMPACT)))
        or entry.name.endswith(".partial")
    ]


def _blocks(rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """Cuts rows into stretches that fit into memory, and into shards."""
    size = _rows_of(_SHARD, row_bytes)
    return ((start, min(rows, start + size)) for start in range(0, rows, size))


def _write(data: zarr.Group, content: Content) -> None:
    steps = len(content.rows()) - 1
    shape = content.frames(0, 1).shape[1:]
    frames = gathered(data, "frames", (steps + 1, *shape))
    for start, stop in _blocks(steps + 1, prod(shape)):
        frames[start:stop] = content.frames(start, stop)
    texts = np.array([row.dumps() for row in content.rows()], np.dtypes.StringDType())
    new_array(data, "records", texts.shape, texts.shape, dtype="string")[:] = texts
    longest = max((row.between for row in content.rows()), default=0)
    longest_clip = max((row.clip for row in content.rows()), default=0)
    if longest_clip:
        clips = gathered(data, "clips", (steps, longest_clip))
        for start, stop in _blocks(steps, longest_clip):
            clips[start:stop] = _clips(content, start, stop, longest_clip)
    elif longest:
        between = gathered(data, "between", (steps, longest, *shape))
        for start, stop in _blocks(steps, longest * prod(shape)):
            rows = content.between(start, stop)
            between[start:stop, : rows.shape[1]] = rows


def gathered(data: zarr.Group, name: str, shape: tuple[int, ...]) -> zarr.Array[Any]:
    """Makes an array of bytes that lies in few files.

    Args:
        data: Where.
        name: Its name.
        shape: Its shape; rows first.
    """
    rows, row_bytes = shape[0], prod(shape[1:])
    chunk = min(rows, _rows_of(_CHUNK, row_bytes))
    chunks = -(-rows // chunk)
    if chunks <= _PLAIN and chunk > 1:
        return new_array(data, name, shape, (chunk, *shape[1:]))
    shard = min(chunks, max(1, _rows_of(_SHARD, row_bytes) // chunk)) * chunk
    return new_array(data, name, shape, (chunk, *shape[1:]), shards=(shard, *shape[1:]))


def _rows_of(size: int, row_bytes: int) -> int:
    return max(1, size // row_bytes)


def _clips(content: Content, start: int, stop: int, width: int) -> np.ndarray:
    clips = np.zeros((stop - start, width), np.uint8)
    for row, step in zip(clips, range(start, stop), strict=True):
        clip = np.frombuffer(content.clip(step), np.uint8)
        row[: len(clip)] = clip
    return clips


def _compare(copy: Content, content: Content) -> None:
    """Reads a copy back from the disk before anything is given up for it."""
    steps = len(content.rows()) - 1
    row = prod(content.frames(0, 1).shape[1:])
    longest = max((row.between for row in content.rows()), default=0)
    same = [one.dumps() for one in copy.rows()] == [one.dumps() for one in content.rows()]
    same = same and all(
        np.array_equal(copy.frames(*block), content.frames(*block))
        for block in _blocks(steps + 1, row)
    )
    if any(one.clip for one in content.rows()):
        same = same and all(copy.clip(step) == content.clip(step) for step in range(steps))
    elif longest:
        same = same and all(
            np.array_equal(copy.between(*block), content.between(*block))
            for block in _blocks(steps, longest * row)
        )
    if not same:
        raise OSError("the copy does not read back as it was written")


def check_whole(reader: EpisodeReader) -> None:
    """Refuses what a repair finished: who makes an episode goes on until it ends or is cut.

    Raises:
        InvalidEpisode: It was repaired, or is finished without an end.
    """
    ended = reader.steps > 0 and any(
        bool(reader.column(name)[-1]) for name in ("terminated", "truncated")
    )
    if (reader.finished and not ended) or "repaired" in reader.about:
        raise InvalidEpisode(
            f"{reader.path} was broken off or damaged, and then repaired: move it away, and its "
            "episode is made anew, or use another output="
        )
