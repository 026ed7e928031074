"""What answers the studio's addresses: requests in, JSON, lines of JSON and frames out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from chronosim.errors import InvalidConfig, InvalidFrame, MissingDependency
from chronosim.frames import encode_png, read_frame
from chronosim.studio.sessions import Desk, SessionBusy, state_of
from chronosim.studio.studio import Studio
from chronosim.studio.workshop import Job
from chronosim.types import Frame

STATIC = str(files("chronosim.studio") / "static")
"""The folder of what the browser is given as it is."""

# Quickly rather than small: it goes no further than a cable.
_encode = partial(encode_png, compress_level=1)
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


class Pages:
    """Answers requests; errors are turned into answers by the application.

    Args:
        studio: What they are about.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def index(self, request: Request) -> Response:
        """The page itself."""
        return FileResponse(f"{STATIC}/index.html", headers={"Cache-Control": "no-cache"})

    async def choices(self, request: Request) -> Response:
        """What worlds and models there are."""
        root = str(self._studio.library.root)
        return JSONResponse({**self._studio.worlds.choices(), "folder": root})

    async def library(self, request: Request) -> Response:
        """Lists a folder of the library."""
        path = request.query_params.get("path", "")
        return JSONResponse(await run_in_threadpool(self._studio.library.entries, path))

    async def library_frame(self, request: Request) -> Response:
        """An episode's last frame."""
        path = request.query_params.get("path", "")
        frame = await run_in_threadpool(self._studio.library.last_frame, path)
        return _png(await run_in_threadpool(_encode, frame))

    async def begin(self, request: Request) -> Response:
        """Begins a session."""
        return self._new(self._studio.begin(await read_body(request)))

    async def begin_with_frame(self, request: Request) -> Response:
        """Begins a session from an image file."""
        frame, lost = await read_upload(request)
        try:
            asked = json.loads(request.query_params.get("asked", "{}"))
        except ValueError as error:
            raise InvalidConfig("what is asked for is no JSON") from error
        asked = asked if isinstance(asked, dict) else {}
        return self._new(self._studio.begin(asked, frame), {"lost": lost})

    async def look(self, request: Request) -> Response:
        """How a world would begin with an image file: its first frame, and what that leaves out."""
        frame, lost = await read_upload(request)
        query = request.query_params
        names = query.get("scenario", ""), query.get("model", "")
        fitted, shown = await run_in_threadpool(self._studio.worlds.look, *names, frame)
        png = await run_in_threadpool(_encode, fitted)
        told = {"lost": lost, "shown": shown, "size": list(fitted.shape[:2])}
        return _png(png, {"X-Told": json.dumps(told), "Cache-Control": "no-store"})

    async def open(self, request: Request) -> Response:
        """Opens an episode or a tree in a new session."""
        return self._new(self._studio.open(await read_body(request)))

    async def state(self, request: Request) -> Response:
        """Where a session is."""
        known = request.query_params.get("known", "0")
        desk = self._desk(request)
        return JSONResponse(state_of(desk, int(known) if known.isdecimal() else 0))

    async def step(self, request: Request) -> Response:
        """Takes an action."""
        desk, asked = self._desk(request), await read_body(request)
        session = desk.opened()
        job = self._studio.work(desk, asked, "a step", lambda: session.step(asked.get("action")))
        return self._followed(desk, job, asked)

    async def futures(self, request: Request) -> Response:
        """Takes several actions side by side."""
        desk, asked = self._desk(request), await read_body(request)
        session, actions, steps = desk.opened(), asked.get("actions"), asked.get("steps", 1)
        if not isinstance(actions, list) or type(steps) is not int:
            raise InvalidConfig("futures need a list of actions, and a whole number of steps")
        redraw = bool(asked.get("redraw"))
        job = self._studio.work(
            desk,
            asked,
            f"{len(actions)} futures",
            lambda: session.futures(actions, steps, redraw=redraw),
        )
        return self._followed(desk, job, asked)

    async def go(self, request: Request) -> Response:
        """Looks at another moment."""
        desk, asked = self._desk(request), await read_body(request)
        number = asked.get("node")
        self._check_free(desk, asked)
        if type(number) is not int:
            raise InvalidConfig(f"a moment is a whole number, not {number!r}")
        desk.opened().go(number)
        return JSONResponse({"state": state_of(desk, _known(asked))})

    async def redraw(self, request: Request) -> Response:
        """Draws new noise."""
        desk, asked = self._desk(request), await read_body(request)
        self._check_free(desk, asked)
        desk.opened().redraw()
        return JSONResponse({"state": state_of(desk, _known(asked))})

    async def stop(self, request: Request) -> Response:
        """Stops what a session is at, after the denoising step that runs."""
        desk = self._desk(request)
        if desk.job is not None:
            desk.job.stopped = True
        return JSONResponse({"stopping": desk.busy})

    async def word(self, request: Request) -> Response:
        """Words an instruction out, as the model's enhancer would."""
        desk, asked = self._desk(request), await read_body(request)
        session, text = desk.opened(), asked.get("text")
        if not isinstance(text, str):
            raise InvalidConfig("what is worded out is a text")
        job = self._studio.work(desk, asked, "wording it out", lambda: session.word(text))
        return self._followed(desk, job, asked)

    async def save(self, request: Request) -> Response:
        """Saves episodes."""
        desk, asked = self._desk(request), await read_body(request)
        session = desk.opened()
        job = self._studio.work(
            desk, asked, "saving", lambda: {"path": self._studio.save(session, asked)}
        )
        return self._followed(desk, job, asked)

    async def frame(self, request: Request) -> Response:
        """One frame of a moment's trajectory; it never changes."""
        node = self._desk(request).opened().tree[request.path_params["number"]]
        index = request.path_params["index"]
        if index >= len(node.frames):
            raise InvalidConfig(f"that moment has {len(node.frames)} frames, not {index + 1}")
        return _png(await run_in_threadpool(_encode, node.frames[index]), _FOREVER)

    def _desk(self, request: Request) -> Desk:
        return self._studio.sessions.get(request.path_params["key"])

    def _check_free(self, desk: Desk, asked: dict[str, Any]) -> None:
        self._studio.check_version(desk, asked)
        if desk.busy:
            assert desk.job is not None
            raise SessionBusy(f"this session is still at something: {desk.job.doing}")

    def _new(self, desk: Desk, result: Any = None) -> Response:
        assert desk.job is not None
        desk.job.result = result  # a beginning has no other
        return self._followed(desk, desk.job, {})

    def _followed(self, desk: Desk, job: Job, asked: dict[str, Any]) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            async for told in _follow(desk, job, _known(asked)):
                yield json.dumps(told, allow_nan=False).encode() + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")


