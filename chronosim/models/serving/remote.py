"""A world model behind a URL: somebody's GPU, another process, another language."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from chronosim import errors
from chronosim.errors import ChronosimError, InvalidConfig, RemoteFailed
from chronosim.models.serving.http import check_address, is_printable_word
from chronosim.models.serving.wire import PROTOCOL, Misread, read_predictions, write_prompts
from chronosim.types import EditPrompt, Prediction


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
        self._parts = _split(self.url, token_variable)
        self._token = _token(token_variable)
        said = self._exchange("GET", "/identity", None)
        self._identity, self._most = self._introduction(said)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the model behind the URL says of itself, and the URL."""
        return {**self._identity, "url": self.url}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt; as many at a time as the server takes.

        Raises:
            RemoteFailed: The server is not reached, is late, or breaks the protocol.
            ChronosimError: As the model behind the URL raises.
        """
        predictions: list[Prediction] = []
        for first in range(0, len(prompts), self._most):
            asked = prompts[first : first + self._most]
            said = self._exchange("POST", "/predict", write_prompts(asked))
            try:
                predictions += read_predictions(said, asked)
            except Misread as error:
                raise RemoteFailed(f"{self.url} breaks the protocol: {error}") from error
        return predictions

    def _introduction(self, said: Any) -> tuple[dict[str, Any], int]:
        identity = said.get("identity") if isinstance(said, dict) else None
        if not isinstance(identity, dict) or not isinstance(identity.get("name"), str):
            raise RemoteFailed(f"{self.url}/identity names no world model: {said!r:.200}")
        if said.get("protocol") != PROTOCOL:
            raise RemoteFailed(
                f"{self.url} speaks protocol {said.get('protocol')!r:.20}, but this chronosim "
                f"speaks {PROTOCOL}"
            )
        most = said.get("most_prompts")
        if not isinstance(most, int) or most < 1:
            raise RemoteFailed(f"{self.url} takes most_prompts={most!r:.20} prompts a call")
        return identity, most

    def _exchange(self, method: str, path: str, value: Any) -> Any:
        """Asks, and gives the JSON of the answer; no redirect is followed, no proxy used."""
        body = None if value is None else json.dumps(value).encode()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            status, answer = self._send(method, path, body, headers)
        except TimeoutError as error:
            raise RemoteFailed(
                f"{self.url} did not answer within {self.timeout:g} seconds"
            ) from error
        except (OSError, HTTPException) as error:
            raise RemoteFailed(f"{self.url} is not reached: {error}") from error
        try:
            said = json.loads(answer)
        except ValueError as error:
            raise RemoteFailed(
                f"{self.url} answers {status} with what is no JSON: {answer[:120]!r}"
            ) from error
        if status != 200:
            raise self._refusal(status, said)
        return said

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        deadline = time.monotonic() + self.timeout
        secure, host, port, prefix = self._parts
        kind = HTTPSConnection if secure else HTTPConnection
        connection = kind(host, port, timeout=self.timeout)
        try:
            connection.request(method, prefix + path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, self._read(answer, deadline)
        finally:
            connection.close()

    def _read(self, answer: HTTPResponse, deadline: float) -> bytes:
        """Reads; a socket's own timeout starts anew with every byte that trickles in."""
        chunks, length = [], 0
        while chunk := answer.read1(1 << 20):
            chunks.append(chunk)
            length += len(chunk)
            if length > self.largest:
                raise RemoteFailed(f"{self.url} answers with more than {self.largest:,} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError
        return b"".join(chunks)

    def _refusal(self, status: int, said: Any) -> ChronosimError:
        """The error that the other end names, if it is one of ours."""
        name, message = "", ""
        if isinstance(said, dict):
            name, message = str(said.get("error", "")), str(said.get("message", ""))
        kind = getattr(errors, name, None) if name in errors.__all__ else None
        if status == 422 and isinstance(kind, type) and issubclass(kind, ChronosimError):
            return kind(message)
        return RemoteFailed(f"{self.url} answers {status}: {message[:300] or repr(said)[:300]}")


def _split(url: str, token_variable: str | None) -> tuple[bool, str, int | None, str]:
    """Whether it is https, the host, the port, and what comes before the paths."""
    check_address(url, "a world model", "token", token_variable, "a tunnel to localhost")
    parts = urlsplit(url)
    assert parts.hostname is not None  # checked
    return parts.scheme == "https", parts.hostname, parts.port, parts.path


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
