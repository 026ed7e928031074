"""The studio as a web application: its addresses, and what answers each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from chronosim.errors import ChronosimError
from chronosim.studio.guard import Guard
from chronosim.studio.pages import STATIC, Pages
from chronosim.studio.replies import state_of
from chronosim.studio.sessions import NoRoom, NoSession, SessionBusy
from chronosim.studio.studio import Moved, Studio
from chronosim.studio.workshop import sentence

__all__ = ["make_app"]

_STATUS = {NoSession: 404, SessionBusy: 409, NoRoom: 503}


def make_app(studio: Studio, *, token: str | None = None, cookie: str = "chronosim") -> Guard:
    """Makes the web application.

    Args:
        studio: What it is about.
        token: Asked of everyone; None: of nobody, and only this machine is served.
        cookie: Name of the cookie that carries the token.
    """
    at = "/api/sessions/{key}"
    pages = Pages(studio)
    routes = [
        Route("/", pages.index),
        Mount("/static", StaticFiles(directory=STATIC)),
        Route("/api/choices", pages.choices),
        Route("/api/library", pages.library),
        Route("/api/library/frame", pages.library_frame),
        Route("/api/sessions", pages.begin, methods=["POST"]),
        Route("/api/sessions/frame", pages.begin_with_frame, methods=["POST"]),
        Route("/api/sessions/open", pages.open, methods=["POST"]),
        Route(at, pages.state),
        Route(f"{at}/step", pages.step, methods=["POST"]),
        Route(f"{at}/futures", pages.futures, methods=["POST"]),
        Route(f"{at}/go", pages.go, methods=["POST"]),
        Route(f"{at}/redraw", pages.redraw, methods=["POST"]),
        Route(f"{at}/save", pages.save, methods=["POST"]),
        Route(f"{at}/nodes/{{number:int}}/{{index:int}}.png", pages.frame),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        ChronosimError: _refused,
        Moved: _moved,
        ClientDisconnect: _gone,
        Exception: _stumbled,
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), token, cookie)


async def _refused(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)
    return JSONResponse({"error": str(error)}, status)


async def _moved(request: Request, error: Exception) -> Response:
    assert isinstance(error, Moved)
    return JSONResponse({"error": str(error), "state": state_of(error.desk)}, 409)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # a browser was closed while it was sending: nobody reads it


async def _stumbled(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": sentence(error, "the studio stumbled")}, 500)
