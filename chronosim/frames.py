"""Frames from and to image files, and a camera fitted to a model's size."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from chronosim.errors import ChronosimWarning, EpisodeWriteError, InvalidFrame, MissingDependency
from chronosim.types import Frame

__all__ = [
    "encode_png",
    "fit_frame",
    "middle_of",
    "read_frame",
    "resize_frame",
    "sharpness",
    "write_frame",
]

_LARGEST = 50_000_000  # pixels; a file of a few kilobytes can claim any number of them
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands


def read_frame(path: str | Path, *, told: Callable[[str], None] | None = None) -> Frame:
    """Reads an image file as people have them, and makes an RGB frame of it.

    It is turned upright if its camera noted how it was held. Transparency is drawn over white, 16
    bits a channel become their upper 8, CMYK goes through its profile to sRGB, and of a film the
    first frame is taken; grey and palettes lose nothing. RGB values are taken as they are, whatever
    profile they have, as ChronoEdit's own scripts do.

    Args:
        path: A PNG, JPEG, WebP, TIFF, GIF, AVIF or any other file Pillow reads; HEIC with the extra
            `heic`.
        told: Called with what of the file the frame does not show, if anything ("its transparency
            over white"); None: it is a `ChronosimWarning`.

    Returns:
        RGB uint8 (height, width, 3).

    Raises:
        InvalidFrame: No such file, not an image, too many pixels, or numbers of unknown range.
        MissingDependency: A HEIC file, without the extra.
    """
    path = Path(path)
    return _frame_of(lambda: _open(path), path, told)


def decode_frame(
    content: bytes, name: str, *, told: Callable[[str], None] | None = None
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Makes a frame of an image file's bytes, as `read_frame` does of a file.

    Args:
        content: A PNG, JPEG, WebP or TIFF.
        name: What it is, for errors.
        told: As of `read_frame`.

    Raises:
        InvalidFrame: As of `read_frame`.
    """
    kinds = ("PNG", "JPEG", "WEBP", "TIFF")
    return _frame_of(lambda: Image.open(io.BytesIO(content), formats=kinds), name, told)


def _frame_of(
    opened: Callable[[], Image.Image], path: str | Path, told: Callable[[str], None] | None
) -> UInt8[np.ndarray, "rows columns 3"]:
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            # Pillow only warns of a decompression bomb up to twice its limit; ours is lower.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = opened()
        with image:
            _check_size_of(image, path)
            frame = np.array(_to_rgb(image, notes))
    except (InvalidFrame, MissingDependency):
        raise  # the first is a ValueError too, which Pillow's own are told from below
    except FileNotFoundError as error:
        raise InvalidFrame(f"there is no image at {path}") from error
    except Image.DecompressionBombError as error:
        raise InvalidFrame(f"{path} is too large to be a frame: {error}") from error
    except UnidentifiedImageError as error:
        raise InvalidFrame(f"{path} is not an image that can be read") from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        # SyntaxError and struct.error: a broken chunk or EXIF block; ValueError: text too large.
        raise InvalidFrame(f"{path} cannot be read as an image: {error}") from error
    if notes and told is not None:
        told("; ".join(notes))
    elif notes:
        warning = f"{path} became an RGB frame: {'; '.join(notes)}"
        warnings.warn(warning, ChronosimWarning, stacklevel=3)
    return frame


def write_frame(path: str | Path, frame: Frame) -> None:
    """Writes a frame to an image file, its kind named by the ending (PNG loses nothing).

    Args:
        path: Where to; its folder must exist.
        frame: RGB uint8 (height, width, 3).

    Raises:
        InvalidFrame: The ending names no kind of image.
        EpisodeWriteError: The disk refuses.
    """
    try:
        Image.fromarray(frame).save(path)
    except ValueError as error:
        raise InvalidFrame(f"{path} should end in .png or .jpg") from error
    except OSError as error:
        raise EpisodeWriteError(f"the frame {path} could not be written: {error}") from error


def fit_frame(frame: Frame, size: tuple[int, int]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Fits a camera's frame to a model: cuts its middle to the shape, then resizes.

    Nothing is distorted; what lies beyond the shape is cut off on both sides alike.

    Args:
        frame: RGB uint8 (height, width, 3).
        size: Height and width to fit, in pixels.

    Returns:
        RGB uint8 of that size; the frame itself where it fits already.

    Raises:
        InvalidFrame: A side of `size` is below 1.
        MissingDependency: OpenCV cannot start on this machine.
    """
    if frame.shape[:2] == tuple(size):
        return frame
    _check_size(size)
    rows, columns = middle_of(frame, size[0] / size[1])
    return resize_frame(np.ascontiguousarray(frame[rows, columns]), size)


def resize_frame(frame: Frame, size: tuple[int, int]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Resizes the whole of a frame.

    Args:
        frame: RGB uint8 (height, width, 3).
        size: Height and width to give it, in pixels.

    Returns:
        RGB uint8 of that size; the frame itself where it has it already.

    Raises:
        InvalidFrame: A side of `size` is below 1.
        MissingDependency: OpenCV cannot start on this machine.
    """
    _check_size(size)
    height, width = size
    if frame.shape[:2] == (height, width):
        return frame
    try:
        import cv2  # here, so that a machine without OpenCV's system libraries runs all the rest
    except ImportError as error:
        raise MissingDependency(
            f"OpenCV cannot start ({error}): apt-get install -y libgl1 libglib2.0-0 libxcb1"
        ) from error
    # Area averages where pixels are lost; it would show blocks where they are gained.
    way = cv2.INTER_AREA if frame.shape[0] > height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, (width, height), interpolation=way), np.uint8)


