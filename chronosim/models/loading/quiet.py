"""Loading without the libraries' own bars and warnings, which would run through our lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

_LOGS: list[Any] = [diffusers_logging, transformers_logging]  # untyped


@contextmanager
def no_bars() -> Iterator[None]:
    """Turns the bars of diffusers and transformers off, and on again where they were."""
    bars = [log for log in _LOGS if log.is_progress_bar_enabled()]
    for log in bars:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in bars:
            log.enable_progress_bar()


@contextmanager
def no_warnings() -> Iterator[None]:
    """Silences the warnings of diffusers and transformers; their errors are raised as ever."""
    levels = [(log, log.get_verbosity()) for log in _LOGS]
    for log in _LOGS:
        log.set_verbosity_error()
    try:
        yield
    finally:
        for log, level in levels:
            log.set_verbosity(level)
