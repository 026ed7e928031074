"""A writer behind an OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, or a paid service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chronosim.errors import EnhancementFailed, InvalidConfig
from chronosim.models.serving.chat import Chat, Refused, frame_part, text_part
from chronosim.types import EditPrompt

__all__ = ["EndpointWriter"]


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
        if concurrency < 1:
            raise InvalidConfig(f"concurrency must be at least 1, not {concurrency}")
        self.concurrency = concurrency
        self._chat = Chat(
            "enhancer",
            url,
            model,
            key_variable=key_variable,
            timeout=timeout,
            retries=retries,
            options=options,
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """Where the model is, its name there, and how it is asked; never the key."""
        return self._chat.identity

    def write(self, instructions: str, prompts: Sequence[EditPrompt]) -> list[str]:
        """Replies to each prompt.

        Raises:
            EnhancementFailed: The service is not reached, is late, refuses, or breaks the protocol.
        """
        with ThreadPoolExecutor(max_workers=self.concurrency) as pool:
            return list(pool.map(lambda prompt: self._ask(instructions, prompt), prompts))

    def _ask(self, instructions: str, prompt: EditPrompt) -> str:
        try:
            return self._chat.ask(_messages(instructions, prompt))
        except Refused as error:
            raise EnhancementFailed(f"{self._chat.place} {error}") from error


def _messages(instructions: str, prompt: EditPrompt) -> list[dict[str, Any]]:
    asked = [frame_part(prompt.frame), text_part(f"The edit: {prompt.text}")]
    return [
        {"role": "system", "content": instructions},
        {"role": "user", "content": asked},
    ]
