"""A studio as users start it, and Chromium to look at it with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["browse", "find_chromium", "save_picture", "shown", "studio", "take"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]


def find_chromium() -> str | None:
    """Where Chromium is: what CHRONOSIM_CHROMIUM names, or one on the path; None if nowhere."""
    given = os.environ.get("CHRONOSIM_CHROMIUM")
    return given or next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def studio(*settings: str) -> Iterator[str]:
    """Runs `chronosim studio` on a free port; gives its address."""
    code = "import sys; from chronosim.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-u", "-c", code, "studio", "port=0", "browser=false", *settings]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@contextmanager
def browse(
    *, width: int = 1440, height: int = 900, scale: float = 1.0
) -> Iterator[tuple[Any, list[str]]]:
    """Opens a page in Chromium; gives it, and what its console complains of."""
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []

    def listen(said: Any) -> None:
        # Chromium itself notes every refusal (409, 400), which the page tells people of.
        refused = "the server responded with a status of 4" in said.text
        if said.type in ("error", "warning") and not refused:
            complaints.append(said.text)

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=_FLAGS)
        context = chromium.new_context(
            viewport={"width": width, "height": height}, device_scale_factor=scale
        )
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page, complaints
        chromium.close()


def take(page: Any, key: str) -> int:
    """Presses a key and waits until the last frame of what comes of it is shown; its moment."""
    number = int(page.locator("#tree button").count())
    page.keyboard.press(key)
    shown(page, number)
    return number


def shown(page: Any, number: int) -> None:
    """Waits until a moment's outcome is what the large frame shows."""
    page.wait_for_selector(f"#tree button.at[data-node='{number}']")
    image = page.locator(f"#tree button[data-node='{number}'] img").get_attribute("src")
    page.wait_for_selector(f"#frame[data-shown='{image}']")


def save_picture(page: Any, path: Path) -> None:
    """Takes a picture of the page, with nothing in it that blinks."""
    page.mouse.move(5, 5)
    page.wait_for_timeout(400)
    page.screenshot(path=str(path))
