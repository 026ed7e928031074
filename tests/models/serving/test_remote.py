"""A model behind a URL: a real server on this machine, and others that speak wrongly."""

import base64
import json
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidConfig, InvalidPrompt, RemoteFailed
from chronosim.frames import encode_png
from chronosim.models.serving.remote import RemoteModel
from chronosim.models.serving.service import Service
from chronosim.testing import EchoModel, check_world_model
from chronosim.types import EditPrompt, Prediction

TOKEN = "a-token-of-a-good-length"


class Moving:
    """Moves to the right by as many columns as its words say, and adds the noise of its seed."""

    identity: Any = {"name": "moving", "weights": "abc"}  # noqa: RUF012

    def predict(self, prompts: Any) -> list[Prediction]:
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: EditPrompt) -> Prediction:
        if not prompt.text.isdecimal():
            raise InvalidPrompt(f"{prompt.text!r} is no number")
        noise = np.random.default_rng(prompt.seed).integers(0, 9, prompt.frame.shape, np.uint8)
        ways = [np.roll(prompt.frame // 2, int(prompt.text) * k, 1) + noise for k in (1, 2)]
        return Prediction(np.stack(ways), f"by {prompt.text}", {"score": 0.5, "odd": float("inf")})


@contextmanager
def serving(model: Any, **settings: Any) -> Iterator[str]:
    with Service(model, port=0, **settings) as service:
        yield service.url


@pytest.fixture
def prompts() -> list[EditPrompt]:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 16, 24, 3), np.uint8)
    return [EditPrompt(frame, str(seed + 1), 2**63 - 1 - seed) for seed, frame in enumerate(frames)]


def test_a_remote_model_answers_as_the_model_itself(prompts: list[EditPrompt]) -> None:
    with serving(Moving(), most_prompts=2) as url:
        model = RemoteModel(url + "/")
        assert model.identity == {"name": "moving", "weights": "abc", "url": url}
        for ours, theirs in zip(model.predict(prompts), Moving().predict(prompts), strict=True):
            np.testing.assert_array_equal(ours.trajectory, theirs.trajectory)
            assert ours.text == theirs.text
            assert ours.metrics == {"score": 0.5}, "JSON has no infinity"
        check_world_model(model, prompts)


def test_an_error_of_the_model_arrives_as_it_was(prompts: list[EditPrompt]) -> None:
    class Broken(EchoModel):
        def predict(self, prompts: Any) -> Any:
            raise OSError("out of paper")

    with serving(Moving()) as url, pytest.raises(InvalidPrompt, match="'left' is no number"):
        RemoteModel(url).predict([EditPrompt(prompts[0].frame, "left", 0)])
    with serving(Broken()) as url, pytest.raises(RemoteFailed, match=r"500: .*out of paper"):
        RemoteModel(url).predict(prompts)


def test_a_token_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Moving(), token=TOKEN) as url:
        with pytest.raises(RemoteFailed, match="401: the token is missing or wrong"):
            RemoteModel(url)
        monkeypatch.setenv("WORLD_TOKEN", "wrong")
        with pytest.raises(RemoteFailed, match="401"):
            RemoteModel(url, token_variable="WORLD_TOKEN")
        monkeypatch.setenv("WORLD_TOKEN", TOKEN)
        model = RemoteModel(url, token_variable="WORLD_TOKEN")
        assert TOKEN not in json.dumps(dict(model.identity))


def test_the_door_is_open_to_others_with_a_token_alone() -> None:
    with pytest.raises(InvalidConfig, match=r"at 0\.0\.0\.0 anybody"):
        Service(Moving(), host="0.0.0.0", port=0)
    with Service(Moving(), host="0.0.0.0", port=0, token=TOKEN) as service:
        assert service.url.startswith("http://0.0.0.0:")
    with Service(Moving(), port=0) as service, pytest.raises(InvalidConfig, match="listened at"):
        Service(Moving(), port=service.port)


