"""Frames to and from video files, at exactly their size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from chronosim.episodes.clips import write_h264
from chronosim.errors import EpisodeWriteError, InvalidEpisode, InvalidFrame
from chronosim.types import Frame

_AnySize = UInt8[np.ndarray, "_ _ 3"]
KINDS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
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


def read_clip(path: Path, *, begin: float = 0.0, fps: float | None = None) -> Iterator[Frame]:
    """Decodes the frames of a video in order.

    Args:
        path: The file; its ending is one of `KINDS`.
        begin: When to begin, seconds.
        fps: Frames a second, to tell a frame from the one before `begin`; None: as the file says.

    Yields:
        RGB uint8 (height, width, 3).

    Raises:
        InvalidEpisode: There is no such file, or it cannot be decoded.
    """
    try:
        with av.open(path, "r", format=_kind(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            half = 0.5 / (fps or float(stream.average_rate or 1))
            if begin > half:
                container.seek(int(begin / float(stream.time_base or 1)), stream=stream)
            for picture in container.decode(stream):
                if picture.time is None or picture.time > begin - half:
                    yield _pixels(picture)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InvalidEpisode(f"the video {path} cannot be decoded: {error}") from error


def count_frames(path: Path) -> tuple[int, float]:
    """Counts a video's frames, by its packets, and gives its frames a second.

    Raises:
        InvalidEpisode: There is no such file, or it is no video.
    """
    try:
        with av.open(path, "r", format=_kind(path)) as container:
            stream = container.streams.video[0]
            count = sum(1 for packet in container.demux(stream) if packet.size)
            return count, float(stream.average_rate or 0)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InvalidEpisode(f"the video {path} cannot be read: {error}") from error


def _kind(path: Path) -> str:
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise InvalidEpisode(f"{path} is no video that is read here: {', '.join(KINDS)}")
    return kind


def _pixels(picture: av.VideoFrame) -> UInt8[np.ndarray, "rows columns 3"]:
    return np.ascontiguousarray(picture.to_ndarray(format="rgb24"))
