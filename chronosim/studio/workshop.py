"""The one thread in which models load and predict: they are never asked two things at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chronosim.errors import ChronosimError
from chronosim.studio.job import Job

__all__ = ["Workshop", "sentence"]

_LOG = logging.getLogger(__name__)


class Workshop:
    """Does jobs one after the other, in the order they were asked for.

    A job goes on when the page that asked for it is closed: its session has the result.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="studio-model")
        self._running: Job | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def progress(self, done: int, total: int) -> None:
        """Takes note of how far the job that is running has come; models call it."""
        if self._running is not None:
            self._running.done, self._running.total = done, total

    def start(self, job: Job, work: Callable[[], Any]) -> None:
        """Does a job as soon as those before it are done; to be called in the event loop.

        Args:
            job: Is kept up to date; its `finished` is set at the end, whatever happens.
            work: What is to be done, in the workshop's thread.
        """
        task = asyncio.get_running_loop().create_task(self._do(job, work))
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    def prepare(self, work: Callable[[], Any]) -> None:
        """Does something ahead of the first job; should it fail, whoever asks for it will hear."""
        self._thread.submit(work)

    def close(self) -> None:
        """Takes no more jobs; the one that is running ends."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _do(self, job: Job, work: Callable[[], Any]) -> None:
        loop = asyncio.get_running_loop()
        try:
            job.result = await loop.run_in_executor(self._thread, self._begin, job, work)
        except Exception as error:
            job.problem = sentence(error, f"{job.doing} failed")
            if not isinstance(error, ChronosimError):
                _LOG.error("%s failed", job.doing, exc_info=error)
        finally:
            job.finished.set()

    def _begin(self, job: Job, work: Callable[[], Any]) -> Any:
        job.waiting, self._running = False, job
        try:
            return work()
        finally:
            self._running = None


def sentence(error: Exception, what: str) -> str:
    """Says in one sentence what went wrong, to people who see no terminal.

    Args:
        error: What was raised.
        what: What it put an end to.
    """
    if isinstance(error, ChronosimError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return (
        f"{what}: {first or 'no reason given'} ({type(error).__name__}). Nothing that was there is "
        "lost; the studio's terminal says where it happened"
    )
