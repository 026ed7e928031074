"""A world model served over HTTP, for `RemoteModel` and whoever else speaks the protocol."""

from __future__ import annotations

import hmac
import json
import logging
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chronosim.errors import ChronosimError, InvalidConfig
from chronosim.models.serving.http import is_loopback
from chronosim.models.serving.wire import PROTOCOL, read_prompts, write_predictions
from chronosim.protocols import WorldModel, no_nan

_log = logging.getLogger(__name__)
_DIGITS = 12  # of a length: Python makes no number of thousands of them


class _Refused(Exception):
    """Raised where a request is not answered: a status, a name and a sentence."""

    def __init__(self, status: int, message: str, name: str = "Refused") -> None:
        super().__init__(message)
        self.status, self.name = status, name


class Service(ThreadingHTTPServer):
    """Serves a world model until `shutdown`; one call of the model at a time.

    Args:
        model: The world model.
        host: The address to listen at; other than loopback only with a token.
        port: The port; 0: any that is free.
        token: What a client has to send; None: nothing.
        most_prompts: Prompts in a call at most.
        largest: Bytes of a request at most.
        timeout: Seconds that a client may stay silent in the middle of a request.

    Raises:
        InvalidConfig: The address cannot be listened at, or is open to others without a token.
    """

    daemon_threads = True

    def __init__(
        self,
        model: WorldModel,
        *,
        host: str = "127.0.0.1",
        port: int = 8765,
        token: str | None = None,
        most_prompts: int = 64,
        largest: int = 1 << 28,
        timeout: float = 30.0,
    ) -> None:
        if token is None and not is_loopback(host):
            raise InvalidConfig(
                f"at {host} anybody who reaches this machine could use the model: set a token, or "
                "host=127.0.0.1 and a tunnel"
            )
        self.model, self.token, self.loopback = model, token, is_loopback(host)
        self.most_prompts, self.largest, self.patience = most_prompts, largest, timeout
        self.turn = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InvalidConfig(f"{host}:{port} cannot be listened at: {error}") from error

    @property
    def url(self) -> str:
        """Where it is reached."""
        host, port = self.server_address[:2]
        name = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{name}:{port}"


class _Handler(BaseHTTPRequestHandler):
    server: Service
    server_version, sys_version = "chronosim", ""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.patience)  # a silent client is let go

    def do_GET(self) -> None:
        self._answer(self._identity if self.path == "/identity" else self._nothing)

    def do_POST(self) -> None:
        self._answer(self._predict if self.path == "/predict" else self._nothing)

    def log_message(self, format: str, *args: Any) -> None:
        _log.info("%s %s", self.address_string(), format % args)

    def _answer(self, give: Any) -> None:
        try:
            self._check_sender()
            status, value = 200, give()
        except _Refused as error:
            status, value = error.status, {"error": error.name, "message": str(error)}
        except TimeoutError:
            self.close_connection = True
            return
        body = json.dumps(value).encode()
        with suppress(ConnectionError, TimeoutError):  # the client may be gone by now
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _check_sender(self) -> None:
        if self.server.loopback and not is_loopback(_host(self.headers.get("Host", ""))):
            # A page in a browser here may reach loopback under a name of its own.
            raise _Refused(403, f"this server is not called {self.headers.get('Host')!r:.80}")
        if self.server.token is None:
            return
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, f"Bearer {self.server.token}".encode()):
            raise _Refused(401, "the token is missing or wrong")

    def _nothing(self) -> Any:
        raise _Refused(404, "there are GET /identity and POST /predict")

    def _identity(self) -> Any:
        return {
            "protocol": PROTOCOL,
            "most_prompts": self.server.most_prompts,
            "identity": dict(self.server.model.identity),
        }

    def _predict(self) -> Any:
        prompts = self._prompts()
        try:
            with self.server.turn, no_nan(self.server.model):
                return write_predictions(self.server.model.predict(prompts))
        except ChronosimError as error:
            raise _Refused(422, str(error), type(error).__name__) from error
        except Exception as error:  # one broken prediction must not end the server
            _log.exception("the model failed")
            raise _Refused(500, f"the model failed: {type(error).__name__}: {error}") from error

    def _prompts(self) -> Any:
        if self.headers.get_content_type() != "application/json":
            raise _Refused(415, "a request is application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _Refused(411, "a request says its Content-Length")
        if len(length) > _DIGITS or int(length) > self.server.largest:
            self.close_connection = True
            raise _Refused(
                413, f"a request may have {self.server.largest:,} bytes, not {length:.20}"
            )
        try:
            return read_prompts(
                json.loads(self.rfile.read(int(length))), most=self.server.most_prompts
            )
        except (ValueError, RecursionError) as error:  # Misread is one
            raise _Refused(400, str(error)) from error


def _host(header: str) -> str:
    """The host of a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
