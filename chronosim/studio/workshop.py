"""The thread in which models load and predict, the loaded models, and the jobs of sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from omegaconf import DictConfig, OmegaConf

from chronosim.errors import Cancelled, ChronosimError, InvalidConfig
from chronosim.progress import after_each_denoising_step
from chronosim.protocols import WorldModel
from chronosim.settings.parts import make_part
from chronosim.settings.typed import Part

_LOG = logging.getLogger(__name__)


class Workshop:
    """Does jobs one after the other, in the order they were asked for.

    A job goes on after its page was closed; its session keeps the result.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="studio-model")
        self._running: Job | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def progress(self, done: int, total: int) -> None:
        """Notes the progress of the running job; models call it, and stop here if it is to stop."""
        if self._running is not None:
            self._running.done, self._running.total = done, total
            self._running.check()

    def start(self, job: Job, work: Callable[[], Any]) -> None:
        """Queues a job; to be called in the event loop.

        Args:
            job: Its state is kept up to date; `finished` is set at the end, whatever happens.
            work: Called in the workshop's thread.
        """
        task = asyncio.get_running_loop().create_task(self._do(job, work))
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    def prepare(self, work: Callable[[], Any]) -> None:
        """Does something before the first job; an error shows once a session asks for the same."""
        self._thread.submit(work)

    def close(self) -> None:
        """Takes no more jobs; the running one ends."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _do(self, job: Job, work: Callable[[], Any]) -> None:
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._thread, self._begin, job, work)
            job.result = job.result if result is None else result
        except Exception as error:
            job.problem = sentence(error, f"{job.doing} failed")
            if not isinstance(error, ChronosimError):
                _LOG.error("%s failed", job.doing, exc_info=error)
        finally:
            job.finished.set()

    def _begin(self, job: Job, work: Callable[[], Any]) -> Any:
        job.waiting, self._running = False, job
        try:
            job.check()
            with after_each_denoising_step(self.progress):
                return work()
        finally:
            self._running = None


def sentence(error: Exception, what: str) -> str:
    """Says in one sentence what went wrong, to people who see no terminal.

    Args:
        error: The exception.
        what: What failed.
    """
    if isinstance(error, ChronosimError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return (
        f"{what}: {first or 'no reason given'} ({type(error).__name__}). Nothing that was there is "
        "lost; the studio's terminal says where it happened"
    )


DenoisingProgress = Callable[[int, int], None]
"""Called with the denoising steps done and those of the whole call."""


class Models:
    """Loads models and keeps them; to be used by one thread.

    A model that a session uses stays in memory however many are kept, and is never loaded twice.

    Args:
        progress: Told the progress of a running prediction.
        most: How many unused models stay loaded; the one unused for longest goes first.
    """

    def __init__(self, progress: DenoisingProgress, *, most: int = 2) -> None:
        self._progress = progress
        self._most = most
        self._loaded: dict[str, WorldModel] = {}
        self._alive: WeakValueDictionary[str, WorldModel] = WeakValueDictionary()
        # A session that set the sampler has an engine of its own, of the weights of another.
        self._weights: WeakKeyDictionary[WorldModel, WorldModel] = WeakKeyDictionary()

    def load(self, config: DictConfig, sampling: Mapping[str, Any]) -> WorldModel:
        """Gives a model.

        Args:
            config: Settings with a part `model`.
            sampling: Fields of `Sampling` to change; the weights are shared.

        Raises:
            InvalidConfig: The model has no such setting.
            ChronosimError: The model cannot be made.
        """
        key = OmegaConf.to_yaml(config.model)
        known = self._loaded.pop(key, None)
        model = self._alive.get(key) if known is None else known
        while len(self._loaded) >= self._most:
            self._loaded.pop(next(iter(self._loaded)))  # before the next one needs its memory
        if model is None:
            model = make_part(config, "model", **self._told(config))
        self._loaded[key] = model
        with suppress(TypeError):  # a class of __slots__ alone; such a model is loaded anew
            self._alive[key] = model
        if not sampling:
            return model
        resampled = _resampled(model, sampling)
        self._weights[resampled] = model
        return resampled

    def _told(self, config: DictConfig) -> dict[str, Any]:
        """The progress callback, for models that take one."""
        takes = Part("model", config).accepts("progress")
        return {"progress": self._progress} if takes else {}


def _resampled(model: WorldModel, sampling: Mapping[str, Any]) -> WorldModel:
    from dataclasses import fields, replace

    from chronosim.models.engine.chronoedit import ChronoEdit  # torch: not every model needs it
    from chronosim.models.engine.sampling import Sampling

    if not isinstance(model, ChronoEdit):
        raise InvalidConfig(
            f"the model {model.identity['name']} has no sampler that the studio can set: "
            "leave its settings as they are"
        )
    known = {field.name for field in fields(Sampling)}
    for name in sampling:
        if name not in known:
            raise InvalidConfig(f"a sampler has no setting {name!r}")
    return model.resampled(replace(model.sampling, **sampling))


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work that a session asked for.

    Attributes:
        doing: What it is, for people.
        waiting: Whether it waits for other jobs.
        done: Denoising steps done.
        total: Denoising steps of the running call of the model; 0: unknown.
        began: When it was asked for, on the monotonic clock.
        problem: What went wrong, in one sentence; None if nothing did.
        result: Its result, in JSON values.
        stopped: Whether somebody wants it no more: it ends after the denoising step that runs.
        finished: Set at the end.
    """

    doing: str
    waiting: bool = True
    done: int = 0
    total: int = 0
    began: float = field(default_factory=monotonic)
    problem: str | None = None
    result: Any = None
    stopped: bool = False
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def check(self) -> None:
        """Ends the job here if it was stopped.

        Raises:
            Cancelled: It was.
        """
        if self.stopped:
            raise Cancelled(f"stopped: {self.doing}; what was imagined before stays")

    async def ended_within(self, seconds: float) -> bool:
        """Waits up to so many seconds for its end; tells whether it came."""
        try:
            await asyncio.wait_for(self.finished.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def progress(self) -> dict[str, Any]:
        """Gives its progress, in JSON values."""
        return {
            "doing": self.doing,
            "waiting": self.waiting,
            "done": self.done,
            "total": self.total,
            "seconds": round(monotonic() - self.began, 1),
        }
