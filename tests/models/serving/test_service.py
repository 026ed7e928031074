"""A served world model under load: callers share calls, limits hold, the end is clean."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chronosim.errors import Cancelled, InvalidConfig, InvalidPrompt, ModelBusy, RemoteFailed
from chronosim.frames import encode_png
from chronosim.models.serving.remote import RemoteModel
from chronosim.models.serving.service import Service
from chronosim.models.serving.wire import write_prompts
from chronosim.progress import after_each_denoising_step, denoised
from chronosim.testing import EchoModel
from chronosim.types import EditPrompt, Prediction

JSON = {"Content-Type": "application/json"}


def prompt(text: str = "go", size: int = 8) -> EditPrompt:
    return EditPrompt(np.full((size, size, 3), len(text), np.uint8), text, 0)


class Slow:
    """Answers a call after a while, however many prompts it has; cannot read "bad"."""

    identity: Any = {"name": "slow"}  # noqa: RUF012

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds, self.calls = seconds, list[int]()
        self.called = threading.Event()

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        self.calls.append(len(prompts))
        self.called.set()
        time.sleep(self.seconds)
        if any(prompt.text == "bad" for prompt in prompts):
            raise InvalidPrompt("'bad' is no word")
        return [Prediction(prompt.frame[None]) for prompt in prompts]


@contextmanager
def asked(
    url: str, method: str, path: str, body: bytes | None = None, **headers: str
) -> Iterator[HTTPResponse]:
    connection = HTTPConnection(url.partition("//")[2], timeout=60)
    try:
        connection.request(method, path, body, {**JSON, **headers})
        yield connection.getresponse()
    finally:
        connection.close()


def get(url: str, path: str) -> Any:
    with asked(url, "GET", path) as answer:
        return json.loads(answer.read())


def figures(url: str) -> dict[str, float]:
    """What /metrics says, by name; figures with labels under the labels' values."""
    with asked(url, "GET", "/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_many_callers_share_calls_and_none_is_lost() -> None:
    model = Slow()
    with Service(model, port=0) as service:
        remote = RemoteModel(service.url)

        def ask(n: int) -> bool | str:
            try:
                [prediction] = remote.predict([prompt("bad" if n == 7 else "a" * (n % 5 + 1))])
            except InvalidPrompt as error:
                return str(error)
            return bool((prediction.frame == n % 5 + 1).all())

        with ThreadPoolExecutor(48) as callers:
            answers = list(callers.map(ask, range(48)))
        said = figures(service.url)
    assert answers[7] == "'bad' is no word", "which is the error of its caller alone"
    assert all(answer is True for n, answer in enumerate(answers) if n != 7)
    assert max(model.calls) > 4
    assert said["chronosim_requests_total /predict 200"] == 47
    assert said["chronosim_requests_total /predict 422"] == 1
    assert said["chronosim_batch_prompts_sum"] == sum(model.calls)
    assert said["chronosim_waiting_prompts"] == 0


def test_a_full_queue_is_told_and_asked_again() -> None:
    model = Slow(0.3)
    with Service(model, port=0, most_waiting=1) as service:
        body = json.dumps(write_prompts([prompt()])).encode()
        patient, hasty = RemoteModel(service.url), RemoteModel(service.url, timeout=0.2)
        with ThreadPoolExecutor(3) as callers:
            first = callers.submit(patient.predict, [prompt()])
            assert model.called.wait(60)
            second = callers.submit(patient.predict, [prompt()])
            while not get(service.url, "/readyz")["waiting"]:
                time.sleep(0.005)
            with asked(service.url, "POST", "/predict", body) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
                assert json.loads(answer.read())["error"] == "ModelBusy"
            with pytest.raises(ModelBusy, match="1 prompts are waiting for the model, of 1"):
                hasty.predict([prompt()])
            third = callers.submit(patient.predict, [prompt()])
            assert [len(call.result(60)) for call in (first, second, third)] == [1, 1, 1]


def test_what_a_gone_client_asked_is_not_predicted() -> None:
    model = Slow(0.3)
    with Service(model, port=0) as service:
        body = json.dumps(write_prompts([prompt()] * 3)).encode()
        with ThreadPoolExecutor(1) as callers:
            first = callers.submit(RemoteModel(service.url).predict, [prompt()])
            assert model.called.wait(60)
            connection = HTTPConnection(service.url.partition("//")[2], timeout=60)
            connection.request("POST", "/predict", body, JSON)
            while not get(service.url, "/readyz")["waiting"]:
                time.sleep(0.005)
            connection.close()
            first.result(60)
        RemoteModel(service.url).predict([prompt()])
    assert model.calls == [1, 1]


class Stepping:
    """Takes denoising steps until it is told to stop."""

    identity: Any = {"name": "stepping"}  # noqa: RUF012

    def __init__(self) -> None:
        self.called, self.ended = threading.Event(), threading.Event()

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        self.called.set()
        try:
            for step in range(6_000):
                denoised(step, 6_000)
                time.sleep(0.01)
        finally:
            self.ended.set()
        raise AssertionError("nobody ended it")


def test_a_client_that_goes_away_or_cancels_ends_what_runs_for_it() -> None:
    body = json.dumps(write_prompts([prompt()])).encode()
    with Service(gone := Stepping(), port=0) as service:
        connection = HTTPConnection(service.url.partition("//")[2], timeout=60)
        connection.request("POST", "/predict", body, JSON)
        assert gone.called.wait(60)
        connection.close()
        assert gone.ended.wait(60)
    with Service(cancelled := Stepping(), port=0) as service:
        remote = RemoteModel(service.url)

        def stop(done: int, total: int) -> None:
            if cancelled.called.is_set():
                raise Cancelled("enough")

        with pytest.raises(Cancelled, match="enough"), after_each_denoising_step(stop):
            remote.predict([prompt()])
        assert cancelled.ended.wait(60)


def black_png(side: int) -> str:
    """A black picture of a few kilobytes, whatever its size."""
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(1 + 3 * side)) for _ in range(side)) + packed.flush()
    small = encode_png(np.zeros((1, 1, 3), np.uint8))

    def chunk(kind: bytes, data: bytes) -> bytes:
        said = kind + data
        return len(data).to_bytes(4) + said + zlib.crc32(said).to_bytes(4)

    head = side.to_bytes(4) * 2 + small[24:29]
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return base64.b64encode(small[:8] + b"".join(parts)).decode()


