"""The endpoint's client against a real server on this machine that speaks the protocol, or not."""

import base64
import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chronosim.cli.main import main
from chronosim.errors import EnhancementFailed, InvalidConfig
from chronosim.models.enhancement import Enhanced
from chronosim.models.enhancement.endpoint import EndpointWriter
from chronosim.testing import EchoModel, check_world_model

KEY = "sk-not-a-real-key"
Answer = Callable[["Service"], None]


class Service(BaseHTTPRequestHandler):
    """One exchange; the server holds what to answer and what was asked."""

    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.request_body = json.loads(body)
        self.server.asked.append((self.path, dict(self.headers), self.request_body))
        self.server.answers[min(len(self.server.asked), len(self.server.answers)) - 1](self)

    def say(self, body: str, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def completion(content: str | None, reason: str = "stop", **message: Any) -> str:
    said = {"role": "assistant", "content": content, **message}
    return json.dumps({"choices": [{"index": 0, "message": said, "finish_reason": reason}]})


def reword(service: Service) -> None:
    """What a good service does: words the text out, and names the frame's size."""
    picture, edit = service.request_body["messages"][1]["content"]
    data = picture["image_url"]["url"].removeprefix("data:image/png;base64,")
    frame = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    service.say(completion(f"The user wants to {edit['text']} in {frame.sum()}."))


def says(*args: Any, **kwargs: Any) -> Answer:
    return lambda service: service.say(*args, **kwargs)


def hesitate(service: Service) -> None:
    service.server.released.wait(10)


def trickle(service: Service) -> None:
    service.send_response(200)
    service.send_header("Content-Length", "1000")
    service.end_headers()
    for _ in range(100):
        if service.server.released.wait(0.05):
            return
        try:
            service.wfile.write(b" ")
        except OSError:
            return


def break_off(service: Service) -> None:
    service.send_response(200)
    service.send_header("Content-Length", "1000")
    service.end_headers()
    service.wfile.write(b'{"choices": [')


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SimpleNamespace]]:
    monkeypatch.setenv("no_proxy", "*")
    servers: list[Any] = []

    def start(*answers: Answer, **settings: Any) -> SimpleNamespace:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Service)
        server.answers, server.asked, server.released = answers, [], threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/v1"
        writer = EndpointWriter(url, "qwen", **{"timeout": 5.0} | settings)
        return SimpleNamespace(writer=writer, asked=server.asked, url=url)

    yield start
    for server in servers:
        server.released.set()
        server.shutdown()
        server.server_close()


def test_contract(serve: Callable[..., SimpleNamespace], kit: SimpleNamespace) -> None:
    service = serve(reword)
    prompts = [kit.prompt(seed, f"go {seed}") for seed in range(3)]
    check_world_model(Enhanced(EchoModel(), service.writer), prompts)
    assert len(service.asked) == 3, "each edit is worded once"


def test_what_is_asked(serve: Callable[..., SimpleNamespace], kit: SimpleNamespace) -> None:
    service = serve(reword, options={"max_completion_tokens": 99})
    prompt = kit.prompt(0, "go left")
    [reply] = service.writer.write("Reword it.", [prompt])
    assert reply == f"The user wants to The edit: go left in {prompt.frame.sum()}."
    [(path, headers, body)] = service.asked
    assert path == "/v1/chat/completions"
    assert body["model"] == "qwen"
    assert body["messages"][0] == {"role": "system", "content": "Reword it."}
    assert body["max_completion_tokens"] == 99
    assert "max_tokens" not in body
    assert "Authorization" not in headers


def test_requests_run_beside_one_another_and_keep_their_order(
    serve: Callable[..., SimpleNamespace], kit: SimpleNamespace
) -> None:
    together = threading.Barrier(3, timeout=60)  # breaks unless three are under way at once

    def wait(service: Service) -> None:
        together.wait()
        reword(service)

    service = serve(wait, concurrency=3)
    replies = service.writer.write("Reword it.", [kit.prompt(0, f"go {n}") for n in range(3)])
    assert [reply.split(" in ")[0][-4:] for reply in replies] == ["go 0", "go 1", "go 2"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (says("out of memory", 500), "answers 500 .*out of memory"),
        (says("no such model", 404), "answers 404 .*no such model"),
        (says("", 307, Location="http://127.0.0.1:9/"), "answers 307"),
        (says("<html>busy</html>"), "no JSON: '<html>busy"),
        (says("[]"), "does not speak the chat-completions protocol"),
        (says('{"choices": []}'), "does not speak the chat-completions protocol"),
        (says('{"error": {"message": "bad frame"}}'), "protocol: .*bad frame"),
        (says(completion(None)), "does not speak the chat-completions protocol"),
        (says(completion(None, refusal="I must not.")), "refuses: 'I must not.'"),
        (says(completion("The user wants to", "length")), r"did not finish its reply \(length\)"),
        (says(completion("", "content_filter")), r"did not finish its reply \(content_filter\)"),
        (says(" " * (2 << 20)), "answers with more than 1,048,576 bytes"),
        (break_off, "is not reached|no JSON"),
    ],
)
def test_no_words_are_an_error(
    serve: Callable[..., SimpleNamespace], kit: SimpleNamespace, answer: Answer, why: str
) -> None:
    service = serve(answer)
    with pytest.raises(EnhancementFailed, match=why) as caught:
        Enhanced(EchoModel(), service.writer).predict([kit.prompt(0)])
    assert service.url in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", [hesitate, trickle])
