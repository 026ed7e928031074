"""The layout of one episode on disk: a Zarr v3 group, documented once for writer and reader.

The group's attributes are one small file, replaced as a whole, and say what a reader may see:

==============  ==================================================================================
attribute       content
==============  ==================================================================================
schema          this layout's version
steps           the committed length T: all that a reader may see
finished        whether the writer closed the episode
failure         why its writer gave it up, a sentence; only if it did
data            the subgroup that holds the arrays: `live`, or what a compaction made of it
trajectories    `lossless`, `video` or `none`: how the frames between two observations are kept
action          dtype and shape of the actions, from the first step on
about           what made the episode: model, prompter, scenario, settings, lineage ...
==============  ==================================================================================

The arrays of the subgroup:

==========  =====  ===============================================================================
array       rows   content
==========  =====  ===============================================================================
frames      T + 1  observed frames, uint8 (height, width, 3)
records     T + 1  JSON: the commanded state, and the step that led to it (see `rows.py`)
between     T      frames strictly between two observations, uint8 (time, height, width, 3), zeros
                   after the last; only if `lossless`, and if a step has any
clips       T      the same frames as an MP4 (H.264), uint8 (bytes,), zeros after the last; only if
                   `video`, and if a step has any
==========  =====  ===============================================================================

Every chunk ends in its CRC-32C and is written even if all its values are zero: a chunk that is not
there is damage, never darkness. While an episode is live its arrays are longer than the committed
length: space is reserved ahead, which costs nothing.

An episode gets its name when it is finished. Until then it lies beside that as a draft,
`.<name>.draft`; where several attempts at one episode may be under way, each is a
`.<name>.<32 hexadecimal digits>.draft`. A draft becomes the episode by one renaming, and the first
to be finished wins. Object stores cannot rename: there an episode lies under its name from the
beginning, and only `finished` tells.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from chronosim.errors import InvalidEpisode
from chronosim.types import Step

SCHEMA = 2
"""Version of the layout; a reader refuses any other."""

LIVE = "live"
"""The subgroup that a writer fills."""

COMPACT = "compact-"
"""What the subgroups of rewritten episodes begin with."""

# Measured on nano's frames and on frames of 480 x 832 with a little noise: level 1 is as small as
# level 3 (3.5 and 2.4 times), written 1.6 to 3 times as fast; LZ4 is faster still and half as good.
_CODECS = (ZstdCodec(level=1), Crc32cCodec())

Trajectories = Literal["lossless", "video", "none"]
"""How the frames between two observations are kept."""

PER_OBSERVATION = ("frames", "states")
"""Columns with T + 1 entries; all others have T."""

COLUMNS = (
    "frames",
    "states",
    "action",
    "between",
    "between_length",
    "text",
    "seed",
    "reward",
    "terminated",
    "truncated",
    "latency",
)
"""What `EpisodeReader.column` can be asked for."""


def new_array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    *,
    dtype: str = "uint8",
    shards: tuple[int, ...] | None = None,
) -> zarr.Array[Any]:
    """Makes an array whose chunks are compressed, checked, and never left out.

    Args:
        group: Where.
        name: The array's name; one that is there already is replaced.
        shape: Its shape.
        chunks: Of what is read at once.
        dtype: `uint8` or `string`.
        shards: Of what lies in one file; None: each chunk in a file of its own.
    """
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        compressors=_CODECS,
        # c.0.0.0.0 instead of c/0/0/0/0: no folders to be made for each step.
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},
        overwrite=True,  # the disk may have refused in the middle of a first attempt
    )


_FIRST = frozenset({"state"})  # what a row without a step holds
_RARE = ("truncation_reason", "success", "metrics")  # what is left out where it says nothing


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of a step beside frames. Row 0 is the beginning: no step led to it.

    As JSON it is an object with these names; numbers that are not finite are the strings `NaN`,
    `Infinity` and `-Infinity`, as Zarr itself writes them.

    Attributes:
        state: The commanded state after the step.
        action: Numbers in nested lists, or strings; the attributes know their dtype and shape.
        text: The words of the edit prompt.
        seed: Seed of the world model's noise.
        reward: The scenario's reward.
        terminated: Whether the scenario ended the episode.
        truncated: Whether a limit cut it.
        latency: Seconds the world took to answer; NaN if unknown.
        between: Frames strictly between the observation before and the one after.
        clip: Length of their video, bytes; 0 if they are kept otherwise or not at all.
        truncation_reason: Why a limit cut it; None if none did, or nobody said. This and what
            follows is left out of the JSON where there is nothing to say.
        success: Whether the scenario's goal is reached; None where it knows no success.
        metrics: The prediction's, by name.
    """

    state: list[float]
    action: Any = None
    text: str = ""
    seed: int = 0
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    latency: float = math.nan
    between: int = 0
    clip: int = 0
    truncation_reason: str | None = None
    success: bool | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def loads(text: str) -> Row:
        """Reads a row back.

        Raises:
            ValueError: It is no row.
        """
        try:
            values = json.loads(text)
            values["state"] = [float(value) for value in values["state"]]
            if len(values) > len(_FIRST):
                values.update({name: float(values[name]) for name in ("reward", "latency")})
                measured = values.get("metrics", {})
                values["metrics"] = {name: float(value) for name, value in measured.items()}
            return Row(**values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no record of a step: {text[:80]!r}") from error

    def dumps(self) -> str:
        """Writes the row as JSON."""
        names = ("state",) if self.action is None else _NAMES
        values = {name: getattr(self, name) for name in names}
        for name in _RARE:
            if name in values and values[name] in (None, {}):
                del values[name]
        try:
            return json.dumps(values, ensure_ascii=False, allow_nan=False)
        except ValueError:
            return json.dumps(_named(values), ensure_ascii=False, allow_nan=False)


_NAMES = tuple(column.name for column in fields(Row))


def row_of(step: Step, dtype: str, *, between: int, clip: int) -> Row:
    """Makes the row of a step.

    Args:
        step: The step.
        dtype: Of the episode's actions.
        between: Frames kept between the observation before and the one after.
        clip: Length of their video, bytes.
    """
    action = np.asarray(step.action)
    return Row(
        state=step.after.state.tolist(),
        action=(action if dtype == "string" else action.astype(dtype)).tolist(),
        text=step.text,
        seed=int(step.seed),
        reward=float(step.reward),
        terminated=bool(step.terminated),
        truncated=bool(step.truncated),
        latency=float(step.latency),
        between=between,
        clip=clip,
        truncation_reason=step.truncation_reason,
        success=step.success,
        metrics={name: float(value) for name, value in step.prediction.metrics.items()},
    )


def action_array(actions: Sequence[Any], dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Gives rows' actions as one array, (rows, *shape), in the dtype they were logged with.

    Raises:
        InvalidEpisode: They are not what the attributes say, as damage makes them.
    """
    try:
        kind: Any = np.dtypes.StringDType() if dtype == "string" else np.dtype(dtype)
        return np.array(actions, dtype=kind).reshape(len(actions), *shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidEpisode(f"the actions are not {dtype} of shape {shape}: {error}") from error


def _named(value: Any) -> Any:
    """Spells numbers that JSON has no way to write."""
    if isinstance(value, dict):
        return {name: _named(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_named(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