def test_pixels_are_counted_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for = [{"frame": black_png(1000), "text": "", "seed": 0}] * 9
    body = json.dumps({"prompts": asked_for}).encode()
    assert len(body) < 100_000
    with Service(EchoModel(), port=0, pixels=4_000_000) as service:
        monkeypatch.setattr("chronosim.models.serving.wire._decode", lambda _: 1 / 0)
        with asked(service.url, "POST", "/predict", body) as answer:
            said = json.loads(answer.read())["message"]
        assert said == "the frames of a call may have 4,000,000 pixels together, not 9,000,000"


def test_a_client_splits_what_is_too_much_for_a_request() -> None:
    class Counting(EchoModel):
        def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
            calls.append(len(prompts))
            return EchoModel().predict(prompts)

    calls: list[int] = []
    with Service(Counting(), port=0, most_prompts=4, pixels=200) as service:
        sizes = [8, 8, 8, 8, 2, 2, 2, 2, 2]
        predictions = RemoteModel(service.url).predict([prompt(size=size) for size in sizes])
        assert [prediction.frame.shape[0] for prediction in predictions] == sizes
    assert calls == [3, 4, 2]


def test_what_watches_it_needs_no_token() -> None:
    with Service(EchoModel(), port=0, token="a-token-of-a-good-length") as service:
        assert get(service.url, "/healthz") == {"status": "alive"}
        assert get(service.url, "/readyz") == {"status": "ready", "waiting": 0}
        for path in ("/identity", "/metrics"):
            with asked(service.url, "GET", path) as answer:
                assert answer.status == 401
        for given in ("bearer a-token-of-a-good-length", "Bearer  a-token-of-a-good-length "):
            with asked(service.url, "GET", "/identity", Authorization=given) as answer:
                assert answer.status == 200


def test_the_description_names_what_is_there() -> None:
    with Service(EchoModel(), port=0) as service:
        described = get(service.url, "/openapi.json")
        assert described["openapi"] == "3.1.0"
        for path, methods in described["paths"].items():
            [method] = methods
            with asked(service.url, method.upper(), path, b"") as answer:
                assert str(answer.status) in methods[method]["responses"]
        with asked(service.url, "GET", "/nowhere") as answer:
            assert answer.status == 404
            said = json.loads(answer.read())["message"]
        assert all(path in said for path in described["paths"])


