"""A writer behind an OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, or a paid service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from chronosim.errors import EnhancementFailed, InvalidConfig
from chronosim.models.enhancement.enhanced import cap_frame
from chronosim.models.serving.chat import Chat, ChatSettings, Refused, frame_part, text_part
from chronosim.settings.typed import Fields
from chronosim.types import EditPrompt


class EndpointWriter:
    """Asks a chat-completions endpoint, one request per prompt, several at once.

    Args:
        url: The endpoint's base, such as "http://localhost:8000/v1".
        model: The model's name there.
        concurrency: Requests under way at once, >= 1.
        **settings: Fields of `ChatSettings`.

    Raises:
        InvalidConfig: A URL that is none or holds a password, a key that is not there or would
            travel in the clear, or a number out of its range.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        concurrency: int = 8,
        **settings: Annotated[Any, Fields((ChatSettings,))],
    ) -> None:
        if concurrency < 1:
            raise InvalidConfig(f"concurrency must be at least 1, not {concurrency}")
        self.concurrency = concurrency
        self._chat = Chat("enhancer", url, model, **settings)

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
    asked = [frame_part(cap_frame(prompt.frame)), text_part(f"The edit: {prompt.text}")]
    return [
        {"role": "system", "content": instructions},
        {"role": "user", "content": asked},
    ]
