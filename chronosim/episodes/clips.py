"""Frames as H.264; those between two observations as a clip: small, and not quite the same."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

_RATE = 24  # frames a second: a container needs one; how long a step lasts is the prompter's to say


def encode_clip(frames: UInt8[np.ndarray, "time height width 3"]) -> bytes:
    """Encodes frames as an MP4 with H.264, its colours at full resolution, near to transparent.

    Args:
        frames: RGB, uint8 (time, height, width, 3), time >= 1.

    Returns:
        The file's bytes.
    """
    file = BytesIO()
    write_h264(file, frames, _RATE, pixels="yuv444p", crf="16", preset="veryfast")
    return file.getvalue()


def write_h264(
    file: Path | BytesIO,
    frames: Iterable[UInt8[np.ndarray, "_ _ 3"]],
    rate: Fraction | int,
    *,
    pixels: str,
    **options: str,
) -> None:
    """Encodes frames as an MP4 with H.264; the same bytes whatever the machine.

    Args:
        file: Where to.
        frames: RGB uint8 (height, width, 3), all of one size, at least one.
        rate: Frames a second.
        pixels: "yuv420p", which everything reads, for even sides; "yuv444p", colours at full
            resolution; "rgb24", every pixel as it is with crf="0".
        **options: Of the encoder, as FFmpeg calls them: `crf`, `preset`.

    Raises:
        av.FFmpegError: The encoder or the disk refuses.
    """
    codec = "libx264rgb" if pixels == "rgb24" else "libx264"
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.pix_fmt, stream.codec_context.thread_count = pixels, 1
        for index, frame in enumerate(frames):
            if not index:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def decode_clip(clip: bytes) -> UInt8[np.ndarray, "time height width 3"]:
    """Decodes what `encode_clip` made.

    Raises:
        ValueError: The bytes are no video.
    """
    try:
        with av.open(BytesIO(clip), "r") as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"the bytes are no video: {error}") from error
    if not frames:
        raise ValueError("the video has no frame")
    return np.stack(frames)
