"""The frames between two observations as a video: far smaller than lossless, and not the same."""

from __future__ import annotations

from io import BytesIO

import av
import numpy as np
from jaxtyping import UInt8

__all__ = ["decode_clip", "encode_clip"]

_RATE = 24  # frames a second: a container needs one; how long a step lasts is the prompter's to say


def encode_clip(frames: UInt8[np.ndarray, "time height width 3"]) -> bytes:
    """Encodes frames as an MP4 with H.264, its colours at full resolution, near to transparent.

    Args:
        frames: RGB, uint8 (time, height, width, 3), time >= 1.

    Returns:
        The file's bytes.
    """
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"crf": "16", "preset": "veryfast"}
        stream = container.add_stream("libx264", rate=_RATE, options=options)
        stream.pix_fmt = "yuv444p"
        stream.height, stream.width = frames.shape[1:3]
        stream.codec_context.thread_count = 1  # the same bytes whatever the machine
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


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
