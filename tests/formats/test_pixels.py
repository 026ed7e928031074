from __future__ import annotations

import numpy as np
import pytest

from chronosim.errors import InvalidFrame
from chronosim.formats.pixels import FrameMaker, picture_kind
from tests.formats.conftest import picture

FRAMES = np.stack([picture(at, (12, 16)) for at in range(3)])
GREY = FRAMES[..., :1]
RGBA = np.concatenate([FRAMES, np.full_like(GREY, 255)], -1)


@pytest.mark.parametrize(
    ("stored", "frames", "note"),
    [
        (FRAMES, FRAMES, None),
        (FRAMES.transpose(0, 3, 1, 2), FRAMES, "channels before rows to RGB"),
        (GREY, GREY.repeat(3, -1), "grey to RGB"),
        (GREY[..., 0], GREY.repeat(3, -1), "grey to RGB"),
        (RGBA, FRAMES, "RGBA over white to RGB"),
        (FRAMES / 255, FRAMES, "floats from 0 to 1 to RGB"),
        ((FRAMES / 255).astype(np.float16), FRAMES, "floats from 0 to 1 to RGB"),
        (FRAMES.astype(np.float32), FRAMES, "floats from 0 to 255 to RGB"),
        (FRAMES.astype(np.int64), FRAMES, "int64 from 0 to 255 to RGB"),
        (
            (RGBA / np.float32(255)).transpose(0, 3, 1, 2),
            FRAMES,
            "channels before rows and floats from 0 to 1 and RGBA over white to RGB",
        ),
    ],
)
def test_stored_pictures_become_frames(
    stored: np.ndarray, frames: np.ndarray, note: str | None
) -> None:
    maker = FrameMaker("top")
    made = maker(stored)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, frames)
    assert maker.notes == (set() if note is None else {f"{note} frames (camera top)"})
    assert picture_kind(stored.shape[1:], stored.dtype) == "colour"


def test_floats_keep_the_scale_of_the_first_that_are_not_black() -> None:
    maker = FrameMaker("top")
    assert not maker(np.zeros((1, 8, 8, 3), np.float32)).any()
    assert maker(np.full((1, 8, 8, 3), 0.2)).max() == 51
    with pytest.raises(InvalidFrame, match="camera top at row 7 holds floats from 200 to 200"):
        maker(np.full((1, 8, 8, 3), 200.0), row=7)


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        (
            np.full((1, 8, 8, 3), -0.5),
            "float64 and shape .8, 8, 3. from -0.5 to -0.5, not 0 to 255",
        ),
        (np.full((1, 8, 8, 3), np.nan), "from nan to nan"),
        (np.full((1, 8, 8, 3), 127.5), "neither all from 0 to 1 nor all whole"),
        (np.full((1, 8, 8, 3), 4000, np.uint16), "from 4000 to 4000, not 0 to 255"),
        (np.full((1, 8, 8), 1.5), "neither all from 0 to 1 nor all whole"),
        (np.zeros((1, 8, 8, 3), bool), "bool .* not numbers"),
        (np.zeros((1, 8, 8, 2), np.uint8), r"shape \(8, 8, 2\): a frame has rows"),
        (np.zeros((1, 2, 8, 8, 3), np.uint8), r"shape \(2, 8, 8, 3\): a frame has rows"),
    ],
)
def test_what_has_no_one_reading_is_refused(stored: np.ndarray, sentence: str) -> None:
    with pytest.raises(InvalidFrame, match=sentence):
        FrameMaker("top")(stored)


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((4, 6, 3), "u1", "colour"),
        ((96, 96), "u1", "colour"),
        ((96, 96), "f4", "depth"),
        ((96, 96, 1), "u2", "depth"),
        ((1, 96, 96), "f8", "depth"),
        ((3, 96, 96), "f4", "colour"),
        ((4, 4), "f4", None),
        ((7, 3), "f4", None),
        ((96,), "u1", None),
        ((96, 96, 3), "?", None),
        ((5, 96, 96, 3), "u1", None),
        ((96, 96, 2), "u1", None),
    ],
)
def test_what_an_array_holds(shape: tuple[int, ...], dtype: str, kind: str | None) -> None:
    assert picture_kind(shape, np.dtype(dtype)) == kind


def test_transparency_is_drawn_over_white() -> None:
    stored = np.zeros((1, 8, 8, 4), np.uint8)
    stored[:, 4:, :, 3] = 100
    made = FrameMaker("top")(stored)
    assert made[0, 0, 0].tolist() == [255] * 3
    assert made[0, 7, 7].tolist() == [155] * 3
