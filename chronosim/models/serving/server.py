"""An ASGI application at an address of this machine, until somebody ends it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from chronosim.errors import InvalidConfig

_LOOK = 1.0  # seconds between two looks at what a client keeps open


def listen(host: str, port: int) -> socket.socket:
    """Binds a socket, so that an address that is taken is known before anything large is loaded.

    Args:
        host: An address or a name of this machine.
        port: 0: any that is free.

    Raises:
        InvalidConfig: It cannot be listened at.
    """
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
            f"{host}:{port} cannot be listened at ({error}): choose another host= or port="
        ) from error
    return listening


class Server(uvicorn.Server):
    """Serves an application at a socket, in this thread by `run` or in another one by `with`.

    Args:
        app: The application.
        listening: What `listen` gave; closed at the end.
        patience: Seconds that a connection may be open without a whole head of a request.
        most_connections: Connections at a time; further ones are answered with 503.
        grace: Seconds that what runs at the end may take; None: as long as it needs.
        ending: Called when the end begins, before what runs is waited for.
        certificate: A TLS certificate's file, and its key's file; None: no TLS.
    """

    def __init__(
        self,
        app: ASGIApp,
        listening: socket.socket,
        *,
        patience: float = 30.0,
        most_connections: int = 512,
        grace: int | None = None,
        ending: Callable[[], None] | None = None,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        self._listening, self._ending = listening, ending
        self._ready: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self._running = threading.Event()
        files = {} if certificate is None else dict(zip(_TLS, certificate, strict=True))
        config = uvicorn.Config(
            app,
            http=partial(_ImpatientProtocol, patience=patience),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            access_log=False,  # it would show tokens in addresses
            log_config=None,
            log_level="error",
            server_header=False,
            limit_concurrency=most_connections,
            timeout_graceful_shutdown=grace,
            **files,  # type: ignore[arg-type]
        )
        super().__init__(config)

    def run(
        self,
        sockets: list[socket.socket] | None = None,
        *,
        ready: Callable[[], None] | None = None,
    ) -> None:
        """Serves until it is told to end, by a signal or by `end`.

        Args:
            sockets: More to serve at; the one it was made with is served in any case.
            ready: Called once connections are taken.
        """
        self._ready = ready
        with self._listening:
            super().run([self._listening, *(sockets or [])])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to take connections."""
        await super().startup(sockets)
        self._running.set()
        if self._ready is not None and self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more connections, and waits for what runs."""
        if self._ending is not None:
            self._ending()
        await super().shutdown(sockets)

    def end(self) -> None:
        """Lets what runs be answered, and ends."""
        self.should_exit = True

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self.run, name="server")
        self._thread.start()
        self._running.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        assert self._thread is not None
        self._thread.join()


_TLS = ("ssl_certfile", "ssl_keyfile")


class _ImpatientProtocol(H11Protocol):
    """Closes connections that stay open without asking anything; uvicorn would keep them all."""

    def __init__(self, *args: Any, patience: float, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._patience = patience
        self._idle_since = self.loop.time()
        self._watch = self.loop.call_later(min(_LOOK, patience), self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._idle_since = self.loop.time()
        elif self.loop.time() - self._idle_since >= self._patience:
            with suppress(OSError):
                self.transport.close()
            return
        self._watch = self.loop.call_later(min(_LOOK, self._patience), self._look)
