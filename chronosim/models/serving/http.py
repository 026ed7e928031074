"""Addresses of services, the secrets that open them, and one JSON request over HTTP."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2
from anyio import fail_after
from anyio.from_thread import start_blocking_portal

from chronosim.errors import InvalidConfig
from chronosim.progress import wait_for

_LOCAL = ("localhost", "127.0.0.1", "::1")
_DIGITS = 6  # of seconds to wait, at most
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


def host_of(header: str) -> str:
    """The host of a `Host` header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


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


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered.

    Attributes:
        status: Of HTTP: 200, 503 ...
        reason: What the status is called: "Service Unavailable".
        body: The JSON in it; None where it is none.
        text: How the body begins, for a sentence.
        retry_after: Seconds after which to ask again, as the service says; None: it does not.
    """

    status: int
    reason: str
    body: Any
    text: str
    retry_after: float | None


def post_json(url: str, value: Any, *, key: str | None, timeout: float) -> Any:
    """Posts a value as JSON and gives the answer's.

    Args:
        url: Where to.
        value: What to.
        key: Sent as a bearer token; None: no token.
        timeout: Seconds to wait for the whole answer.

    Raises:
        Refused: There is no answer in time, or it is no JSON, or its status is an error.
    """
    try:
        answer = exchange("POST", url, value, token=key, timeout=timeout, largest=_LARGEST)
    except TimeoutError as error:
        raise Refused(f"did not answer within {timeout:g} seconds", passing=True) from error
    said = answer.text if key is None else answer.text.replace(key, "***")
    if answer.status != 200:
        passing = answer.status in _PASSING or answer.status >= 500
        raise Refused(f"answers {answer.status} {answer.reason}: {said:.200}", passing=passing)
    if answer.body is None:
        raise Refused(f"answers with what is no JSON: {said!r:.200}")
    return answer.body


def exchange(
    method: str, url: str, value: Any, *, token: str | None, timeout: float, largest: int
) -> Answer:
    """Sends one request and reads its answer; no redirect is followed.

    Between this machine and itself no proxy is used: it would read the token.

    Args:
        method: GET or POST.
        url: Where to.
        value: Sent as JSON; None: nothing is sent.
        token: Sent as a bearer token; None: none.
        timeout: Seconds for all of it, however slowly the answer trickles in.
        largest: Bytes of an answer at most.

    Raises:
        TimeoutError: There is no answer in time.
        Refused: There is none at all, or it is too long.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = None
    if value is not None:
        headers["Content-Type"], body = "application/json", json.dumps(value).encode()
    ask = partial(_ask, method, url, body, headers, timeout, largest)
    try:
        with start_blocking_portal() as portal:  # works inside a notebook's loop, and after a fork
            return wait_for(portal.start_task_soon(ask))
    except TimeoutError:
        raise
    except (httpx2.HTTPError, OSError) as error:
        raise Refused(f"is not reached: {_root_of(error)}", passing=True) from error


async def _ask(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout: float,
    largest: int,
) -> Answer:
    proxies = not is_loopback(urlsplit(url).hostname or "")
    with fail_after(timeout):
        async with (
            httpx2.AsyncClient(verify=_trusted(), trust_env=proxies, timeout=None) as client,
            client.stream(method, url, content=body, headers=headers) as answer,
        ):
            data = bytearray()
            async for chunk in answer.aiter_raw():
                data += chunk
                if len(data) > largest:
                    raise Refused(f"answers with more than {largest:,} bytes")
            after = answer.headers.get("Retry-After", "")
            text = bytes(data[:2000]).decode("utf-8", "replace").strip()
            seconds = float(after) if after.isdecimal() and len(after) < _DIGITS else None
            value = _json(bytes(data))
            return Answer(answer.status_code, answer.reason_phrase, value, text, seconds)


def _root_of(error: BaseException) -> str:
    """What the system said, below what the libraries say of it: connection refused."""
    said, cause = str(error) or type(error).__name__, error
    while (cause := cause.__cause__ or cause.__context__) is not None:  # type: ignore[assignment]
        if isinstance(cause, ssl.SSLError):
            return str(cause)
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            said = os.strerror(cause.errno)
    return said


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


@cache
def _trusted() -> ssl.SSLContext:
    """Certificates that this machine trusts; reading them takes longer than most requests."""
    return ssl.create_default_context()
