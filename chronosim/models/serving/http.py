"""Addresses of services, the secrets that open them, and one JSON request over HTTP."""

from __future__ import annotations

import json
import time
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from chronosim.errors import InvalidConfig

_LOCAL = ("localhost", "127.0.0.1", "::1")
_SHORTEST_TOKEN = 16  # characters; fewer can be guessed


def check_address(url: str, what: str, secret: str, variable: str | None, instead: str) -> None:
    """Checks the address of a service that is logged, and that no secret is told on the way to it.

    Args:
        url: What was given.
        what: Whose address it is, for a sentence: "an endpoint".
        secret: What opens it: "key", "token".
        variable: The environment variable that holds the secret; None: none is sent.
        instead: What to do where the secret would travel in the clear, besides https.

    Raises:
        InvalidConfig: It is none, holds a secret, or would have one travel in the clear.
    """
    try:
        parts = urlsplit(url)
        # As the client will, which fails on an empty part of a name, or one of 64 letters or more:
        (parts.hostname or "").encode("idna")
    except ValueError as error:  # UnicodeError is one
        raise InvalidConfig(f"the url of {what} has a host that is none: {url!r}") from error
    try:
        _ = parts.port
    except ValueError as error:
        raise InvalidConfig(f"the url {url!r} has a port that is none") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidConfig(
            f"the url of {what} begins with http:// or https:// and a host, not {url!r}"
        )
    if parts.username or parts.password or parts.query:
        raise InvalidConfig(
            f"the url of {what} is logged and must hold no password, {secret} or query: "
            f"name the environment variable of the {secret} by {secret}_variable"
        )
    if variable and parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise InvalidConfig(
            f"the {secret} in {variable} would travel to {parts.hostname} in the clear: "
            f"use https, or {instead}"
        )


def is_loopback(host: str) -> bool:
    """Whether a name or address is that of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_printable_word(secret: str) -> bool:
    """Whether a secret can stand in a header: ASCII, without spaces or control characters."""
    return secret.isascii() and secret.isprintable() and " " not in secret


def check_token(token: str, where: str) -> None:
    """Checks that a token keeps strangers out.

    Args:
        token: What is asked of everyone.
        where: What holds it, such as the name of a setting, for the message.

    Raises:
        InvalidConfig: It is empty, short enough to be guessed, or cannot stand in a header.
    """
    if len(token) < _SHORTEST_TOKEN or not is_printable_word(token):
        raise InvalidConfig(
            f"{where} must hold a token of {_SHORTEST_TOKEN} characters or more, "
            "without spaces: openssl rand -hex 16 makes one"
        )


_LARGEST = 1 << 20  # bytes of an answer; a prompt of 200 words needs a few thousand
_PASSING = (408, 429)  # besides 5xx


class Refused(Exception):
    """Raised when a service gives no usable answer; the text completes "the service ...".

    Attributes:
        passing: Whether it may be over soon: not reached, late, busy or broken.
    """

    def __init__(self, what: str, *, passing: bool = False) -> None:
        super().__init__(what)
        self.passing = passing


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: urllib would take the key along to wherever it leads."""

    def redirect_request(self, *args: Any) -> None:
        """Declines, so that the redirect is an error."""


def post_json(url: str, value: Any, *, key: str | None, timeout: float) -> Any:
    """Posts a value as JSON and gives the answer's.

    Args:
        url: Where to.
        value: What to.
        key: Sent as a bearer token; None: no token.
        timeout: Seconds to wait for the answer to begin, and then for the whole of it.

    Raises:
        Refused: There is no answer in time, or it is no JSON, or its status is an error.
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = Request(url, json.dumps(value).encode(), headers, method="POST")
    try:
        body = _exchange(request, timeout)
    except HTTPError as error:
        said = _said(error) if key is None else _said(error).replace(key, "***")
        passing = error.code in _PASSING or error.code >= 500
        raise Refused(
            f"answers {error.code} {error.reason}: {said:.200}", passing=passing
        ) from None
    except TimeoutError as error:
        raise Refused(f"did not answer within {timeout:g} seconds", passing=True) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise Refused(f"did not answer within {timeout:g} seconds", passing=True) from error
        raise Refused(f"is not reached: {reason}", passing=True) from error
    try:
        return json.loads(body)
    except ValueError as error:
        raise Refused(f"answers with what is no JSON: {body[:200]!r}") from error


def _said(error: HTTPError) -> str:
    """What a service says beside an error's status."""
    try:
        with error:
            return error.read(2000).decode("utf-8", "replace").strip()
    except (OSError, HTTPException):
        return ""


def _opener(url: str) -> OpenerDirector:
    """No proxy between this machine and itself: it would read the key, which http leaves clear."""
    handlers: list[BaseHandler] = [_NoRedirect()]
    if is_loopback(urlsplit(url).hostname or ""):
        handlers.append(ProxyHandler({}))
    return build_opener(*handlers)


def _exchange(request: Request, timeout: float) -> bytes:
    """Sends and reads; a socket's own timeout starts anew with every byte that trickles in."""
    deadline = time.monotonic() + timeout
    body = b""
    with _opener(request.full_url).open(request, timeout=timeout) as answer:
        while chunk := answer.read1(1 << 16):
            body += chunk
            if time.monotonic() > deadline:
                raise TimeoutError
            if len(body) > _LARGEST:
                raise Refused(f"answers with more than {_LARGEST} bytes")
    return body
