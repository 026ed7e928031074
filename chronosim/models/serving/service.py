"""A world model served over HTTP, for `RemoteModel` and whoever else speaks the protocol."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from time import perf_counter
from typing import Any

from anyio import CapacityLimiter, to_thread
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chronosim.errors import ChronosimError, InvalidConfig, ModelBusy
from chronosim.models.batching import Batched
from chronosim.models.serving.http import host_of, is_loopback
from chronosim.models.serving.server import Server, listen
from chronosim.models.serving.wire import MOST_PIXELS, PROTOCOL, read_prompts, write_predictions
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Prediction

_log = logging.getLogger(__name__)
_OPENAPI = files(__package__) / "openapi.json"
_SLOWEST = 100_000  # bytes a second at which a client must send and read, at least
_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)  # seconds


class _Refused(Exception):
    """Raised where a request is not answered: a status, a name and a sentence."""

    def __init__(self, status: int, message: str, name: str = "Refused") -> None:
        super().__init__(message)
        self.status, self.name = status, name


class Service:
    """Serves a world model: all that wait are answered by one call of it.

    ``with Service(model) as service`` serves in a thread; `run` serves in this one, until Ctrl-C or
    SIGTERM. Either way what runs at the end is answered, and what only waits is refused.

    Args:
        model: The world model.
        host: The address to listen at; other than loopback only with a token.
        port: The port; 0: any that is free.
        token: What a client has to send; None: nothing.
        most_prompts: Prompts in a request, and in a call of the model, at most.
        most_waiting: Prompts that wait for the model at most; further ones are answered with 503.
        most_connections: Clients at a time at most; further ones are answered with 503.
        largest: Bytes of a request at most.
        pixels: Of a request's frames together at most.
        timeout: Seconds that a client may take for the head of a request; for the rest, and to read
            the answer, a second more for each 100 kB.
        certificate: Files of a TLS certificate and of its key; None: no TLS.

    Raises:
        InvalidConfig: The address cannot be listened at, or is open to others without a token; or
            a limit is below 1.
    """

    def __init__(
        self,
        model: WorldModel,
        *,
        host: str = "127.0.0.1",
        port: int = 8765,
        token: str | None = None,
        most_prompts: int = 64,
        most_waiting: int = 256,
        most_connections: int = 512,
        largest: int = 1 << 28,
        pixels: int = MOST_PIXELS,
        timeout: float = 30.0,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        if token is None and not is_loopback(host):
            raise InvalidConfig(
                f"at {host} anybody who reaches this machine could use the model: set a token, or "
                "host=127.0.0.1 and a tunnel"
            )
        self._figures = _Figures()
        self._batched = Batched(
            model,
            most_prompts=most_prompts,
            most_waiting=most_waiting,
            watch=self._figures.note_call,
        )
        listening = listen(host, port)
        self.port = int(listening.getsockname()[1])
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if certificate is None else 'https'}://{shown}:{self.port}"
        self.identity = model.identity
        self._answers = _Answers(
            self._batched, self._figures, most_prompts, largest, pixels, timeout
        )
        self._server = Server(
            _Door(self._answers.app(), self._figures, token, is_loopback(host), timeout),
            listening,
            patience=timeout,
            most_connections=most_connections,
            ending=self._answers.end,
            certificate=certificate,
        )

    def run(self, *, ready: Callable[[], None] | None = None) -> None:
        """Serves until a signal ends it.

        Args:
            ready: Called once it can be asked.

        Raises:
            KeyboardInterrupt: It was Ctrl-C; what ran then is answered.
        """
        try:
            self._server.run(ready=ready)
        finally:
            self._batched.close()

    def __enter__(self) -> Service:
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(*error)
        self._batched.close()


class _Figures:
    """What a monitor reads at /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "chronosim_requests",
            "Requests, by path and status",
            ["path", "status"],
            registry=self.registry,
        )
        self.seconds = self._seconds("chronosim_request_seconds", "Until a request is answered")
        self.waiting = Gauge(
            "chronosim_waiting_prompts", "Prompts that wait", registry=self.registry
        )
        self.batch = Histogram(
            "chronosim_batch_prompts",
            "Prompts in a call of the model",
            buckets=[2**power for power in range(9)],
            registry=self.registry,
        )
        self.call = self._seconds("chronosim_call_seconds", "Of a call of the model")
        self.failures = Counter(
            "chronosim_failures", "Requests that the model failed", registry=self.registry
        )

    def _seconds(self, name: str, what: str) -> Histogram:
        return Histogram(name, what, buckets=_BUCKETS, registry=self.registry)

    def note_call(self, prompts: int, seconds: float) -> None:
        self.batch.observe(prompts)
        self.call.observe(seconds)


