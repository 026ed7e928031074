import builtins
import struct
import sys
import zlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageCms

from chronosim.errors import (
    ChronosimError,
    ChronosimWarning,
    EpisodeWriteError,
    InvalidFrame,
    MissingDependency,
)
from chronosim.frames import fit_frame, read_frame, write_frame
from chronosim.types import Frame


@pytest.fixture
def frame() -> Frame:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def deep_png(path: Path) -> None:
    """An RGB PNG of 16 bits a channel, which Pillow would open as 8 bits without a word."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + np.arange(12, dtype=">u2").tobytes() for _ in range(3))
    header = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def cmyk_profile() -> bytes:
    """A profile of inks, ICC 2.4, in which whatever holds yellow and no cyan looks green."""
    green, white = (153, 88, 158), (255, 128, 128)  # L*, a*, b* in 8 bits
    corners = [green if inks & 0b1010 == 0b0010 else white for inks in range(16)]  # cyan first
    ramps = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if n % 4 == 0 else 0 for n in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity
    table += ramps * 4 + bytes(value for corner in corners for value in corner) + ramps * 3
    start = 128 + 4 + 12
    head = struct.pack(
        ">I4sI4s4s4s", start + len(table), b"", 0x02400000, b"prtr", b"CMYK", b"Lab "
    )
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)  # D50
    tags = struct.pack(">I4sII", 1, b"A2B0", start, len(table))
    return head.ljust(128, b"\0") + tags + table


def test_a_frame_survives_a_png(tmp_path: Path, frame: Frame) -> None:
    write_frame(tmp_path / "a.png", frame)
    assert np.array_equal(read_frame(tmp_path / "a.png"), frame)


def test_a_frame_can_be_written_to(tmp_path: Path, frame: Frame) -> None:
    write_frame(tmp_path / "a.png", frame)
    read_frame(tmp_path / "a.png")[0] = 0


def half_transparent(frame: Frame) -> Image.Image:
    picture = Image.fromarray(frame)
    picture.putalpha(Image.fromarray(np.repeat([[0, 128] * 15], 20, 0).astype(np.uint8)))
    return picture


def reading(path: Path) -> tuple[Frame, list[str]]:
    said: list[str] = []
    return read_frame(path, told=said.append), said


def test_what_loses_nothing_is_converted_without_a_word(tmp_path: Path, frame: Frame) -> None:
    grey = Image.fromarray(frame).convert("L")
    palette = Image.fromarray(frame).quantize(16)
    opaque = Image.fromarray(frame).convert("RGBA")
    for number, picture in enumerate((grey, palette, opaque, grey.convert("1"))):
        path = tmp_path / f"{number}.png"
        picture.save(path)
        assert np.array_equal(read_frame(path), np.asarray(picture.convert("RGB")))


def test_transparency_is_drawn_over_white_and_said(tmp_path: Path, frame: Frame) -> None:
    half_transparent(frame).save(tmp_path / "a.png")
    seen, said = reading(tmp_path / "a.png")
    assert (seen[:, 0::2] == 255).all()
    expected = 255 + (frame[:, 1::2].astype(float) - 255) * 128 / 255
    assert np.abs(seen[:, 1::2] - expected).max() <= 1
    assert said == ["its transparency over white"]
    with pytest.warns(ChronosimWarning, match=r"a.png became an RGB frame: its transparency over"):
        read_frame(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["rgb", "grey", "palette"])
def test_a_colour_that_stands_for_nothing_is_white(tmp_path: Path, kind: str) -> None:
    rgb = np.full((3, 4, 3), 40, np.uint8)
    rgb[0] = 7
    picture = Image.fromarray(rgb)
    gone: object = (7, 7, 7)
    if kind == "grey":
        picture, gone = picture.convert("L"), 7
    if kind == "palette":
        picture = picture.quantize(4)
        gone = picture.getpixel((0, 0))
    picture.save(tmp_path / "a.png", transparency=gone)
    seen, said = reading(tmp_path / "a.png")
    assert (seen[0] == 255).all()
    assert np.abs(seen[1:].astype(int) - 40).max() <= 1
    assert "white" in said[0]


def test_of_sixteen_bits_the_upper_eight_are_kept(tmp_path: Path) -> None:
    deep_png(tmp_path / "rgb.png")
    grey = np.array([[0, 255, 256, 40_000, 65_535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).save(tmp_path / "grey.tif")
    header = b"P5 5 1 65535 "
    (tmp_path / "grey.pgm").write_bytes(header + grey.astype(">u2").tobytes())
    assert (reading(tmp_path / "rgb.png")[0] == 0).all()
    for ending in ("png", "tif", "pgm"):
        seen, said = reading(tmp_path / f"grey.{ending}")
        assert np.array_equal(seen[0, :, 1], [0, 0, 1, 156, 255]), ending
        assert said == ["of 16 bits a channel only the upper 8"]


def test_numbers_of_unknown_range_are_refused(tmp_path: Path) -> None:
    for dtype in (np.float32, np.int32):
        Image.fromarray(np.zeros((3, 4), dtype)).save(tmp_path / "a.tif")
        with pytest.raises(InvalidFrame, match="no known range") as caught:
            read_frame(tmp_path / "a.tif")
        assert isinstance(caught.value, ValueError)


def test_inks_go_through_their_profile(tmp_path: Path) -> None:
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    inks = Image.new("CMYK", (4, 3), (0, 255, 255, 0))
    inks.save(tmp_path / "bare.jpg")
    inks.save(tmp_path / "wrong.jpg", icc_profile=rgb)
    inks.save(tmp_path / "inks.tif", icc_profile=cmyk_profile())
    seen, said = reading(tmp_path / "bare.jpg")
    assert np.abs(seen.astype(int) - [255, 0, 0]).max() <= 3
    assert "a guess" in said[0]
    with pytest.raises(InvalidFrame, match="CMYK profile"):
        read_frame(tmp_path / "wrong.jpg")
    green = read_frame(tmp_path / "inks.tif")  # warns of nothing
    assert np.abs(green.astype(int) - [74, 162, 88]).max() <= 4


def test_of_a_film_the_first_frame_is_taken(tmp_path: Path, frame: Frame) -> None:
    first, second = (Image.fromarray(shade).quantize(8) for shade in (frame, 255 - frame))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    seen, said = reading(tmp_path / "a.gif")
    assert np.array_equal(seen, np.asarray(first.convert("RGB")))
    assert said == ["of its frames only the first"]
    first.save(tmp_path / "still.gif")
    assert np.array_equal(read_frame(tmp_path / "still.gif"), seen)


# Red beside blue, 16 x 32; written by pillow-heif, whose wheels are GPL: the extra only reads.
HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAALkAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNs"
    "eAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAIAAAAAEAAAAQAAAAAf///+AAAAAC////0AAAAAIAAAAQcGl4"
    "aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAwW1kYXQAAAC1KAGvCchnsbY5I1d//89rH/8oZ6H7xW4rf/fdS+/g"
    "N9//qsT+U6/07tpE493HWHUzNZ13oXEQRVnc7zYsfrKyDuVsBqCFJmn6IoSXmDNfp5q5nYz76hj3P0DDPYsrmOM2FfFg7Vfnrmnh"
    "bHCwsnOXORwhon01C0BH+gDNOOhQzwxuZACL4GPQok/VTzQAG20fzHt8VBFNGpwtnmVjnLnI4Q0T6aWunxvxfyImVCUiNTHI1oSN"
    "eA=="
)


def test_a_telephones_photo_is_read_by_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.jpg"  # whatever it is called
    path.write_bytes(b64decode(HEIC))
    seen = read_frame(path)
    assert seen.shape == (16, 32, 3)
    assert np.abs(seen[8, [4, 28]].astype(int) - [[200, 40, 40], [40, 40, 200]]).max() <= 12
    monkeypatch.setitem(Image.OPEN, "HEIF", (Image.OPEN["PNG"]))
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(MissingDependency, match=r"photo.jpg is a HEIC .*chronosim\[heic\]"):
        read_frame(path)


@pytest.mark.parametrize("side", [8_000, 11_000, 20_000])
def test_a_file_that_claims_too_many_pixels_is_not_decoded(tmp_path: Path, side: int) -> None:
    # 8,000 is below all of Pillow's limits, 11,000 lies between its warning and its error.
    Image.new("1", (side, side)).save(tmp_path / "bomb.png", compress_level=9)
    with pytest.raises(InvalidFrame, match="pixels"):
        read_frame(tmp_path / "bomb.png")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    for path, why in (("a.png", "not an image"), ("b.png", "no image at"), (".", "cannot be read")):
        with pytest.raises(InvalidFrame, match=why):
            read_frame(tmp_path / path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    write_frame(tmp_path / "a.png", noise)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidFrame, match="cannot be read"):
        read_frame(tmp_path / "a.png")


def test_a_photo_taken_sideways_is_turned_upright(tmp_path: Path, frame: Frame) -> None:
    image = Image.fromarray(frame)
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    image.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_frame(tmp_path / "a.png"), np.rot90(frame, -1))


def test_writing_says_what_went_wrong(tmp_path: Path, frame: Frame) -> None:
    with pytest.raises(InvalidFrame, match=r"should end in \.png"):
        write_frame(tmp_path / "a.nothing", frame)
    with pytest.raises(EpisodeWriteError, match="could not be written"):
        write_frame(tmp_path / "missing" / "a.png", frame)


def test_a_frame_that_fits_stays_the_same_object(frame: Frame) -> None:
    assert fit_frame(frame, (20, 30)) is frame


def test_fitting_cuts_the_middle_and_distorts_nothing() -> None:
    frame = np.zeros((40, 100, 3), np.uint8)
    frame[:, 30:70] = 200  # the middle square
    fitted = fit_frame(frame, (20, 20))
    assert fitted.shape == (20, 20, 3)
    assert (fitted == 200).all()
    assert (fit_frame(frame.transpose(1, 0, 2).copy(), (80, 80)) == 200).all()


@pytest.mark.parametrize("size", [(7, 5), (96, 96), (1, 1), (13, 200)])
def test_fitting_gives_the_size_asked_for(frame: Frame, size: tuple[int, int]) -> None:
    fitted = fit_frame(frame, size)
    assert fitted.shape == (*size, 3)
    assert fitted.dtype == np.uint8


def test_shrinking_averages_areas() -> None:
    board = np.indices((40, 40)).sum(0) % 2 * 255
    shrunk = fit_frame(np.repeat(board[..., None], 3, 2).astype(np.uint8), (10, 10))
    assert np.abs(shrunk.astype(int) - 127).max() <= 1


def test_a_size_below_one_is_refused(frame: Frame) -> None:
    with pytest.raises(InvalidFrame, match="0 x 5"):
        fit_frame(frame, (0, 5))


def test_opencv_without_its_libraries_answers_with_the_line_that_mends_it(
    frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def bare_debian(
        name: str,
        globals: Mapping[str, object] | None = None,  # the names that __import__ itself has
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return usual(name, globals, locals, fromlist, level)

    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.setattr(builtins, "__import__", bare_debian)
    with pytest.raises(
        MissingDependency, match=r"libGL.*apt-get install -y libgl1 libglib2.0-0 libxcb1$"
    ) as caught:
        fit_frame(frame, (5, 5))
    assert isinstance(caught.value, ImportError | ChronosimError)
    assert "\n" not in str(caught.value)
    assert fit_frame(frame, (20, 30)) is frame  # what needs no OpenCV goes on working


def test_a_bmp_whose_rows_take_a_number_of_bytes_with_16_in_it_is_read(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (2, 720, 3), dtype=np.uint8)
    write_frame(tmp_path / "a.bmp", wide)  # rows of 2160 bytes
    assert np.array_equal(read_frame(tmp_path / "a.bmp"), wide)


def test_an_image_with_a_broken_part_is_refused(tmp_path: Path) -> None:
    black = Image.new("RGB", (4, 3))
    black.save(tmp_path / "exif.png", exif=b"Exif\0\0no such header")
    black.save(tmp_path / "text.png")
    whole = (tmp_path / "text.png").read_bytes()
    text = b"zTXtkey\0\0" + zlib.compress(bytes(2**21))  # more than Pillow lets it unpack to
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (tmp_path / "text.png").write_bytes(whole[:33] + chunk + whole[33:])
    for name in ("exif.png", "text.png"):
        with pytest.raises(InvalidFrame, match=f"{name} cannot be read as an image"):
            read_frame(tmp_path / name)
