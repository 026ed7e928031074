"""The studio in a real browser: pytest -m browser tests/studio (see docs for Chromium)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chronosim.episodes import EpisodeReader, list_episodes
from tests.studio.browsing import browse, find_chromium, shown, studio, take

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine"),
]
pytest.importorskip("playwright", reason="Playwright is not installed: .[browser]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with studio(f"folder={folder}", "seed=2") as started:
        yield started


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    with browse() as (opened, complaints):
        opened.goto(address)
        opened.wait_for_selector("#frame[data-shown]")
        yield opened
        assert not complaints


def test_drive_fork_compare_save_reload_and_reopen(page: Any, folder: Path) -> None:
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    for key in ["ArrowUp"] * 4 + ["a", "d", " ", "ArrowUp", "ArrowDown", "w"]:
        take(page, key)
    assert page.locator("#tree button").count() == 11
    assert "step 10" in page.locator("#clock").inner_text()
    assert page.locator("#words").inner_text().startswith("The car goes from ")

    page.keyboard.press("Backspace")
    shown(page, 9)
    page.locator("#tree button[data-node='4']").click()
    shown(page, 4)
    page.keyboard.press("f")
    page.locator("#futures-dialog input[name=steps]").fill("2")
    page.locator("#ask-futures").click()
    page.wait_for_selector("#comparison:not([hidden])")
    assert page.locator("#branches canvas[data-shown]").count() == 3
    assert page.locator("#moment h2").inner_text() == "One moment, three futures"
    futures = page.locator("#branches p").all_inner_texts()
    assert len(set(futures)) == 3
    assert page.locator("#tree button").count() == 11 + 6

    page.keyboard.press("Escape")
    shown(page, 4)
    for number in (10, 16):
        page.locator(f"#tree button[data-node='{number}']").click(modifiers=["Shift"])
    page.wait_for_selector("#comparison:not([hidden])")
    assert page.locator("#branches canvas").count() == 2
    page.keyboard.press("Escape")

    page.keyboard.press("Control+s")
    saved = page.locator(".note[data-id=saved]").inner_text()
    [run] = (folder / "studio").iterdir()
    assert str(run) in saved
    steps = [EpisodeReader(path).steps for path in list_episodes(run / "episodes")]
    assert steps == [10, 2, 2, 2]

    page.reload()
    shown(page, 4)
    assert page.locator("#tree button").count() == 17

    page.locator("#open").click()
    page.get_by_text("Look in").click()
    page.get_by_text("Open as a tree").click()
    page.wait_for_selector("#tree button[data-node='16']")
    page.wait_for_selector(f"#world-line:has-text('{run.name}')")
    page.locator("#tree button[data-node='10']").click()
    shown(page, 10)
    assert take(page, "ArrowLeft") == 17
    assert not refused


def test_a_held_key_drives_on_and_the_branch_plays_and_scrubs(page: Any) -> None:
    page.keyboard.down("ArrowUp")
    page.wait_for_selector("#tree button[data-node='3']")
    page.keyboard.up("ArrowUp")
    page.wait_for_selector("body:not([data-busy])")
    last = page.locator("#tree button").count() - 1
    shown(page, last)
    page.locator("#position").fill("12")
    assert "step 2" in page.locator("#clock").inner_text()
    shown(page, 2)
    page.keyboard.press("p")
    page.wait_for_selector("#play:text('❚❚')")
    page.wait_for_selector("#play:text('▶')")
    shown(page, 2)


def test_two_windows_on_one_session_stay_together(page: Any, address: str) -> None:
    with page.context.expect_page() as opening:
        page.evaluate("window.open(location.href)")
    other = opening.value
    other.wait_for_selector("#frame[data-shown]")
    take(page, "ArrowUp")
    other.keyboard.press("ArrowLeft")
    other.wait_for_selector(".note:has-text('moved on in another window')")
    shown(other, 1)
    assert take(other, "ArrowLeft") == 2


def test_another_world_and_words_that_cannot_be(page: Any) -> None:
    page.locator("#new").click()
    page.locator("#choose-scenario").select_option("street-sedan")
    page.locator("#choose-model").select_option("nano")
    page.wait_for_selector(".lacks:has-text('no photo: photos and free words are for')")
    assert page.locator("#begin").is_disabled()
    page.locator("#choose-model").select_option("echo")
    page.wait_for_selector(".lacks:has-text('begins with a picture of yours: a street')")
    assert page.locator("#begin").is_disabled()
    page.locator("#choose-scenario").select_option("pusht")
    page.locator("#choose-model").select_option("echo")
    page.locator("#begin").click()
    page.wait_for_selector("#frame-box.placing")
    page.locator("#frame").click(position={"x": 60, "y": 90})
    shown(page, 1)
    assert "The pusher moves" in page.locator("#words").inner_text()


def test_a_file_that_is_no_frame_is_refused_and_one_that_is_begins_a_world(
    page: Any, tmp_path: Path
) -> None:
    (tmp_path / "words.png").write_text("not a picture")
    page.locator("#new").click()
    page.locator("dialog summary").click()
    page.locator("#first-frame").set_input_files(tmp_path / "words.png")
    page.wait_for_selector(".lacks:has-text('words.png is not an image that can be read')")
    assert page.locator("#begin").is_disabled()
    Image.new("RGBA", (90, 40), (200, 90, 90, 255)).save(tmp_path / "photo.png")
    page.locator("#choose-scenario").select_option("table-reach")
    page.locator("#choose-model").select_option("echo")
    page.locator("#first-frame").set_input_files(tmp_path / "photo.png")
    canvas = page.locator(".sketch canvas")
    canvas.scroll_into_view_if_needed()
    assert "begins with this frame" in page.locator(".preview p").inner_text()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 20, steps=5)
    page.mouse.up()
    page.locator("#begin").click()
    page.wait_for_selector("#controls label:has-text('gripper open')")
    image = page.locator("#tree button img").get_attribute("src")
    assert image is not None
    drawn = np.asarray(
        Image.open(BytesIO(page.request.get(f"{page.url.split('#')[0]}{image}").body()))
    )
    assert (drawn.reshape(-1, 3).max(1) == 0).any()  # the brush is black
    assert (drawn[-1] == [200, 90, 90]).all()