class _Answers:
    """What is served at each path."""

    def __init__(
        self,
        batched: Batched,
        figures: _Figures,
        most_prompts: int,
        largest: int,
        pixels: int,
        timeout: float,
    ) -> None:
        self._batched, self._figures = batched, figures
        self._most_prompts, self._largest, self._pixels = most_prompts, largest, pixels
        self._timeout, self._ending = timeout, False
        self._coders = CapacityLimiter(os.cpu_count() or 1)  # that read and write pictures at once
        figures.waiting.set_function(lambda: batched.waiting)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/identity", self._identity),
                Route("/predict", self._predict, methods=["POST"]),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
                Route("/openapi.json", self._openapi),
            ],
            exception_handlers={_Refused: _say, 404: _nothing, 405: _nothing, Exception: _failed},
        )

    def end(self) -> None:
        """Takes no more prompts; what waits is refused at once."""
        self._ending = True
        self._batched.refuse()

    async def _identity(self, request: Request) -> Response:
        return JSONResponse(
            {
                "protocol": PROTOCOL,
                "most_prompts": self._most_prompts,
                "most_pixels": self._pixels,
                "identity": dict(self._batched.identity),
            }
        )

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, request: Request) -> Response:
        if self._ending:
            raise _Refused(503, "the server is ending", "ModelBusy")
        return JSONResponse({"status": "ready", "waiting": self._batched.waiting})

    async def _metrics(self, request: Request) -> Response:
        text = generate_latest(self._figures.registry)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def _openapi(self, request: Request) -> Response:
        return Response(_OPENAPI.read_bytes(), media_type="application/json")

    async def _predict(self, request: Request) -> Response:
        body = await self._body(request)
        code = partial(to_thread.run_sync, limiter=self._coders, abandon_on_cancel=True)
        prompts = await code(partial(self._prompts, body))
        del body
        try:
            predictions = await self._predictions(request, prompts)
        except ModelBusy as error:
            raise _Refused(503, str(error), "ModelBusy") from error
        except ChronosimError as error:
            raise _Refused(422, str(error), type(error).__name__) from error
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception as error:  # one broken prediction must not end the server
            self._figures.failures.inc()
            _log.error("the model failed", exc_info=error)
            raise _Refused(500, f"the model failed: {type(error).__name__}: {error}") from error
        answer = await code(partial(_written, predictions))
        return Response(answer, media_type="application/json")

    async def _predictions(
        self, request: Request, prompts: Sequence[EditPrompt]
    ) -> list[Prediction]:
        """Waits for its turn, as long as somebody waits for the answer."""
        promise = self._batched.submit(prompts)
        answer = asyncio.wrap_future(promise)
        gone = asyncio.ensure_future(request.receive())  # the body was read: what comes is the end
        try:
            both: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ClientDisconnect
            return answer.result()
        finally:
            gone.cancel()
            answer.cancel()
            self._batched.leave(promise)

    async def _body(self, request: Request) -> bytes:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise _Refused(415, "a request is application/json")
        said = request.headers.get("content-length", "")
        if said.isdecimal() and int(said) > self._largest:
            raise _Refused(413, f"a request may have {self._largest:,} bytes, not {said}")
        body, began = bytearray(), perf_counter()
        try:
            async with asyncio.timeout(None) as limit:
                limit.reschedule(asyncio.get_running_loop().time() + self._timeout)
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._largest:
                        raise _Refused(413, f"a request may have {self._largest:,} bytes")
                    left = self._timeout + len(body) / _SLOWEST - (perf_counter() - began)
                    limit.reschedule(asyncio.get_running_loop().time() + left)
        except TimeoutError:
            raise _Refused(408, f"a request must come within {self._timeout:g} seconds") from None
        return bytes(body)

    def _prompts(self, body: bytes) -> list[EditPrompt]:
        try:
            return read_prompts(json.loads(body), most=self._most_prompts, pixels=self._pixels)
        except (ValueError, RecursionError) as error:  # Misread is one
            raise _Refused(400, str(error)) from error


def _written(predictions: Sequence[Prediction]) -> bytes:
    return json.dumps(write_predictions(predictions)).encode()


def _refusal(status: int, name: str, message: str) -> Response:
    headers = {"Retry-After": "1"} if status == 503 else None
    if status in (408, 413):  # the rest of the request is not wanted
        headers = {"Connection": "close"}
    return JSONResponse({"error": name, "message": message}, status, headers)


async def _say(request: Request, error: Exception) -> Response:
    assert isinstance(error, _Refused)
    return _refusal(error.status, error.name, str(error))


async def _nothing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refusal = _refusal(error.status_code, "Refused", f"there are {', '.join(_THERE)}")
    refusal.headers.update(error.headers or {})  # Allow: the methods that there are
    return refusal


async def _failed(request: Request, error: Exception) -> Response:
    return _refusal(500, "Refused", f"the server failed: {type(error).__name__}")


_THERE = (
    "GET /identity",
    "POST /predict",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /openapi.json",
)
_PATHS = tuple(there.partition(" ")[2] for there in _THERE)


class _Door:
    """Lets in who may come, notes what each got, and lets go of who does not read the answer."""

    def __init__(
        self, app: ASGIApp, figures: _Figures, token: str | None, loopback: bool, timeout: float
    ) -> None:
        self._app, self._figures, self._token = app, figures, token
        self._loopback, self._timeout = loopback, timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began, path = perf_counter(), str(scope["path"])
        status = 499  # the client went away

        async def send_in_time(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            seconds = self._timeout + len(message.get("body", b"")) / _SLOWEST
            async with asyncio.timeout(seconds):
                await send(message)

        try:
            await (self._refused(scope) or self._app)(scope, receive, send_in_time)
        except (ClientDisconnect, TimeoutError):
            pass
        except _Refused as error:
            await _refusal(error.status, error.name, str(error))(scope, receive, send_in_time)
        seconds = perf_counter() - began
        known = path if path in _PATHS else "other"
        self._figures.requests.labels(known, str(status)).inc()
        if known == "/predict":
            self._figures.seconds.observe(seconds)
        client = (scope.get("client") or ("?",))[0]
        _log.info("%s %s %s: %d in %.3f s", client, scope["method"], known, status, seconds)

    def _refused(self, scope: Scope) -> Response | None:
        """The answer to who may not come in; None: they may."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._loopback and not is_loopback(host_of(host)):
            # A page in a browser here may reach loopback under a name of its own.
            return _refusal(403, "Refused", f"this server is not called {host!r:.80}")
        if self._token is None or scope["path"] in ("/healthz", "/readyz"):
            return None
        kind, _, given = headers.get("authorization", "").strip().partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode("latin-1", "replace"), self._token.encode()
        ):
            return _refusal(401, "Refused", "the token is missing or wrong")
        return None
