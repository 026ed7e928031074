"""The sessions of a studio: so many and no more, each known only to those who have its id."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from chronosim.errors import ChronosimError
from chronosim.studio.job import Job
from chronosim.studio.session import Session

__all__ = ["Desk", "NoRoom", "NoSession", "SessionBusy", "Sessions"]

_IDLE = 600.0  # seconds after which a session may make room for another


class NoSession(ChronosimError, LookupError):
    """Raised when a session is not, or no longer, kept."""


class NoRoom(ChronosimError, RuntimeError):
    """Raised when as many sessions are in use as a studio keeps."""


class SessionBusy(ChronosimError, RuntimeError):
    """Raised when a session is asked for something while it is still at something else."""


@dataclass(slots=True, eq=False)
class Desk:
    """A session's place in the studio.

    Attributes:
        key: Its id: whoever has it, has the session.
        session: None until its world is made.
        job: What it is at, or was last; None if nothing.
        used: When a page last asked for it.
    """

    key: str
    session: Session | None = None
    job: Job | None = None
    used: float = field(default_factory=monotonic)

    @property
    def busy(self) -> bool:
        """Whether it is at something."""
        return self.job is not None and not self.job.finished.is_set()

    def take(self, job: Job) -> None:
        """Puts a job on it.

        Raises:
            SessionBusy: It is at another.
        """
        if self.busy:
            assert self.job is not None
            raise SessionBusy(f"this session is still at something: {self.job.doing}")
        self.job = job

    def opened(self) -> Session:
        """Gives its session.

        Raises:
            NoSession: Its world could not be made, or is not made yet.
        """
        if self.session is None:
            raise NoSession("this session has no world yet: begin one")
        return self.session


class Sessions:
    """Keeps the sessions; to be used in the event loop.

    Args:
        most: How many are kept; beyond, the one unused for longest goes.
        clock: Seconds, for tests.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._most, self._clock = most, clock
        self._desks: dict[str, Desk] = {}

    def __len__(self) -> int:
        return len(self._desks)

    def new(self) -> Desk:
        """Makes room for a session.

        Raises:
            NoRoom: All are in use.
        """
        if len(self._desks) >= self._most:
            self._drop_idle()
        desk = Desk(secrets.token_urlsafe(18), used=self._clock())
        self._desks[desk.key] = desk
        return desk

    def leave(self, key: str) -> None:
        """Notes that a page has done with a session: it is the first to make room for others."""
        if key in self._desks:
            self._desks[key].used = -math.inf

    def get(self, key: str) -> Desk:
        """Gives a session's desk, and notes that it is in use.

        Raises:
            NoSession: There is none of that id.
        """
        desk = self._desks.get(key)
        if desk is None:
            raise NoSession(
                "the studio does not know this session: it was restarted, or made room for others; "
                "what was saved is in its folder, and can be opened"
            )
        desk.used = self._clock()
        return desk

    def drop(self, desk: Desk) -> None:
        """Forgets a session."""
        self._desks.pop(desk.key, None)

    def _drop_idle(self) -> None:
        waiting = [desk for desk in self._desks.values() if not desk.busy]
        oldest = min(waiting, key=lambda desk: desk.used, default=None)
        if oldest is None or self._clock() - oldest.used < _IDLE:
            raise NoRoom(
                f"all {self._most} sessions of this studio are in use: try again later, or start "
                "it with more (sessions=...)"
            )
        del self._desks[oldest.key]
