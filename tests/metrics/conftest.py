"""Frames to be compared, and a service on this machine that judges them."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def draw() -> Callable[..., Any]:
    """Draws smooth random frames, so that windows hold some structure; near ones by `noise`."""

    def make(count: int, side: int = 96, seed: int = 0, noise: float = 0) -> Any:
        rng = np.random.default_rng(seed)
        coarse = rng.uniform(0, 255, (count, side // 8, side // 8, 3))
        frames = coarse.repeat(8, axis=1).repeat(8, axis=2)
        shaken = frames + np.random.default_rng(seed + 1).normal(0, noise, frames.shape)
        return shaken.clip(0, 255).astype(np.uint8)

    return make


class Service(BaseHTTPRequestHandler):
    """One exchange; the server holds what to say and what was asked."""

    server: Any

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body["messages"][0]["content"])
        said = self.server.say(body["messages"][0]["content"])
        message = {"role": "assistant", "content": said}
        reply = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SimpleNamespace]]:
    """Starts a chat-completions service that says what a function makes of a message's content."""
    monkeypatch.setenv("no_proxy", "*")
    servers: list[Any] = []

    def start(say: Callable[[Any], str]) -> SimpleNamespace:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Service)
        server.say, server.asked = say, []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}/v1", asked=server.asked)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
