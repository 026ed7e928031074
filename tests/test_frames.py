import builtins
import struct
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from chronosim.errors import ChronosimError, EpisodeWriteError, InvalidFrame, MissingDependency
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


def test_a_frame_survives_a_png(tmp_path: Path, frame: Frame) -> None:
    write_frame(tmp_path / "a.png", frame)
    assert np.array_equal(read_frame(tmp_path / "a.png"), frame)


def test_a_frame_can_be_written_to(tmp_path: Path, frame: Frame) -> None:
    write_frame(tmp_path / "a.png", frame)
    read_frame(tmp_path / "a.png")[0] = 0


@pytest.mark.parametrize(
    ("mode", "named"), [("RGBA", "RGBA"), ("L", "L"), ("P", "P"), ("CMYK", "CMYK"), ("LA", "LA")]
)
def test_other_kinds_are_refused_and_the_way_out_is_named(
    tmp_path: Path, mode: str, named: str
) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (4, 3)).save(path)
    with pytest.raises(InvalidFrame, match=rf" is {named}, .*convert\('RGB'\)") as caught:
        read_frame(path)
    assert isinstance(caught.value, ValueError)


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    deep_png(tmp_path / "rgb.png")
    Image.fromarray(np.zeros((3, 4), np.uint16)).save(tmp_path / "grey.png")
    with pytest.raises(InvalidFrame, match="RGB, 16 bits"):
        read_frame(tmp_path / "rgb.png")
    with pytest.raises(InvalidFrame, match=">> 8"):
        read_frame(tmp_path / "grey.png")


def test_the_way_out_of_grey_16_bits_works(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 4), 40_000, np.uint16)).save(tmp_path / "grey.png")
    with pytest.raises(InvalidFrame) as caught:
        read_frame(tmp_path / "grey.png")
    recipe = str(caught.value).split("with Pillow, ")[1]
    names = {
        "Image": Image,
        "numpy": np,
        "path": tmp_path / "grey.png",
        "new_path": tmp_path / "new.png",
    }
    exec(recipe, names)
    assert (read_frame(tmp_path / "new.png") == 40_000 >> 8).all()


def test_transparency_of_an_rgb_file_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png", transparency=(0, 0, 0))
    with pytest.raises(InvalidFrame, match="with transparency"):
        read_frame(tmp_path / "a.png")


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
