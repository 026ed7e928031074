"""The layout of one episode on disk: a Zarr v3 group, documented once for writer and reader.

The group's attributes are one small file, replaced as a whole, and say what a reader may see:

==============  ==================================================================================
attribute       content
==============  ==================================================================================
schema          this layout's version
steps           the committed length T: all that a reader may see
finished        whether the writer closed the episode
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
"""

from __future__ import annotations

from typing import Any, Literal

import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

SCHEMA = 2
"""Version of the layout; a reader refuses a newer one, and reads the older (`schema1.py`)."""

LIVE = "live"
"""The subgroup that a writer fills."""

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
"""What `EpisodeReader.column` can be asked for, whatever the schema."""


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
