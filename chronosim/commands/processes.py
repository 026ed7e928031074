"""Which of the processes that torchrun started this one is."""

from __future__ import annotations

import os

__all__ = ["count_processes", "is_first_process"]


def count_processes() -> int:
    """Gives how many there are; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this is the one that prints and writes."""
    return os.environ.get("RANK", "0") == "0"
