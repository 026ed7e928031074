"""A conversation of one question with an OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp ..."""

from __future__ import annotations

import base64
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from chronosim.errors import InvalidConfig
from chronosim.frames import encode_png
from chronosim.models.serving.http import Refused, check_address, is_printable_word, post_json
from chronosim.settings.typed import Fields
from chronosim.types import Frame

__all__ = ["Chat", "ChatSettings", "Refused", "frame_part", "text_part"]

_log = logging.getLogger(__name__)
# The same words for the same question, as far as the service can promise it; 512 new tokens as
# nv-tlabs/ChronoEdit, prompt_enhancer.py.
_OPTIONS: Mapping[str, Any] = {"max_tokens": 512, "temperature": 0, "seed": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """How an endpoint is asked.

    Attributes:
        key_variable: The environment variable that holds the API key; None: no key is sent. The key
            is never logged and is no part of the identity.
        timeout: Seconds to wait for an answer to begin, and then for the whole of it, > 0.
        retries: How often a request is made again, after a pause of 1, 2, 4 ... seconds, when the
            service is not reached, is late, or answers 429 or 5xx; each is logged as a warning.
        options: What else a request says, instead of `max_tokens` 512, `temperature` 0, `seed` 0.
    """

    key_variable: str | None = None
    timeout: float = 60.0
    retries: int = 0
    options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise InvalidConfig(f"timeout must be a number of seconds above 0, not {self.timeout}")
        if self.retries < 0:
            raise InvalidConfig(f"retries must be at least 0, not {self.retries}")


class Chat:
    """Asks a chat-completions endpoint; several threads may ask at once.

    Args:
        role: What the endpoint is to us, such as "enhancer": for the log.
        url: The endpoint's base, such as "http://localhost:8000/v1".
        model: The model's name there.
        **settings: Fields of `ChatSettings`.

    Raises:
        InvalidConfig: A URL that is none or holds a password, a key that is not there or would
            travel in the clear, or a number out of its range.
    """

    def __init__(
        self,
        role: str,
        url: str,
        model: str,
        **settings: Annotated[Any, Fields((ChatSettings,))],
    ) -> None:
        asked = ChatSettings(**{name: v for name, v in settings.items() if v is not None})
        check_address(url, "an endpoint", "key", asked.key_variable, "no key")
        self.url = url.rstrip("/")
        self.model = model
        self.timeout, self.retries = asked.timeout, asked.retries
        self.options = dict(_OPTIONS if asked.options is None else asked.options)
        self._role = role
        self._key_variable = asked.key_variable
        _read_key(self._key_variable)  # better now than after an hour

    @property
    def identity(self) -> Mapping[str, Any]:
        """Where the model is, its name there, and how it is asked; never the key."""
        return {"name": self.model, "url": self.url, "options": self.options}

    @property
    def place(self) -> str:
        """Who is asked, for a sentence: the role and the address."""
        return f"the {self._role} at {self.url}/chat/completions"

    def ask(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Gives the reply to a conversation.

        Args:
            messages: Each with its `role` and `content`, as the protocol has them.

        Raises:
            Refused: The service is not reached, is late, refuses, or breaks the protocol.
        """
        request = {"model": self.model, "messages": list(messages), **self.options}
        for attempt in range(self.retries + 1):
            key = _read_key(self._key_variable)
            try:
                return _read(
                    post_json(
                        f"{self.url}/chat/completions", request, key=key, timeout=self.timeout
                    )
                )
            except Refused as error:
                if not error.passing or attempt == self.retries:
                    raise
                _log.warning("%s %s; asking again", self.place, error)
            time.sleep(2.0**attempt)
        raise AssertionError("the last attempt returns or raises")


def text_part(text: str) -> dict[str, Any]:
    """Gives words as a part of a message's content."""
    return {"type": "text", "text": text}


def frame_part(frame: Frame) -> dict[str, Any]:
    """Gives a frame as a part of a message's content, as PNG."""
    data = base64.b64encode(encode_png(frame)).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _read_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InvalidConfig(f"the environment variable {variable}, for the API key, is not set")
    if not is_printable_word(key):
        # Said here, without the key: the HTTP client would show it in its own error.
        raise InvalidConfig(f"the API key in {variable} holds spaces or strange characters")
    return key


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
