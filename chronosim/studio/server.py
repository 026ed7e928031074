"""Serves the studio until it is interrupted."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from urllib.parse import quote

import uvicorn

from chronosim.errors import InvalidConfig
from chronosim.models.addresses import check_token, is_loopback
from chronosim.studio.app import make_app
from chronosim.studio.studio import Studio

__all__ = ["open_browser", "serve"]


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
        studio: What they are about.
        host: Address or name to listen at; beyond loopback a token is asked of everyone.
        port: 0 takes any that is free.
        token: To be asked for; None: one is drawn where one is needed.
        ready: Called with the page's address once it is there.

    Raises:
        InvalidConfig: There is no listening there, or the token could be guessed.
    """
    if token is not None:
        check_token(token, "token=")
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(18)
    listening = _listen(host, port)
    with listening:
        port = int(listening.getsockname()[1])
        app = make_app(studio, token=token, cookie=f"chronosim_studio_{port}")
        shown = f"[{host}]" if ":" in host else host
        if host in ("0.0.0.0", "::"):
            shown = socket.gethostname()  # every address of this machine: its name is one to open
        ready(f"http://{shown}:{port}/" + (f"?token={quote(token, safe='')}" if token else ""))
        config = uvicorn.Config(
            app,
            log_level="error",  # an access log would show tokens, and is of use to nobody here
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            studio.workshop.close()


def open_browser(address: str) -> None:
    """Shows the page where there is a screen; never a browser of text in the terminal."""
    screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if screen:
        webbrowser.open(address)


def _listen(host: str, port: int) -> socket.socket:
    if port > 65535:  # the resolver would take it for another one
        raise InvalidConfig(f"a port must lie from 0 to 65535, not {port}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        raise InvalidConfig(
            f"the studio cannot listen at {host}:{port} ({error}): choose another host= or port="
        ) from error
    return listening
