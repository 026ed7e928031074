"""Loading without the libraries' own bars and warnings."""

from __future__ import annotations

from typing import Any

import pytest
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from chronosim.models.loading.quiet import no_bars, no_warnings

LOGS: list[Any] = [diffusers_logging, transformers_logging]  # untyped


@pytest.mark.parametrize("log", LOGS)
def test_warnings_are_silent_inside_and_as_before_behind(
    log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = log.__name__.split(".")[0]
    heard: list[str] = []
    monkeypatch.setattr(log.get_logger(library), "handle", lambda said: heard.append(said.msg))

    with no_warnings():
        log.get_logger(library).warning("inside")
        log.get_logger(library).error("an error")
    log.get_logger(library).warning("behind")

    assert heard == ["an error", "behind"]


@pytest.mark.parametrize("log", LOGS)
def test_bars_that_were_off_stay_off(log: Any) -> None:
    was = log.is_progress_bar_enabled()
    try:
        for before in (log.enable_progress_bar, log.disable_progress_bar):
            before()
            state = log.is_progress_bar_enabled()
            with no_bars():
                assert not log.is_progress_bar_enabled()
            assert log.is_progress_bar_enabled() == state
    finally:
        (log.enable_progress_bar if was else log.disable_progress_bar)()
