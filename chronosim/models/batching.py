"""One world model for many callers: what waits is predicted in one call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from chronosim.errors import Cancelled, InvalidConfig, ModelBusy
from chronosim.progress import after_each_denoising_step, wait_for
from chronosim.protocols import WorldModel, ask
from chronosim.types import EditPrompt, Prediction


@dataclass(slots=True, eq=False)
class _Request:
    """What one caller asked for, the promise of its answer, and whether nobody waits for it."""

    prompts: Sequence[EditPrompt]
    answer: Future[list[Prediction]] = field(default_factory=Future)
    left: bool = False


class Batched:
    """Answers callers from any number of threads by calls of one model, made in one thread.

    A call takes whatever is waiting, first come, first served; a lone caller never waits for
    others. Where a call fails, its callers are asked for one by one, so that the prompt of one is
    the error of nobody else.

    Args:
        model: The world model. Nothing else may call it meanwhile.
        most_prompts: Prompts in a call, >= 1; a caller with more than that gets a call alone.
        most_waiting: Prompts that may wait, >= 1; 0 are waiting while the model is idle.
        watch: Called after each call of the model, with its number of prompts and its seconds.

    Raises:
        InvalidConfig: A limit is below 1.
    """

    def __init__(
        self,
        model: WorldModel,
        *,
        most_prompts: int = 64,
        most_waiting: int = 256,
        watch: Callable[[int, float], None] | None = None,
    ) -> None:
        for name, limit in (("most_prompts", most_prompts), ("most_waiting", most_waiting)):
            if limit < 1:
                raise InvalidConfig(f"{name} must be 1 or more, not {limit}")
        self._model, self._watch = model, watch
        self._most_prompts, self._most_waiting = most_prompts, most_waiting
        self._queue: deque[_Request] = deque()
        self._running: Sequence[_Request] = ()
        self._lock, self._closed = threading.Lock(), False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predicting")

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's."""
        return self._model.identity

    @property
    def waiting(self) -> int:
        """Prompts that wait, those that somebody gave up not counted."""
        with self._lock:
            return self._count()

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt, in a call with whatever else is waiting.

        Raises:
            ModelBusy: Too much is waiting, or the model was closed.
            Exception: As the model raises for these prompts.
        """
        answer = self.submit(prompts)
        try:
            return wait_for(answer)
        finally:
            self.leave(answer)

    def submit(self, prompts: Sequence[EditPrompt]) -> Future[list[Prediction]]:
        """Asks, and gives the promise of an answer; one that is cancelled in time costs nothing.

        Raises:
            ModelBusy: Too much is waiting, or the model was closed.
        """
        request = _Request(tuple(prompts))
        with self._lock:
            if self._closed:
                raise ModelBusy("the model takes no more prompts: it is being closed")
            if (waiting := self._count()) + len(request.prompts) > self._most_waiting and waiting:
                raise ModelBusy(
                    f"{waiting} prompts are waiting for the model, of {self._most_waiting} at "
                    "most: ask again later"
                )
            self._queue.append(request)
            self._thread.submit(self._answer_some)
        return request.answer

    def leave(self, answer: Future[list[Prediction]]) -> None:
        """Notes that nobody waits for an answer: a call that is for nobody ends between two steps.

        Args:
            answer: A promise that `submit` gave; one that is kept already changes nothing.
        """
        with self._lock:
            for request in (*self._queue, *self._running):
                request.left = request.left or request.answer is answer
        answer.cancel()

    def refuse(self) -> None:
        """Refuses what waits and whatever comes; the call that runs goes on."""
        with self._lock:
            self._closed, left = True, list(self._queue)
            self._queue.clear()
        for request in left:
            if request.answer.set_running_or_notify_cancel():
                request.answer.set_exception(ModelBusy("the model was closed before its turn"))

    def close(self) -> None:
        """Refuses what waits, and returns when the call that runs is answered."""
        self.refuse()
        self._thread.shutdown()

    def _count(self) -> int:
        return sum(len(request.prompts) for request in self._queue if not request.answer.done())

    def _answer_some(self) -> None:
        """Answers what is waiting, up to a call's size; nothing where an earlier call took it."""
        if requests := self._take():
            self._answer(requests)

    def _check_wanted(self, done: int, total: int) -> None:
        if all(request.left for request in self._running):
            raise Cancelled(f"nobody waits for this prediction, {done} of {total} steps in")

    def _take(self) -> list[_Request]:
        taken: list[_Request] = []
        room = self._most_prompts
        with self._lock:
            while self._queue and (not taken or len(self._queue[0].prompts) <= room):
                request = self._queue.popleft()
                if request.answer.set_running_or_notify_cancel():
                    taken.append(request)
                    room -= len(request.prompts)
        return taken

    def _answer(self, requests: Sequence[_Request]) -> None:
        prompts = [prompt for request in requests for prompt in request.prompts]
        began, self._running = perf_counter(), requests
        try:
            with after_each_denoising_step(self._check_wanted):
                predictions = iter(ask(self._model, prompts))
            answers = [[next(predictions) for _ in request.prompts] for request in requests]
        except BaseException as error:  # the thread goes on; the caller is told
            if len(requests) == 1 or isinstance(error, Cancelled):
                for request in requests:
                    request.answer.set_exception(error)
            else:
                for request in requests:
                    self._answer([request])
            return
        finally:
            self._running = ()
            if self._watch is not None:
                self._watch(len(prompts), perf_counter() - began)
        for request, answer in zip(requests, answers, strict=True):
            request.answer.set_result(answer)
