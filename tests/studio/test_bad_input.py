"""What is sent is refused in a sentence, or it works; nothing else."""

from __future__ import annotations

import json
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from tests.studio.conftest import Answer, Served


def sentence(answer: Answer) -> str:
    """What an answer refuses in: short, and no trace of the code."""
    told = answer.json if answer.status >= 400 else answer.lines[-1]["state"]
    said: str = told["error"] if answer.status >= 400 else told["problem"]
    assert answer.status < 500
    assert 10 < len(said) < 500
    assert "Traceback" not in said
    assert ".py" not in said
    return said


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("left", "must be a list of numbers here, not 'left'"),
        ([0, 0], "must have shape (3,), not (2,)"),
        ([9, 0, 0], "must lie between"),
        ([float("nan"), 0, 0], "must be finite"),
        ([10**400, 0, 0], "must be finite"),
        ([True, 0, 0], "must be a list of numbers"),
        ([[0, 0, 0]], "must be a list of numbers"),
        (None, "must be a list of numbers here, not None"),
        ({"a": "b" * 999}, "must be a list of numbers"),
    ],
)
def test_actions(action: Any, said: str, served: Served) -> None:
    state = served.begin()
    path = f"/api/sessions/{state['session']}/step"
    assert said in sentence(served.ask(path, {"version": 1, "action": action}))
    assert len(served.state(state)["nodes"]) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"not json", "the request is no JSON"),
        (b"[1]", "the request must be a JSON object"),
        (b"\xff\xfe", "the request is no JSON"),
        (b"[" * 60_000, "the request is no JSON"),
        (b'{"action": "' + b"a" * 2**20 + b'"}', "may have up to 64 KiB"),
    ],
)
def test_bodies(body: bytes, said: str, served: Served) -> None:
    state = served.begin()
    assert said in sentence(served.ask(f"/api/sessions/{state['session']}/step", body))
    assert said in sentence(served.ask("/api/sessions", body))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "gpt"}, "does not offer the model 'gpt', but: echo, nano"),
        ({"model": "chronoedit-14b"}, "does not offer the model 'chronoedit-14b'"),
        ({"model": ["nano"]}, "must be names"),
        ({"scenario": "moon"}, "there is no scenario 'moon'"),
        ({"scenario": "../../etc/passwd"}, "there is no scenario"),
        ({"scenario": "recorded"}, "scenario.starts"),
        ({"seed": -1}, "a seed must be a whole number"),
        ({"seed": "1"}, "a seed must be a whole number"),
        ({"seed": 1.5}, "a seed must be a whole number"),
        ({"sampling": {"denoising_steps": 10**9}}, "must lie from 1 to 200"),
        ({"sampling": {"denoising_steps": "8"}}, "must be a number"),
        ({"sampling": {"_target_": "os.system"}}, "there is no _target_="),
        ({"sampling": 3}, "must be settings by name"),
    ],
)
def test_choices(asked: Any, said: str, served: Served) -> None:
    assert said in sentence(served.ask("/api/sessions", asked))
    assert len(served.studio.sessions) == 0, "what never began takes no room"


def test_futures_and_moments(served: Served, left: list[float]) -> None:
    state = served.begin()
    path = f"/api/sessions/{state['session']}"
    for asked, said in (
        ({"actions": [left] * 7, "steps": 1}, "1 to 6 futures"),
        ({"actions": [left] * 2, "steps": 10**9}, "of 1 to 20 steps"),
        ({"actions": [], "steps": 1}, "1 to 6 futures"),
        ({"actions": left[0], "steps": 1}, "a list of actions"),
    ):
        assert said in sentence(served.ask(f"{path}/futures", {"version": 1, **asked}))
    for node, said in ((7, "no moment 7"), (-1, "no moment -1"), ("0", "a whole number, not '0'")):
        assert said in sentence(served.ask(f"{path}/go", {"version": 1, "node": node}))
    assert "has 1 frames" in sentence(served.ask(f"{path}/nodes/0/5.png"))
    assert "no moment 9" in sentence(served.ask(f"{path}/nodes/9/0.png"))


def test_a_session_that_is_not_there(served: Served) -> None:
    for path, body in (("", None), ("/step", {"version": 1}), ("/nodes/0/0.png", None)):
        answer = served.ask(f"/api/sessions/nobody{path}", body)
        assert answer.status == 404
        assert "does not know this session" in sentence(answer)


@pytest.mark.parametrize(
    "path", ["../outside", "/etc", "link", "a/../../outside", "x\0y", "a" * 5000]
)
def test_paths_outside_the_folder(path: str, served: Served, tmp_path: Path) -> None:
    served.folder.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (served.folder / "link").symlink_to(outside)
    for answer in (
        served.ask(f"/api/library?path={quote(path)}"),
        served.ask(f"/api/library/frame?path={quote(path)}"),
        served.ask("/api/sessions/open", {"path": path}),
    ):
        assert "secret" not in sentence(answer)
    assert served.ask("/api/library").json["entries"] == [], "links are not shown either"


