"""What frames were made by, held against what would make more of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["differences", "took_steps"]

# Nothing that decides what is predicted: the outcome is the same whether the way is decoded or not,
# and other versions or numbers of threads round otherwise, but mean the same.
_MAY_DIFFER = {"decode_trajectory", "lineage", "threads", "version", "versions"}


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Names what two makings differ in.

    Args:
        theirs: As it was read from a log.
        ours: The same with values that JSON can hold; what it does not name may be anything.

    Returns:
        The names that differ, those within others joined by a dot.
    """
    found = []
    for name, value in json.loads(json.dumps(dict(ours))).items():
        other = theirs.get(name)
        if name in _MAY_DIFFER:
            continue
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found += [f"{name}.{inner}" for inner in differences(other, value)]
        elif other != value:
            found.append(name)
    return sorted(found)


def took_steps(identity: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    """Whether a model took an episode's steps: the same actions then lead to the same frames.

    Args:
        identity: The model's.
        about: What the episode's log says of itself.
    """
    model = about.get("model")
    synthetic = about.get("synthetic") is True
    return synthetic and isinstance(model, Mapping) and not differences(model, identity)
