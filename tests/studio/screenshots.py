"""Makes the README's pictures of the studio: `make screenshots` (needs Chromium and Playwright)."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.studio.browsing import browse, find_chromium, save_picture, shown, studio, take

_PICTURES = Path(__file__).parents[2] / "docs"


def main() -> int:
    """Drives a little, asks for three futures, and leaves a picture of each."""
    if find_chromium() is None:
        print("There is no Chromium: apt-get install chromium, or set CHRONOSIM_CHROMIUM.")
        return 2
    with (
        TemporaryDirectory() as folder,
        studio(f"folder={folder}", "seed=11") as address,
        browse(scale=1.5) as (page, _),
    ):
        page.goto(address)
        page.wait_for_selector("#frame[data-shown]")
        take(page, "ArrowUp")
        page.keyboard.press("f")
        page.locator("#futures-dialog input[name=steps]").fill("2")
        page.locator("#ask-futures").click()
        page.wait_for_selector("#comparison:not([hidden])")
        page.wait_for_selector("#compare-play:text('❚❚')")
        page.wait_for_selector("#compare-play:text('▶')")
        save_picture(page, _PICTURES / "studio-futures.png")
        page.keyboard.press("Escape")
        page.locator("#tree button[data-node='5']").click()  # the end of the first future
        shown(page, 5)
        take(page, "ArrowUp")
        save_picture(page, _PICTURES / "studio.png")
    print(f"{_PICTURES / 'studio.png'}\n{_PICTURES / 'studio-futures.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
