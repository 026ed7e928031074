"""Work in progress for a session: how far it is, and how it ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

__all__ = ["Job"]


@dataclass(slots=True, eq=False)
class Job:
    """One thing that a session asked for.

    Attributes:
        doing: What it is, for people.
        waiting: Whether others are served first.
        done: Denoising steps done.
        total: Denoising steps of the call of the model that is running; 0: not known.
        began: When it was asked for, on the monotonic clock.
        problem: What went wrong, in one sentence; None if nothing did.
        result: What came of it, in JSON values.
        finished: Set at the end.
    """

    doing: str
    waiting: bool = True
    done: int = 0
    total: int = 0
    began: float = field(default_factory=monotonic)
    problem: str | None = None
    result: Any = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def ended_within(self, seconds: float) -> bool:
        """Waits so long for its end; tells whether it came."""
        try:
            await asyncio.wait_for(self.finished.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def progress(self) -> dict[str, Any]:
        """Gives how far it is, in JSON values."""
        return {
            "doing": self.doing,
            "waiting": self.waiting,
            "done": self.done,
            "total": self.total,
            "seconds": round(monotonic() - self.began, 1),
        }