@pytest.mark.parametrize("path", ["nowhere", "", "file.txt", "damaged", None, 3])
def test_what_is_no_episode(path: Any, served: Served) -> None:
    (served.folder / "damaged").mkdir(parents=True)
    (served.folder / "damaged" / "zarr.json").write_text('{"attributes": 3}')
    (served.folder / "file.txt").write_text("words")
    sentence(served.ask("/api/sessions/open", {"path": path}))
    assert len(served.ask("/api/library").json["entries"]) == 0


def numbers() -> bytes:
    file = BytesIO()
    Image.fromarray(np.zeros((3, 4), np.float32)).save(file, "TIFF")
    return file.getvalue()


def png(frame: np.ndarray, mode: str = "RGB") -> bytes:
    file = BytesIO()
    Image.fromarray(frame).convert(mode).save(file, "PNG")
    return file.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be as large as it likes."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    written = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


GREY = np.full((40, 60, 3), 90, np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"", "photo.png is not an image that can be read"),
        (b"words, not pixels", "photo.png is not an image that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not an image that can be read"),
        (png(NOISE)[:2000], "photo.png cannot be read as an image"),
        (bomb(8_000), "more than the 50,000,000 that a frame may have"),
        (bomb(60_000), "photo.png is too large to be a frame"),
        (numbers(), "photo.png cannot be read as an image: its numbers (F, 32 bits) have no known"),
        (bytes(33 * 2**20), "an image file may have up to 32,768 KiB"),
    ],
)
def test_files_that_are_no_frames(file: bytes, said: str, served: Served) -> None:
    answer = served.ask("/api/sessions/frame?name=../../photo.png", file)
    assert said in sentence(answer)
    assert "chronosim-studio-" not in answer.json["error"], "where it was looked at is not told"


def test_a_picture_that_is_no_rgb_is_converted_and_said(served: Served) -> None:
    grey = np.full((40, 40, 4), 90, np.uint8)  # the last channel: transparent for the most part
    answer = served.ask("/api/sessions/frame?name=a.png", png(grey, "RGBA"))
    assert answer.lines[-1]["result"] == {"lost": "its transparency over white"}
    key = answer.lines[-1]["state"]["session"]
    shown = np.asarray(Image.open(BytesIO(served.ask(f"/api/sessions/{key}/nodes/0/0.png").body)))
    assert np.abs(shown.astype(int) - (255 - (255 - 90) * 90 / 255)).max() <= 1


def test_a_frame_of_ones_own_begins_a_world(served: Served, left: list[float]) -> None:
    asked = quote(json.dumps({"scenario": "street-sedan"}))
    answer = served.ask(f"/api/sessions/frame?name=a.png&asked={asked}", png(GREY))
    state = answer.lines[-1]["state"]
    assert state["problem"] is None
    assert state["world"]["controls"]["kind"] == "words"
    assert (state["world"]["height"], state["world"]["width"]) == (784, 1168)
    path = f"/api/sessions/{state['session']}/step"
    told = served.ask(path, {"version": 1, "action": "The sedan stops."}).lines[-1]["state"]
    assert told["nodes"][-1]["text"] == "The sedan stops."
    long = served.ask(path, {"version": told["version"], "action": "a" * 2000})
    assert "may have 1500 characters" in sentence(long)


def test_a_picture_is_shown_as_the_world_would_begin_with_it(served: Served) -> None:
    wide = np.zeros((40, 90, 4), np.uint8)
    wide[..., 3] = 255
    wide[:, 40:50, :3], wide[0, 0, 3] = 200, 0

    def look(scenario: str, model: str) -> tuple[Any, np.ndarray]:
        path = f"/api/look?name=a.png&scenario={scenario}&model={model}"
        answer = served.ask(path, png(wide, "RGBA"))
        assert answer.status == 200, answer.body
        shown = np.asarray(Image.open(BytesIO(answer.body)))
        return json.loads(answer.headers["x-told"]), shown

    told, shown = look("carracing", "nano")
    assert shown.shape == (96, 96, 3)
    assert told == {"lost": "its transparency over white", "shown": 40 / 90, "size": [96, 96]}
    told, shown = look("table-reach", "echo")
    assert told["shown"] == 1
    assert told["size"] == [*shown.shape[:2]] == [640, 1440]
    assert "there is no model 'x'" in sentence(
        served.ask("/api/look?scenario=carracing&model=x", png(wide, "RGBA"))
    )


def test_models_of_small_worlds_are_told_apart(served: Served) -> None:
    choices = served.ask("/api/choices").json
    small = {model["name"]: model["small"] for model in choices["models"]}
    assert small == {"echo": False, "nano": True}
    assert "model=remote" in choices["leads_on"]
    wants = {one["name"]: one["wants"] for one in choices["scenarios"]}
    assert wants["carracing"] is None
    assert "basketball" in wants["hall-basketball"]
