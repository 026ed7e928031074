"""How much a process grows while a model feeds on its own frames."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

import psutil

from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt

__all__ = ["memory_growth"]

_WARM_UP = 20  # steps in which caches fill before anything counts


def memory_growth(model: WorldModel, prompt: EditPrompt, steps: int) -> float:
    """Measures the growth of this process over many steps.

    Args:
        model: Fed with its own frames, the words staying the same, the seeds counting up.
        prompt: Where it begins.
        steps: How many count; 20 before them fill the caches.

    Returns:
        Resident memory after the last step less that before the first, MB (10^6 bytes). Where the
        C library cannot give freed memory back, some noise is in it.
    """
    process, frame, before = psutil.Process(), prompt.frame, 0
    for step in range(_WARM_UP + steps):
        if step == _WARM_UP:
            before = _resident(process)
        frame = model.predict([EditPrompt(frame, prompt.text, prompt.seed + step)])[0].frame.copy()
    return (_resident(process) - before) / 1e6


def _resident(process: psutil.Process) -> int:
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):  # glibc's alone: what is free, but kept
        ctypes.CDLL(None).malloc_trim(0)
    return int(process.memory_info().rss)
