"""Loading without the libraries' progress bars, which would run through the commands' own lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

__all__ = ["no_bars"]


@contextmanager
def no_bars() -> Iterator[None]:
    """Turns the bars of diffusers and transformers off, and on again where they were."""
    logs: list[Any] = [diffusers_logging, transformers_logging]  # untyped
    bars = [log for log in logs if log.is_progress_bar_enabled()]
    for log in bars:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in bars:
            log.enable_progress_bar()
