"""What a page sends, read only as far as it may be."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.frames import read_frame
from chronosim.types import Frame

__all__ = ["read_body", "read_upload"]

_WORDS = 64 * 2**10  # bytes of a request that is no file
_FILE = 32 * 2**20  # bytes of an image file


async def read_body(request: Request) -> dict[str, Any]:
    """Reads a request's JSON object.

    Raises:
        InvalidConfig: It is too long, or no JSON object.
    """
    raw = await _read(request, _WORDS, "what is typed")
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidConfig("the request is no JSON") from error
    if not isinstance(body, dict):
        raise InvalidConfig("the request must be a JSON object")
    return body


async def read_upload(request: Request) -> Frame:
    """Reads a request's image file as a frame, uint8 (height, width, 3).

    Raises:
        InvalidConfig: The file is too long.
        InvalidFrame: It is no image, one of another kind than a frame, or of too many pixels.
    """
    raw = await _read(request, _FILE, "an image file")
    # Only what a name ends in is kept of it: Pillow looks at the content anyway.
    name = Path(request.query_params.get("name", "")).name.strip("\0")[-80:] or "the file"
    return await run_in_threadpool(_decode, raw, name)


def _decode(raw: bytes, name: str) -> Frame:
    with TemporaryDirectory(prefix="chronosim-studio-") as folder:
        path = Path(folder) / "frame"
        path.write_bytes(raw)
        try:
            return read_frame(path)
        except InvalidFrame as error:
            raise InvalidFrame(str(error).replace(str(path), name)) from None


async def _read(request: Request, most: int, what: str) -> bytes:
    """Reads a body in pieces, so that one of gigabytes is never held."""
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > most:
            raise InvalidConfig(
                f"{what} may have up to {most // 2**10:,} KiB, and this has more: shorten it"
            )
    return bytes(raw)
