"""A world model behind a URL: somebody's GPU, another process, another language."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate, islice
from typing import Any

from chronosim import errors
from chronosim.errors import ChronosimError, InvalidConfig, RemoteFailed
from chronosim.models.serving.http import (
    Answer,
    Refused,
    check_address,
    exchange,
    is_printable_word,
)
from chronosim.models.serving.wire import PROTOCOL, Misread, read_predictions, write_prompts
from chronosim.types import EditPrompt, Prediction

_BUSY = 503
_SHORTEST = 0.01  # seconds that a request is given at least


class RemoteModel:
    """Asks a world model over HTTP; `chronosim serve` is the other end, and `wire` the protocol.

    Args:
        url: Where it is: "http://localhost:8765". It is asked for its identity at once.
        token_variable: The environment variable that holds the token the server asks for; None: no
            token is sent. The token is never logged and is no part of the identity.
        timeout: Seconds to wait for the answer to a call, > 0.
        largest: Bytes of an answer at most.

    Raises:
        InvalidConfig: A URL that is none, or a token that is not there or would travel in the
            clear.
        RemoteFailed: The server is not reached, is late, or speaks another protocol.
    """

    def __init__(
        self,
        url: str,
        *,
        token_variable: str | None = None,
        timeout: float = 300.0,
        largest: int = 1 << 29,
    ) -> None:
        if not (math.isfinite(timeout) and timeout > 0):
            raise InvalidConfig(f"timeout must be a number of seconds above 0, not {timeout}")
        self.url, self.timeout, self.largest = url.rstrip("/"), timeout, largest
        check_address(self.url, "a world model", "token", token_variable, "a tunnel to localhost")
        self._token = _token(token_variable)
        said = self._exchange("GET", "/identity", None)
        self._identity, self._most, self._most_pixels = self._introduce(said)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the model behind the URL says of itself, and the URL."""
        return {**self._identity, "url": self.url}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt; as many at a time as the server takes.

        A server that is busy is asked again when it says so, within the time of a call.

        Raises:
            ModelBusy: The server was busy all the time.
            RemoteFailed: The server is not reached, is late, or breaks the protocol.
            ChronosimError: As the model behind the URL raises.
        """
        predictions: list[Prediction] = []
        while len(predictions) < len(prompts):
            asked = self._share(prompts[len(predictions) :])
            said = self._exchange("POST", "/predict", write_prompts(asked))
            try:
                predictions += read_predictions(said, asked)
            except Misread as error:
                raise RemoteFailed(f"{self.url} breaks the protocol: {error}") from error
        return predictions

    def _share(self, prompts: Sequence[EditPrompt]) -> Sequence[EditPrompt]:
        """As many of the first prompts as the server takes in a request, and at least one."""
        pixels = accumulate(prompt.frame.shape[0] * prompt.frame.shape[1] for prompt in prompts)
        fitting = sum(count <= self._most_pixels for count in islice(pixels, self._most))
        return prompts[: max(fitting, 1)]

    def _introduce(self, said: Any) -> tuple[dict[str, Any], int, float]:
        """What the server says of itself: the model's identity, and its limits of a request."""
        identity = said.get("identity") if isinstance(said, dict) else None
        if not isinstance(identity, dict) or not isinstance(identity.get("name"), str):
            raise RemoteFailed(f"{self.url}/identity names no world model: {said!r:.200}")
        if said.get("protocol") != PROTOCOL:
            raise RemoteFailed(
                f"{self.url} speaks protocol {said.get('protocol')!r:.20}, but this chronosim "
                f"speaks {PROTOCOL}"
            )
        most, pixels = said.get("most_prompts"), said.get("most_pixels", math.inf)
        if not isinstance(most, int) or most < 1:
            raise RemoteFailed(f"{self.url} takes most_prompts={most!r:.20} prompts a call")
        if not isinstance(pixels, int | float) or not pixels >= 1:
            raise RemoteFailed(f"{self.url} takes most_pixels={pixels!r:.20} pixels a call")
        return identity, most, pixels

    def _exchange(self, method: str, path: str, value: Any) -> Any:
        """Asks, again where the server is busy, and gives the JSON of the answer."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                answer = exchange(
                    method,
                    self.url + path,
                    value,
                    token=self._token,
                    timeout=max(deadline - time.monotonic(), _SHORTEST),
                    largest=self.largest,
                )
            except TimeoutError as error:
                raise RemoteFailed(
                    f"{self.url} did not answer within {self.timeout:g} seconds"
                ) from error
            except Refused as error:
                raise RemoteFailed(f"{self.url} {error}") from error
            pause = 1.0 if answer.retry_after is None else answer.retry_after
            if answer.status != _BUSY or time.monotonic() + pause > deadline:
                return self._read(answer)
            time.sleep(pause)

    def _read(self, answer: Answer) -> Any:
        """The JSON of an answer, unless it is a refusal."""
        said = answer.body
        if answer.status == 200 and said is not None:
            return said
        if said is None:
            raise RemoteFailed(
                f"{self.url} answers {answer.status} with what is no JSON: {answer.text!r:.120}"
            )
        name, message = "", ""
        if isinstance(said, dict):
            name, message = str(said.get("error", "")), str(said.get("message", ""))
        kind = getattr(errors, name, None) if name in errors.__all__ else None
        ours = isinstance(kind, type) and issubclass(kind, ChronosimError)
        if kind is not None and ours and answer.status in (422, _BUSY):
            raise kind(message)
        raise RemoteFailed(
            f"{self.url} answers {answer.status}: {message[:300] or repr(said)[:300]}"
        )


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token or not is_printable_word(token):
        raise InvalidConfig(
            f"the environment variable {variable} holds no token, or one with spaces or strange "
            "characters"
        )
    return token
