"""A studio that is really served, with a model that can be held up and made to fail."""

from __future__ import annotations

import http.client
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from omegaconf import DictConfig
from PIL import Image

from chronosim.protocols import WorldModel
from chronosim.settings.compose import compose_config
from chronosim.studio.app import make_app
from chronosim.studio.library import Library
from chronosim.studio.sessions import Sessions
from chronosim.studio.studio import Studio
from chronosim.studio.workshop import DenoisingProgress, Models, Workshop
from chronosim.studio.worlds import Worlds
from chronosim.types import EditPrompt, Prediction


class Toy:
    """Shifts the frame and adds noise, by seed and words; waits at a gate, fails when told to."""

    identity: Mapping[str, Any] = {"name": "toy"}

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.asked = 0
        self.progress: DenoisingProgress = lambda done, total: None

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        self.asked += len(prompts)
        self.progress(1, 2)
        assert self.gate.wait(10)
        self.progress(2, 2)
        if self.failure is not None:
            raise self.failure
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: EditPrompt) -> Prediction:
        rng = np.random.default_rng((prompt.seed, zlib.crc32(prompt.text.encode())))
        noise = rng.integers(-9, 10, (3, *prompt.frame.shape))
        return Prediction(np.clip(prompt.frame + noise, 0, 255).astype(np.uint8))


class OneModel(Models):
    """Hands out one model, whatever is asked for."""

    def __init__(self, model: Toy) -> None:
        super().__init__(lambda done, total: None)
        self.model = model

    def load(self, config: DictConfig, sampling: Mapping[str, Any]) -> WorldModel:
        return self.model


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def frame(self) -> np.ndarray:
        return np.array(Image.open(BytesIO(self.body)))


@dataclass(frozen=True)
class Served:
    """A studio, and someone who talks to it."""

    port: int
    studio: Studio
    model: Toy
    folder: Path

    def ask(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        try:
            line.request("GET" if body is None else "POST", path, data, dict(headers or {}))
            answer = line.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read())
        finally:
            line.close()

    def begin(self, **asked: Any) -> Any:
        """Begins a session; gives its state."""
        return self.ask("/api/sessions", {"seed": 3, **asked}).lines[-1]["state"]

    def change(self, state: Any, to: str, /, **asked: Any) -> Any:
        """Asks for a change; gives the new state."""
        path = f"/api/sessions/{state['session']}/{to}"
        return self.ask(path, {"version": state["version"], **asked}).lines[-1]["state"]

    def state(self, state: Any) -> Any:
        return self.ask(f"/api/sessions/{state['session']}").json

    def until(self, state: Any, holds: Callable[[Any], bool]) -> Any:
        """Waits until a session's state is as it should be."""
        for _ in range(500):
            now = self.state(state)
            if holds(now):
                return now
            time.sleep(0.01)
        raise AssertionError(f"it never came to that: {now}")


@cache
def shared() -> tuple[Worlds, OneModel]:
    """Made once: composing settings takes longer than all that the tests do with them."""
    models = OneModel(Toy())
    return Worlds(compose_config("studio", ["model=echo"]), models), models


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Serves studios, each with a model, sessions and a token of its own."""
    ends: list[Callable[[], None]] = []

    def start(*, token: str | None = None, sessions: int = 4, most: int = 2**26) -> Served:
        worlds, models = shared()
        model, workshop, folder = Toy(), Workshop(), tmp_path / "runs"
        models.model, model.progress = model, workshop.progress
        studio = Studio(worlds, workshop, Sessions(sessions), Library(folder), most)
        app = make_app(studio, token=token)
        server = uvicorn.Server(
            uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]

        def end() -> None:
            model.gate.set()
            server.should_exit = True
            thread.join(10)
            workshop.close()

        ends.append(end)
        return Served(port, studio, model, folder)

    yield start
    for end in ends:
        end()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


@pytest.fixture
def left() -> list[float]:
    return [-0.5, 0.2, 0.0]


@pytest.fixture
def right() -> list[float]:
    return [0.5, 0.2, 0.0]