GOOD = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"{}", GOOD, 400, "'prompts' is missing"),
        (b"no json", GOOD, 400, "Expecting value"),
        (b"[" * 100_000, GOOD, 400, ""),
        (b'{"prompts": [{"frame": "AAAA", "text": "1", "seed": 0}]}', GOOD, 400, "base64 of a PNG"),
        (b'{"prompts": [{"frame": "", "text": "1", "seed": -1}]}', GOOD, 400, "a seed is"),
        (b'{"prompts": [{"frame": "", "text": "1", "seed": true}]}', GOOD, 400, "a seed is"),
        (b'{"prompts": [1, 2, 3, 4, 5]}', GOOD, 400, "a call may hold 4 prompts, not 5"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "application/json"),
        (b"{}", {**GOOD, "Host": "evil.example"}, 403, "not called 'evil.example'"),
        (b"x" * 70_000, GOOD, 413, "may have 60,000 bytes, not 70000"),
        (b"", {**GOOD, "Content-Length": "9" * 18}, 413, "may have 60,000 bytes, not 99999"),
    ],
)
def test_a_server_takes_nothing_else(
    body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    largest = 60_000 if status == 413 else 1 << 20
    with serving(Moving(), most_prompts=4, largest=largest) as url:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
        connection.request("POST", "/predict", body, headers)
        answer = connection.getresponse()
        assert answer.status == status
        value = json.loads(answer.read())
        assert said in value["message"]
        connection.close()
        assert RemoteModel(url).predict([]) == [], "and goes on"


def test_a_silent_client_is_let_go() -> None:
    with serving(Moving(), timeout=0.3) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(b"POST /predict HTTP/1.0\r\nContent-Type: application/json\r\n")
            client.sendall(b"Host: localhost\r\nContent-Length: 100\r\n\r\n{")
            said = b"".join(iter(lambda: client.recv(1000), b""))
            assert said.startswith(b"HTTP/1.1 408"), "and the connection is closed"


Answer = Callable[["Other"], None]


def with_an_empty_gamma() -> str:
    """A PNG whose chunk about its gamma, before its pixels, holds none."""
    png = encode_png(np.zeros((4, 4, 3), np.uint8))
    gamma = struct.pack(">I", 0) + b"gAMA" + struct.pack(">I", zlib.crc32(b"gAMA"))
    return base64.b64encode(png[:33] + gamma + png[33:]).decode()


BROKEN = with_an_empty_gamma()


class Other(BaseHTTPRequestHandler):
    """A server that answers as it is told."""

    server: Any

    def do_GET(self) -> None:
        self.server.answer(self)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answer(self)

    def say(self, value: Any, status: int = 200, **headers: str) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def other(answer: Answer) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        server.answer = answer  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


KNOWN = {"protocol": 1, "most_prompts": 8, "identity": {"name": "other"}}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"<html>", "200 with what is no JSON"),
        ({"hello": 1}, "names no world model"),
        ({**KNOWN, "protocol": 2}, "speaks protocol 2"),
        ({**KNOWN, "most_prompts": 0}, "most_prompts=0"),
    ],
)
def test_a_stranger_is_no_model(value: Any, said: str) -> None:
    with other(lambda it: it.say(value)) as url, pytest.raises(RemoteFailed, match=said):
        RemoteModel(url)


def test_no_redirect_is_followed() -> None:
    with (
        other(lambda it: it.say({}, 302, Location="http://127.0.0.1:1/")) as url,
        pytest.raises(RemoteFailed, match="answers 302"),
    ):
        RemoteModel(url)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"predictions": []}, "1 prompts got 0 predictions"),
        ({"predictions": [{"trajectory": []}]}, "1 to 1024 frames, not 0"),
        ({"predictions": [{"trajectory": ["xx"]}]}, "base64 of a PNG"),
        ({"predictions": [{"trajectory": [BROKEN]}]}, "base64 of a PNG, but: Truncated gAMA"),
        ({"predictions": "none"}, "'predictions' is missing"),
    ],
)
def test_a_wrong_answer_is_refused(value: Any, said: str, prompts: list[EditPrompt]) -> None:
    def answer(it: Other) -> None:
        it.say(KNOWN if it.command == "GET" else value)

    with other(answer) as url:
        model = RemoteModel(url)
        with pytest.raises(RemoteFailed, match=f"breaks the protocol: .*{said}"):
            model.predict(prompts[:1])


def test_an_answer_that_is_late_or_endless_is_given_up(prompts: list[EditPrompt]) -> None:
    def trickle(it: Other) -> None:
        it.send_response(200)
        it.end_headers()
        with suppress(OSError):  # the client is gone
            for _ in range(40):
                it.wfile.write(b" ")
                threading.Event().wait(0.02)

    with other(trickle) as url, pytest.raises(RemoteFailed, match=r"within 0\.2 seconds"):
        RemoteModel(url, timeout=0.2)
    with (
        other(lambda it: it.say(b" " * 5000)) as url,
        pytest.raises(RemoteFailed, match="more than 1,000"),
    ):
        RemoteModel(url, largest=1000)


def test_nobody_there_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RemoteFailed, match=f"127.0.0.1:{port} is not reached"):
        RemoteModel(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("url", "settings", "said"),
    [
        ("ftp://host", {}, "begins with http://"),
        ("http://host:port", {}, "a port that is none"),
        ("http://host:99999", {}, "a port that is none"),
        ("http://[::1", {}, "a host that is none"),
        ("http://foo..bar", {}, "a host that is none"),
        (f"http://{'a' * 64}.example", {}, "a host that is none"),
        ("http://me:secret@host", {}, "must hold no password"),
        ("http://far.example", {"token_variable": "T"}, "in the clear"),
        ("http://127.0.0.1", {"token_variable": "NOT_THERE"}, "holds no token"),
        ("http://127.0.0.1", {"timeout": 0}, "above 0, not 0"),
    ],
)
def test_a_wrong_address_is_refused(url: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        RemoteModel(url, **settings)
