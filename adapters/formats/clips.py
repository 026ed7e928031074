"""Frames to and from video files, at exactly their size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from chronosim.episodes.clips import write_h264
from chronosim.errors import EpisodeNotFound, EpisodeWriteError, InvalidEpisode, InvalidFrame
from chronosim.formats.safety import check_not_pointer
from chronosim.types import Frame

_LARGEST = 50_000_000  # pixels of a frame; a file of a few kilobytes can claim any number of them
_AnySize = UInt8[np.ndarray, "_ _ 3"]
KINDS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".3gp": "mp4", ".mkv": "matroska",
    ".webm": "webm", ".avi": "avi", ".ts": "mpegts", ".mts": "mpegts", ".m2ts": "mpegts",
    ".mpg": "mpeg", ".mpeg": "mpeg", ".gif": "gif",
}  # fmt: skip
"""Endings of the video files that can be read, and what FFmpeg calls their kind.

The kind is always said: FFmpeg would otherwise guess it from the content, and a playlist in a file
that calls itself a video could make it open other files and addresses.
"""


def rate(fps: float) -> Fraction:
    """Frames a second as a video's clock counts them."""
    return Fraction(fps).limit_denominator(10_000)


def encode(
    frames: Iterable[Frame], path: Path, fps: float, *, lossless: bool = False, crf: int = 18
) -> None:
    """Encodes frames as H.264.

    Args:
        frames: RGB uint8, all of one size, at least one.
        path: Where to; ends in .mp4.
        fps: Frames a second, > 0.
        lossless: Whether every pixel is kept as it is, in RGB (PyAV, FFmpeg and torchcodec read it;
            browsers do not). Otherwise in YUV 4:2:0, which everything reads.
        crf: Constant rate factor where pixels are not kept; 0 to 51, less is better.

    Raises:
        InvalidFrame: A side is odd, which YUV 4:2:0 cannot hold, or the sizes differ.
        EpisodeWriteError: The encoder or the disk refuses.
    """
    pixels, crf = ("rgb24", 0) if lossless else ("yuv420p", crf)
    try:
        write_h264(path, _checked(frames, lossless), rate(fps), pixels=pixels, crf=str(crf))
    except av.FFmpegError as error:
        raise EpisodeWriteError(f"the video {path.name} could not be written: {error}") from error


def _checked(frames: Iterable[_AnySize], lossless: bool) -> Iterator[_AnySize]:
    shape: tuple[int, ...] | None = None
    for frame in frames:
        if shape is None and not lossless and (frame.shape[0] % 2 or frame.shape[1] % 2):
            raise InvalidFrame(
                f"a video in YUV 4:2:0 needs even sides, not {frame.shape[0]} x {frame.shape[1]}: "
                "add lossless=true"
            )
        if shape not in (None, frame.shape):
            raise InvalidFrame(f"a video's frames are {shape}, but one is {frame.shape}")
        shape = frame.shape
        yield frame


@dataclass(frozen=True, slots=True)
class ClipTraits:
    """What a video says of itself before it is decoded.

    Attributes:
        frames: How many are shown.
        fps: Frames a second, on average; None: it does not say.
        uneven: Whether two neighbours are further apart than others, by more than half.
        turned: Whether its header turns or mirrors it.
    """

    frames: int
    fps: float | None
    uneven: bool
    turned: bool


def inspect_clip(path: Path) -> ClipTraits:
    """Counts what a video shows, without decoding more than its first frame.

    What an edit list cuts off is not shown.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It is no video.
    """
    with _opened(path) as (container, stream):
        packets = [each for each in container.demux(stream) if each.size and not each.is_discard]
        times = np.sort([each.pts for each in packets if each.pts is not None])
    with _opened(path) as (container, stream):
        first = next(container.decode(stream), None)
        fps = float(stream.average_rate or 0) or None
    steps = np.diff(times)
    uneven = bool(steps.size and steps.max() > 1.5 * np.median(steps))
    turned = first is not None and _turned(first) != _UPRIGHT
    return ClipTraits(len(packets), fps, uneven, turned)


def read_clip(path: Path) -> Iterator[Frame]:
    """Decodes the frames of a video in order, turned upright as its header says.

    Args:
        path: The file; its ending is one of `KINDS`.

    Yields:
        RGB uint8 (height, width, 3).

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It cannot be decoded.
    """
    with _opened(path) as (container, stream):
        for picture in container.decode(stream):
            yield _pixels(picture, path)


