"""Addresses of services, and the secrets that open them: checked before anything is sent."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from chronosim.errors import InvalidConfig

__all__ = ["check_address", "check_token", "is_loopback", "is_printable_word"]

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
