"""What the browser is given: all of it ours, all of it there, nothing from elsewhere."""

import re
from pathlib import Path

import pytest

from chronosim.studio.pages import STATIC

FILES = sorted(path for path in Path(STATIC).iterdir() if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text)
    assert "innerHTML" not in text, "what others typed must never become markup"


def test_what_is_asked_for_is_there() -> None:
    known = {path.name for path in FILES}
    index = (Path(STATIC) / "index.html").read_text("utf-8")
    asked = set(re.findall(r'(?:src|href)="static/([^"]+)"', index))
    for path in FILES:
        asked |= set(re.findall(r'from "\./([^"]+)"', path.read_text("utf-8")))
    assert asked | {"index.html"} == known


def test_every_part_that_the_scripts_name_is_on_the_page() -> None:
    index = (Path(STATIC) / "index.html").read_text("utf-8")
    for path in FILES:
        for name in re.findall(r'\$\("([\w-]+)"\)', path.read_text("utf-8")):
            assert f'id="{name}"' in index, f"{path.name} asks for #{name}"
