"""A writer behind an OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, or a paid service."""

from __future__ import annotations

import base64
import io
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from chronosim.errors import EnhancementFailed, InvalidConfig
from chronosim.models.enhancement.http import Refused, post_json
from chronosim.types import EditPrompt, Frame

__all__ = ["EndpointWriter"]

_log = logging.getLogger(__name__)
_LOCAL = ("localhost", "127.0.0.1", "::1")
# The same words for the same edit, as far as the service can promise it; 512 new tokens as
# nv-tlabs/ChronoEdit, prompt_enhancer.py.
_OPTIONS: Mapping[str, Any] = {"max_tokens": 512, "temperature": 0, "seed": 0}


class EndpointWriter:
    """Asks a chat-completions endpoint, one request per prompt, several at once.

    Args:
        url: The endpoint's base, such as "http://localhost:8000/v1".
        model: The model's name there.
        key_variable: The environment variable that holds the API key; None: no key is sent. The key
            is never logged and is no part of the identity.
        timeout: Seconds to wait for an answer to begin, and then for the whole of it, > 0.
        retries: How often a request is made again, after a pause of 1, 2, 4 ... seconds, when the
            service is not reached, is late, or answers 429 or 5xx; each is logged as a warning.
        concurrency: Requests under way at once, >= 1.
        options: What else a request says, instead of `max_tokens` 512, `temperature` 0, `seed` 0.

    Raises:
        InvalidConfig: A URL that is none or holds a password, a key that is not there or would
            travel in the clear, or a number out of its range.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_variable: str | None = None,
        timeout: float = 60.0,
        retries: int = 0,
        concurrency: int = 8,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if not (math.isfinite(timeout) and timeout > 0):
            raise InvalidConfig(f"timeout must be a number of seconds above 0, not {timeout}")
        if retries < 0 or concurrency < 1:
            raise InvalidConfig(
                "retries must be at least 0 and concurrency at least 1, "
                f"not {retries} and {concurrency}"
            )
        _check_url(url, key_variable)
        self.url = url.rstrip("/")
        self.model = model
        self.timeout = timeout
        self.retries = retries
        self.concurrency = concurrency
        self.options = dict(_OPTIONS if options is None else options)
        self._key_variable = key_variable
        _read_key(key_variable)  # better now than after an hour

    @property
    def identity(self) -> Mapping[str, Any]:
        """Where the model is, its name there, and how it is asked; never the key."""
        return {"name": self.model, "url": self.url, "options": self.options}

    def write(self, instructions: str, prompts: Sequence[EditPrompt]) -> list[str]:
        """Replies to each prompt.

        Raises:
            EnhancementFailed: The service is not reached, is late, refuses, or breaks the protocol.
        """
        with ThreadPoolExecutor(max_workers=self.concurrency) as pool:
            return list(pool.map(lambda prompt: self._ask(instructions, prompt), prompts))

    def _ask(self, instructions: str, prompt: EditPrompt, attempt: int = 0) -> str:
        request = {"model": self.model, "messages": _messages(instructions, prompt), **self.options}
        address, key = f"{self.url}/chat/completions", _read_key(self._key_variable)
        try:
            return _read(post_json(address, request, key=key, timeout=self.timeout))
        except Refused as error:
            if not error.passing or attempt == self.retries:
                raise EnhancementFailed(f"the enhancer at {address} {error}") from error
            _log.warning("the enhancer at %s %s; asking again", address, error)
        time.sleep(2.0**attempt)
        return self._ask(instructions, prompt, attempt + 1)


def _check_url(url: str, key_variable: str | None) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidConfig(
            f"the url of an endpoint begins with http:// or https:// and a host, not {url!r}"
        )
    if parts.username or parts.password or parts.query:
        raise InvalidConfig(
            "the url of an endpoint is logged and must hold no password, key or query: "
            "name the environment variable of the key by key_variable"
        )
    if key_variable and parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise InvalidConfig(
            f"the key in {key_variable} would travel to {parts.hostname} in the clear: "
            "use https, or no key"
        )


def _read_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InvalidConfig(f"the environment variable {variable}, for the API key, is not set")
    if not key.isascii() or not key.isprintable() or " " in key:
        # Said here, without the key: the HTTP client would show it in its own error.
        raise InvalidConfig(f"the API key in {variable} holds spaces or strange characters")
    return key


def _messages(instructions: str, prompt: EditPrompt) -> list[dict[str, Any]]:
    seen = {"type": "image_url", "image_url": {"url": _data_url(prompt.frame)}}
    asked = {"type": "text", "text": f"The edit: {prompt.text}"}
    return [
        {"role": "system", "content": instructions},
        {"role": "user", "content": [seen, asked]},
    ]


def _data_url(frame: Frame) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _read(answer: Any) -> str:
    """The reply in a chat completion.

    Raises:
        Refused: The answer is none, or the model did not finish, or refused.
    """
    try:
        [choice, *_] = answer["choices"]
        message, reason = choice["message"], choice.get("finish_reason")
        refusal, content = message.get("refusal"), message["content"]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise Refused(f"does not speak the chat-completions protocol: {answer!r:.200}") from error
    if refusal:
        raise Refused(f"refuses: {refusal!r:.200}")
    if reason in ("length", "content_filter"):
        raise Refused(f"did not finish its reply ({reason}): {content!r:.200}")
    if not isinstance(content, str):
        raise Refused(f"does not speak the chat-completions protocol: {answer!r:.200}")
    return content
