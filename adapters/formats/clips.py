"""Frames to and from video files, at exactly their size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from chronosim.errors import EpisodeWriteError, InvalidEpisode, InvalidFrame
from chronosim.types import Frame

__all__ = ["KINDS", "count_frames", "encode", "rate", "read_clip"]

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
    codec, layout = ("libx264rgb", "rgb24") if lossless else ("libx264", "yuv420p")
    try:
        with av.open(path, "w") as container:
            options = {"crf": "0" if lossless else str(crf)}
            stream: Any = container.add_stream(codec, rate=rate(fps), options=options)
            stream.pix_fmt = layout
            stream.codec_context.thread_count = 1  # the same file whatever the machine
            shape: tuple[int, ...] | None = None
            for frame in frames:
                if shape is None:
                    shape = frame.shape
                    stream.height, stream.width = _check_even(shape, lossless)
                if frame.shape != shape:
                    raise InvalidFrame(f"a video's frames are {shape}, but one is {frame.shape}")
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    except av.FFmpegError as error:
        raise EpisodeWriteError(f"the video {path.name} could not be written: {error}") from error


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


def _check_even(shape: tuple[int, ...], lossless: bool) -> tuple[int, int]:
    height, width = shape[:2]
    if not lossless and (height % 2 or width % 2):
        raise InvalidFrame(
            f"a video in YUV 4:2:0 needs even sides, not {height} x {width}: add lossless=true"
        )
    return height, width