def read_frames_at(
    path: Path,
    times: Iterable[float],
    *,
    within: float,
    begin: float = 0.0,
    end: float = math.inf,
    of: str,
    told: Callable[[str], None] = lambda _: None,
) -> Iterator[Frame]:
    """Decodes the frames that a video shows at some times.

    Args:
        path: The file; its ending is one of `KINDS`.
        times: Seconds in the video, ascending.
        within: How far a frame may be from its time, seconds.
        begin: No frame before it is taken, nor from `end` on: they are another episode's.
        end: See `begin`.
        of: Whose frames they are, for errors.
        told: Called where a frame is a thousandth of a second and more from its time.

    Yields:
        For each time the nearest frame, RGB uint8 (height, width, 3).

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It cannot be decoded, or a frame is missing.
    """
    with _opened(path) as (container, stream):
        if begin > within:
            container.seek(int((begin - within) / float(stream.time_base)), stream=stream)
        shown = _between(container.decode(stream), path, begin, end)
        at, picture = next(shown, (math.inf, None))
        after = next(shown, None)
        pixels: Frame | None = None
        for row, time in enumerate(times):
            # A hundredth of a frame: where two are as near, the earlier one.
            while after is not None and abs(after[0] - time) < abs(at - time) - 0.02 * within:
                (at, picture), after, pixels = after, next(shown, None), None
            if picture is None or not abs(at - time) <= within * 1.01:  # a time may be NaN
                nearest = "there is none" if picture is None else f"the nearest is at {at:.3f} s"
                raise InvalidEpisode(
                    f"row {row} of {of} needs the frame at {time:.3f} s of {path}, but of that "
                    f"episode {nearest}: more than half a frame off"
                )
            if pixels is None:
                pixels = _pixels(picture, path)
            if abs(at - time) > 1e-3:
                told("frames of a video to rows that are less than half a frame from them")
            yield pixels


def _between(
    pictures: Iterable[av.VideoFrame], path: Path, begin: float, end: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    for picture in pictures:
        if picture.time is None:
            raise InvalidEpisode(f"the frames of {path} have no times to find them by")
        if picture.time >= end:
            return
        if picture.time >= begin:
            yield picture.time, picture


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Opens a file and its video track.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It is no video, or of frames too large, or it cannot be decoded further.
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise InvalidEpisode(f"{path} is no video that is read here: {', '.join(KINDS)}")
    if not path.is_file():
        raise EpisodeNotFound(f"there is no video at {path}")
    check_not_pointer(path)
    try:
        with av.open(path, "r", format=kind, metadata_errors="replace") as container:
            if not container.streams.video:
                raise InvalidEpisode(f"{path} has no video track")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise InvalidEpisode(f"{path} is in a codec that is not known here")
            if stream.width * stream.height > _LARGEST:
                raise InvalidEpisode(
                    f"{path} has frames of {stream.width} x {stream.height} pixels, more than the "
                    f"{_LARGEST:,} that a frame may have"
                )
            stream.thread_type = "NONE"
            yield container, stream
    except (av.FFmpegError, OSError, OverflowError) as error:
        raise InvalidEpisode(f"the video {path} cannot be decoded: {error}") from error


_Turn = tuple[bool, bool, bool]  # transposed, then mirrored left to right, then upside down
_UPRIGHT: _Turn = (False, False, False)


def _turned(picture: av.VideoFrame) -> _Turn | None:
    """How the header turns a picture; None: by no right angle."""
    beside: Any = picture.side_data  # whose types say that it gives names
    for data in beside:
        if data.type.name == "DISPLAYMATRIX":
            # (x, y) goes to (a x + c y, b x + d y).
            a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
            if not b and not c and a and d:
                return False, a < 0, d < 0
            return (True, c < 0, b < 0) if b and c and not a and not d else None
    return _UPRIGHT


def _pixels(picture: av.VideoFrame, path: Path) -> UInt8[np.ndarray, "rows columns 3"]:
    turn = _turned(picture)
    if turn is None:
        raise InvalidEpisode(f"{path} is to be shown at an angle of {picture.rotation} degrees")
    pixels = picture.to_ndarray(format="rgb24")
    transposed, mirrored, flipped = turn
    pixels = pixels.swapaxes(0, 1) if transposed else pixels
    pixels = pixels[:, ::-1] if mirrored else pixels
    return np.ascontiguousarray(pixels[::-1] if flipped else pixels)