def middle_of(frame: Frame, shape: float) -> tuple[slice, slice]:
    """Gives rows and columns of the largest part around the middle of one shape.

    Args:
        frame: RGB uint8 (height, width, 3).
        shape: Height over width.
    """
    height, width = frame.shape[:2]
    rows = min(height, max(1, round(width * shape)))
    columns = min(width, max(1, round(height / shape)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


def _check_size(size: tuple[int, int]) -> None:
    if min(size) < 1:
        raise InvalidFrame(f"a frame must be at least 1 x 1 pixels, not {size[0]} x {size[1]}")


def _open(path: Path) -> Image.Image:
    """Opens a file; Pillow itself knows no HEIC, the photos of many a telephone."""
    if path.exists() and not path.is_file():
        raise OSError("it is no plain file")
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        with path.open("rb") as file:
            head = file.read(12)
        if head[4:8] != b"ftyp" or head[8:12] not in _HEIC:
            raise
    try:
        from pi_heif import register_heif_opener  # here: an extra
    except ImportError as error:
        raise MissingDependency(
            f"{path} is a HEIC photo: pip install 'chronosim[heic]', or save it as JPEG"
        ) from error
    register_heif_opener()
    return Image.open(path)


def _check_size_of(image: Image.Image, path: str | Path) -> None:
    if image.width * image.height > _LARGEST:
        raise InvalidFrame(
            f"{path} has {image.width} x {image.height} pixels, more than the {_LARGEST:,} "
            "that a frame may have: scale it down first"
        )


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has 16 bits a channel; Pillow's mode tells it of grey alone."""
    tiles = getattr(image, "tile", [])
    deep_grey = image.format == "PPM" and image.mode == "I"
    return deep_grey or any("16" in _raw_mode(tile[3]) for tile in tiles)


def _raw_mode(settings: Any) -> str:
    """How a decoder of Pillow's finds the pixels in the file; other settings may stand beside."""
    first = settings[0] if isinstance(settings, tuple) and settings else settings
    return first if isinstance(first, str) else ""


def _to_rgb(file: Image.Image, notes: list[str]) -> Image.Image:
    """Converts a picture of any kind, and notes what is no longer as it was."""
    if getattr(file, "is_animated", False) and file.format != "MPO":  # a photo and its preview
        notes.append("of its frames only the first")
        file.seek(0)
    if _is_deep(file):
        notes.append("of 16 bits a channel only the upper 8")
    image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_grey(image, known=image.mode.startswith("I;16") or file.format == "PPM")
    if image.mode == "CMYK":
        return _from_cmyk(image, notes)
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    if np.asarray(seen)[..., 3].min() < 255:
        notes.append("its transparency over white")
    white = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(white, seen).convert("RGB")


def _to_grey(image: Image.Image, *, known: bool) -> Image.Image:
    """The upper 8 of 16 bits, which is what Pillow keeps of colours; its own conversion clips."""
    if not known:
        raise ValueError(f"its numbers ({image.mode}, 32 bits) have no known range: save 8 or 16")
    values = np.asarray(image).astype(np.int64)
    grey = Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))
    if (gone := image.info.get("transparency")) is None:
        return grey
    grey.putalpha(Image.fromarray(np.where(values == gone, 0, 255).astype(np.uint8)))
    return grey


def _from_cmyk(image: Image.Image, notes: list[str]) -> Image.Image:
    """Through the file's own profile of inks where there is one."""
    if profile := image.info.get("icc_profile"):
        inks, screen = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        try:
            seen = ImageCms.profileToProfile(image, inks, screen, outputMode="RGB")
        except ImageCms.PyCMSError as error:
            raise ValueError(f"its CMYK profile does not work: {error}") from error
        assert seen is not None  # only where it was to be changed in place
        return seen
    notes.append("its CMYK colours are a guess, for it has no profile")
    return image.convert("RGB")


def encode_png(frame: Frame, *, compress_level: int = 6) -> bytes:
    """Encodes a frame, nothing lost.

    Args:
        frame: RGB uint8 (height, width, 3).
        compress_level: 0 (fast and large) to 9.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(frame))
    image.save(buffer, format="PNG", compress_level=compress_level)
    return buffer.getvalue()


_GREY = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in brightness; source: ITU-R BT.601."""


def sharpness(frame: Frame) -> float:
    """Measures a frame's sharpness: the variance of the Laplacian of its brightness.

    The Laplacian is that of four neighbours, inside the frame. Reviews of IF-Edit write the measure
    as a mean of signed Laplacians; but those sum to little more than the frame's edge, near zero
    for any frame, sharp or not. The variance is what the measure is known as.

    Args:
        frame: RGB uint8 (height, width, 3), at least 3 pixels a side; below that it is 0.

    Returns:
        Grey levels squared, >= 0.

    Source: the role in arXiv 2511.19435 (self-consistent post-refinement); the measure from
        Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    if min(frame.shape[:2]) < 3:
        return 0.0
    grey = frame @ _GREY
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())
