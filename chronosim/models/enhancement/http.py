"""One JSON request over HTTP, given up where its answer is late, and where it only trickles in."""

from __future__ import annotations

import json
import time
from http.client import HTTPException
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

from chronosim.models.addresses import is_loopback

__all__ = ["Refused", "post_json"]

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