async def _follow(desk: Desk, job: Job, known: int) -> AsyncIterator[dict[str, Any]]:
    """Tells how far a job is, whenever that changes, and at the end its session."""
    told: dict[str, Any] = {}
    while not await job.ended_within(0.1):
        if (now := job.progress()) != told:
            yield {"progress": now}
            told = now
    yield {"state": state_of(desk, known), "result": job.result}


def _png(data: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(data, media_type="image/png", headers=headers)


def _known(asked: dict[str, Any]) -> int:
    known = asked.get("known")
    return known if type(known) is int and known >= 0 else 0


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


async def read_upload(request: Request) -> tuple[Frame, str]:
    """Reads a request's image file.

    Returns:
        The frame, uint8 (height, width, 3), and what of the file it does not show, if anything.

    Raises:
        InvalidConfig: The file is too long.
        InvalidFrame: It is no image, or of too many pixels.
        MissingDependency: It is a HEIC photo, and their reader is not installed.
    """
    raw = await _read(request, _FILE, "an image file")
    # Only what a name ends in is kept of it: Pillow looks at the content anyway.
    name = Path(request.query_params.get("name", "")).name.strip("\0")[-80:] or "the file"
    return await run_in_threadpool(_decode, raw, name)


def _decode(raw: bytes, name: str) -> tuple[Frame, str]:
    lost: list[str] = []
    with TemporaryDirectory(prefix="chronosim-studio-") as folder:
        path = Path(folder) / "frame"
        path.write_bytes(raw)
        try:
            return read_frame(path, told=lost.append), "".join(lost)
        except (InvalidFrame, MissingDependency) as error:
            raise type(error)(str(error).replace(str(path), name)) from None


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
