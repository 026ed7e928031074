"""The one thread in which models load and predict, the models kept for it, and its jobs."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from chronosim.errors import ChronosimError, InvalidConfig
from chronosim.protocols import WorldModel
from chronosim.settings.compose import make_part

__all__ = ["Job", "Models", "Progress", "Workshop", "sentence"]

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


Progress = Callable[[int, int], None]
"""Called with the denoising steps done and all of the call's."""


class Models:
    """Loads models and keeps them; to be used by one thread.

    A model that a session still uses stays in memory however many are kept here, and is never
    loaded a second time beside itself.

    Args:
        progress: Told how far the prediction that is running has come.
        most: How many stay loaded though no session uses them; the one unused for longest goes
            first.
    """

    def __init__(self, progress: Progress, *, most: int = 2) -> None:
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
            sampling: Fields of `Sampling` to set otherwise; the weights are shared.

        Raises:
            InvalidConfig: A setting that this model does not have.
            ChronosimError: Whatever the model's own making raises.
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
        """What lets a model tell how far it is, for those that do."""
        target = get_object(str(config.model.get("_target_")))
        known = inspect.signature(target).parameters
        return {"progress": self._progress} if "progress" in known else {}


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
