"""The studio as a web application: access control, routes and the server."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chronosim.errors import ChronosimError
from chronosim.models.serving.http import check_token, is_loopback
from chronosim.models.serving.server import Server, listen
from chronosim.studio.pages import STATIC, Pages
from chronosim.studio.sessions import NoRoom, NoSession, SessionBusy, state_of
from chronosim.studio.studio import SessionMoved, Studio
from chronosim.studio.workshop import sentence

_STATUS = {NoSession: 404, SessionBusy: 409, NoRoom: 503}


def make_app(
    studio: Studio, *, token: str | None = None, cookie: str = "chronosim"
) -> AccessControl:
    """Makes the web application.

    Args:
        studio: The studio that it shows.
        token: Asked of everyone; None: only this machine is served, without a token.
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
        Route("/api/look", pages.look, methods=["POST"]),
        Route("/api/sessions/open", pages.open, methods=["POST"]),
        Route(at, pages.state),
        Route(f"{at}/step", pages.step, methods=["POST"]),
        Route(f"{at}/futures", pages.futures, methods=["POST"]),
        Route(f"{at}/go", pages.go, methods=["POST"]),
        Route(f"{at}/redraw", pages.redraw, methods=["POST"]),
        Route(f"{at}/word", pages.word, methods=["POST"]),
        Route(f"{at}/stop", pages.stop, methods=["POST"]),
        Route(f"{at}/save", pages.save, methods=["POST"]),
        Route(f"{at}/nodes/{{number:int}}/{{index:int}}.png", pages.frame),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        ChronosimError: _refused,
        SessionMoved: _moved,
        ClientDisconnect: _gone,
        Exception: _stumbled,
    }
    return AccessControl(Starlette(routes=routes, exception_handlers=handlers), token, cookie)


async def _refused(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)
    return JSONResponse({"error": str(error)}, status)


async def _moved(request: Request, error: Exception) -> Response:
    assert isinstance(error, SessionMoved)
    return JSONResponse({"error": str(error), "state": state_of(error.desk)}, 409)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # a browser was closed while it was sending: nobody reads it


async def _stumbled(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": sentence(error, "the studio stumbled")}, 500)


_HEADERS = {
    # Nothing comes from elsewhere, and no other page may show or read this one.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class AccessControl:
    """Refuses requests that may not reach the studio.

    On loopback the `Host` must be a loopback name, which keeps out pages elsewhere whose name was
    pointed at this machine (DNS rebinding). A request with an `Origin` must come from the page
    itself. The first address opened carries the token, later requests a cookie with it.

    Args:
        app: The application behind it.
        token: Asked of everyone; None: only loopback names are served, without a token.
        cookie: Name of the cookie; it names the port, since cookies are shared by all ports.
    """

    def __init__(self, app: ASGIApp, token: str | None, cookie: str) -> None:
        self._app, self._token, self._cookie = app, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or passes it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-cache")  # asked again, and mostly unchanged
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that may not pass; None: it may."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._token is None and not is_loopback(_hostname(host)):
            return _no(f"this studio serves this machine only, under localhost, not {host[:80]!r}")
        if origin is not None and urlsplit(origin).netloc != host:
            return _no("requests from other pages are refused")
        if self._token is None or self._knows(headers.get("cookie", "")):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not _same(given, self._token):
            return _no("this studio asks for its token: open the address that its terminal shows")
        welcome = RedirectResponse("/", 303)  # the token leaves the address bar
        welcome.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
        return welcome

    def _knows(self, cookies: str) -> bool:
        try:
            found = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return False
        return found is not None and _same(found.value, self._token or "")


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _no(why: str) -> Response:
    return JSONResponse({"error": why}, 403)


def serve(
    studio: Studio,
    *,
    host: str,
    port: int,
    token: str | None,
    ready: Callable[[str], None],
) -> None:
    """Serves the studio's pages.

    Args:
        studio: The studio that they show.
        host: Address or name to listen at; beyond loopback everyone is asked for a token.
        port: 0 takes any free one.
        token: The token; None: one is drawn where one is needed.
        ready: Called with the page's address once it is served.

    Raises:
        InvalidConfig: The address cannot be listened at, or the token could be guessed.
    """
    if token is not None:
        check_token(token, "token=")
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(18)
    listening = listen(host, port)
    port = int(listening.getsockname()[1])
    app = make_app(studio, token=token, cookie=f"chronosim_studio_{port}")
    shown = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):
        shown = socket.gethostname()  # every address of this machine: its name is one to open
    address = f"http://{shown}:{port}/" + (f"?token={quote(token, safe='')}" if token else "")
    try:
        with listening:
            Server(app, listening, grace=2).run(ready=lambda: ready(address))
    finally:
        studio.workshop.close()


def open_browser(address: str) -> None:
    """Opens the page in a browser where there is a screen."""
    screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if screen:
        webbrowser.open(address)