def test_a_service_that_is_late_is_given_up(
    serve: Callable[..., SimpleNamespace], kit: SimpleNamespace, answer: Answer
) -> None:
    service = serve(answer, timeout=0.3)
    with pytest.raises(EnhancementFailed, match=r"did not answer within 0\.3 seconds"):
        service.writer.write("Reword it.", [kit.prompt(0)])


def test_a_service_on_this_machine_is_asked_past_any_proxy(
    serve: Callable[..., SimpleNamespace], kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, proxy = serve(reword), serve(reword)
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
    service.writer.write("Reword it.", [kit.prompt(0)])
    assert len(service.asked) == 1
    assert proxy.asked == []


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, kit: SimpleNamespace) -> None:
    monkeypatch.setenv("no_proxy", "*")
    writer = EndpointWriter("http://127.0.0.1:9", "qwen")
    with pytest.raises(EnhancementFailed, match=r"is not reached: .*refused"):
        writer.write("Reword it.", [kit.prompt(0)])


def test_what_passes_is_tried_again_if_asked_for_and_said(
    serve: Callable[..., SimpleNamespace],
    kit: SimpleNamespace,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    busy = says("starting up", 503)
    service = serve(busy, says("slow down", 429), reword, retries=2)
    with caplog.at_level(logging.WARNING):
        [reply] = service.writer.write("Reword it.", [kit.prompt(0, "go")])
    assert "go" in reply
    assert pauses == [1.0, 2.0]
    assert [record.message.count("asking again") for record in caplog.records] == [1, 1]

    hopeless = serve(says("no such model", 404), retries=5)
    with pytest.raises(EnhancementFailed, match="answers 404"):
        hopeless.writer.write("Reword it.", [kit.prompt(0)])
    assert len(hopeless.asked) == 1, "what will not pass is not tried again"

    plain = serve(busy)
    with pytest.raises(EnhancementFailed, match="answers 503"):
        plain.writer.write("Reword it.", [kit.prompt(0)])
    assert len(plain.asked) == 1, "nothing is tried again unasked"


def test_the_key_is_sent_and_told_to_nobody_else(
    serve: Callable[..., SimpleNamespace],
    kit: SimpleNamespace,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QWEN_KEY", KEY)
    service = serve(reword, says(f"Incorrect API key: {KEY}", 401), key_variable="QWEN_KEY")
    with caplog.at_level(logging.DEBUG):
        service.writer.write("Reword it.", [kit.prompt(0)])
        assert service.asked[0][1]["Authorization"] == f"Bearer {KEY}"
        with pytest.raises(EnhancementFailed, match=r"answers 401 .*key: \*\*\*") as caught:
            service.writer.write("Reword it.", [kit.prompt(0)])
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text
    assert KEY not in json.dumps(dict(service.writer.identity))
    assert KEY not in repr(vars(service.writer))


@pytest.mark.parametrize(
    ("url", "settings", "why"),
    [
        ("localhost:8000/v1", {}, "begins with http:// or https:// and a host"),
        ("http://me:secret@localhost/v1", {}, "must hold no password"),
        ("http://localhost:99999/v1", {}, "a port that is none"),
        ("http://[::1/v1", {}, "a host that is none"),
        ("http://foo..bar/v1", {}, "a host that is none"),
        (f"http://{'a' * 64}.example/v1", {}, "a host that is none"),
        ("https://example.org/v1?key=1", {}, "must hold no password, key or query"),
        ("http://example.org/v1", {"key_variable": "QWEN_KEY"}, "in the clear"),
        ("http://localhost/v1", {"key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY.* is not set"),
        ("http://localhost/v1", {"key_variable": "BAD_KEY"}, "BAD_KEY holds .* strange"),
        ("http://localhost/v1", {"timeout": 0}, "timeout must be"),
        ("http://localhost/v1", {"retries": -1}, "retries must be at least 0"),
        ("http://localhost/v1", {"concurrency": 0}, "concurrency must be at least 1"),
    ],
)
def test_bad_settings(
    monkeypatch: pytest.MonkeyPatch, url: str, settings: dict[str, Any], why: str
) -> None:
    monkeypatch.setenv("QWEN_KEY", KEY)
    monkeypatch.setenv("BAD_KEY", "secret\nkey")
    with pytest.raises(InvalidConfig, match=why) as caught:
        EndpointWriter(url, "qwen", **settings)
    assert "secret" not in str(caught.value)


def test_predict_by_name(
    serve: Callable[..., SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = serve(reword)
    asked = ["text=A door opens.", f"output={tmp_path / 'out'}", "model=enhanced-endpoint"]
    asked += ["model.model=echo", f"model.writer.url={service.url}"]
    assert main(["predict", *asked]) == 0
    assert "The user wants to The edit: A door opens. in " in capsys.readouterr().out
