"""Frames as PNG in memory, for those who send them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from chronosim.types import Frame

__all__ = ["encode_png"]


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