def test_a_connection_without_a_request_is_closed() -> None:
    with Service(EchoModel(), port=0, timeout=0.3) as service:
        host, port = service.url.partition("//")[2].split(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(b"GET /identity HTTP/1.1\r\nHost: loc")
            assert client.recv(100) == b""


def test_more_clients_than_it_takes_are_told() -> None:
    with Service(EchoModel(), port=0, most_connections=3) as service:
        host, port = service.url.partition("//")[2].split(":")
        idle = [socket.create_connection((host, int(port)), timeout=60) for _ in range(3)]
        with asked(service.url, "GET", "/identity") as answer:
            assert answer.status == 503
        for client in idle:
            client.close()


# A shell that runs the tests in the background has its children ignore interrupts.
HEAR = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
SERVE = """
import time
from chronosim.models.serving.service import Service
from chronosim.types import Prediction

class Slow:
    identity = {"name": "slow"}

    def predict(self, prompts):
        print("predicting", flush=True)
        time.sleep(1)
        return [Prediction(prompt.frame[None]) for prompt in prompts]

service = Service(Slow(), port=0)
try:
    service.run(ready=lambda: print(service.url, flush=True))
except KeyboardInterrupt:
    print("ended", flush=True)
"""


def test_at_the_end_what_runs_is_answered_and_what_waits_refused() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HEAR + SERVE],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        remote = RemoteModel(url, timeout=60)
        with ThreadPoolExecutor(2) as callers:
            running = callers.submit(remote.predict, [prompt()])
            assert server.stdout.readline() == "predicting\n"
            waiting = callers.submit(RemoteModel(url, timeout=0.5).predict, [prompt()])
            while not get(url, "/readyz")["waiting"]:
                time.sleep(0.005)
            server.send_signal(signal.SIGINT)
            assert len(running.result(60)) == 1
            with pytest.raises((ModelBusy, RemoteFailed)):
                waiting.result(60)
        assert server.stdout.read() == "ended\n"
        assert server.wait(60) == 0


@pytest.mark.skipif(which("openssl") is None, reason="makes the certificate")
def test_a_certificate_makes_it_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = (tmp_path / "me.crt", tmp_path / "me.key")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(made[0]), "-keyout", str(made[1])]
    subprocess.run([*command.split(), *named, *files], check=True, capture_output=True)
    certificate = (str(made[0]), str(made[1]))
    with Service(EchoModel(), port=0, certificate=certificate) as service:
        assert service.url.startswith("https://127.0.0.1:")
        with pytest.raises(RemoteFailed, match="certificate"):
            RemoteModel(service.url)
        from chronosim.models.serving import http

        monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
        http._trusted.cache_clear()
        try:
            assert len(RemoteModel(service.url).predict([prompt()])) == 1
        finally:
            http._trusted.cache_clear()


@pytest.mark.parametrize("limit", ["most_prompts", "most_waiting"])
def test_a_limit_below_one_is_refused(limit: str) -> None:
    with pytest.raises(InvalidConfig, match=f"{limit} must be 1 or more"):
        Service(EchoModel(), port=0, **{limit: 0})  # type: ignore[arg-type]


SERVE_ECHO = """
from chronosim.models.serving.service import Service
from chronosim.testing import EchoModel

service = Service(EchoModel(), port=0)
service.run(ready=lambda: print(service.url, flush=True))
"""


@contextmanager
def echo_process() -> Iterator[tuple[str, psutil.Process]]:
    """A server in a process of its own, and where it is."""
    with subprocess.Popen(
        [sys.executable, "-c", HEAR + SERVE_ECHO], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().decode().strip(), psutil.Process(server.pid)
        finally:
            server.send_signal(signal.SIGINT)


def ask_well_or_badly(url: str, n: int) -> int:
    """One request of a crowd, every fourth of which is broken or given up; its status, or 0."""
    body = json.dumps(write_prompts([prompt("a" * (n % 7), size=32)])).encode()
    if n % 8 == 1:
        body = (body[:-9], b"[]", body.replace(b'"seed": 0', b'"seed": -1'))[n % 3]
    connection = HTTPConnection(url.partition("//")[2], timeout=120)
    try:
        connection.request("POST", "/predict", body, JSON)
        if n % 8 == 5:
            return 0
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.mark.slow
def test_a_crowd_is_served_and_leaves_nothing_behind() -> None:
    with echo_process() as (url, process), ThreadPoolExecutor(200) as crowd:
        list(crowd.map(lambda n: ask_well_or_badly(url, n), range(400)))
        before = process.memory_info().rss
        statuses = list(crowd.map(lambda n: ask_well_or_badly(url, n), range(800)))
        grown = process.memory_info().rss - before
        said = figures(url)
    expected = [{1: 400, 5: 0}.get(n % 8, 200) for n in range(800)]
    assert statuses == expected, "none is reset, none fails"
    assert said["chronosim_batch_prompts_sum"] > said["chronosim_batch_prompts_count"]
    assert grown < 64 << 20
