"""Who may talk to the studio: checked before anything else is looked at."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chronosim.models.addresses import is_loopback

__all__ = ["Guard"]

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


class Guard:
    """Lets in whom the studio is meant for.

    On loopback the `Host` must be a loopback name: a page elsewhere whose name was bent to this
    machine (DNS rebinding) has another. A request with an `Origin` must come from the page itself.
    With a token, the first address opened carries it, and a cookie does from then on.

    Args:
        app: What is guarded.
        token: Asked of everyone; None: of nobody, and then only loopback names are served.
        cookie: Name of the cookie; cookies know no ports, so it names the port.
    """

    def __init__(self, app: ASGIApp, token: str | None, cookie: str) -> None:
        self._app, self._token, self._cookie = app, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
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
        """What is answered in place of the app; None: the request may pass."""
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
