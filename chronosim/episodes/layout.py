"""The layout of one episode on disk: a Zarr v3 group, documented once for writer and reader.

The group's attributes hold `schema` (this layout's version), `steps` (the committed length: all
that a reader may see), `finished`, and `about` (what made the episode). Its arrays:

===============  =======  ====================================================================
array            length   content
===============  =======  ====================================================================
frames           T + 1    observed frames, uint8 (height, width, 3)
states           T + 1    commanded states, float32 (n,)
action           T        the actions: numbers of one shape, or strings
between          T        frames strictly between two observations, uint8 (time, height, width, 3)
between_length   T        how many of them are real (trajectories may differ in length)
text             T        the words of the edit prompts, string
seed             T        seeds of the world model's noise, int64
reward           T        float64
terminated       T        bool
truncated        T        bool
latency          T        seconds the world took to answer, float64
===============  =======  ====================================================================

Arrays are longer than the committed length while an episode is live: space is reserved ahead.
"""

from __future__ import annotations

SCHEMA = 1
"""Version of the layout; a reader refuses a newer one."""

PER_OBSERVATION = ("frames", "states")
"""Arrays with T + 1 entries; all others have T."""

SCALARS = {
    "text": "string",
    "seed": "int64",
    "reward": "float64",
    "terminated": "bool",
    "truncated": "bool",
    "latency": "float64",
}
"""Arrays with one scalar a step, and their dtypes."""
