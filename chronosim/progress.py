"""Who is told how far a long computation has come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TypeVar

__all__ = ["after_each_denoising_step"]

Progress = Callable[[str, int, int], object]
"""Called with what is being done, how many of it are done, and how many there are to be."""

DenoisingStep = Callable[[int, int], object]
"""Called with the denoising steps done and those of the whole call of a model."""

_LISTENER: ContextVar[Progress | None] = ContextVar("listener", default=None)
_DENOISING: ContextVar[DenoisingStep | None] = ContextVar("denoising", default=None)
_Value = TypeVar("_Value")


@contextmanager
def listening(progress: Progress | None) -> Iterator[None]:
    """Tells `progress` of what is done within; None: whoever listens already."""
    if progress is None:
        yield
        return
    token = _LISTENER.set(progress)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(what: str, done: int, total: int) -> None:
    """Tells whoever listens how far something has come."""
    if (listener := _LISTENER.get()) is not None:
        listener(what, done, total)


def watch(values: Iterable[_Value], what: str, total: int) -> Iterator[_Value]:
    """Passes values on, and tells how many of them have been dealt with."""
    tell(what, 0, total)
    for done, value in enumerate(values, 1):
        yield value
        tell(what, done, total)


def teller(what: str, total: int) -> Callable[[], object]:
    """Gives what is to be called after each of `total` things."""
    numbers = count(1)
    return lambda: tell(what, next(numbers), total)


@contextmanager
def after_each_denoising_step(call: DenoisingStep) -> Iterator[None]:
    """Has `call` called after each denoising step of whatever a model predicts within, here.

    It may raise `chronosim.errors.Cancelled`, which ends the prediction and nothing else: the model
    stays as it was. A model behind a URL is waited for with (0, 0), and stops too if cancelled.
    What runs in other threads is not heard of.
    """
    token = _DENOISING.set(call)
    try:
        yield
    finally:
        _DENOISING.reset(token)


def denoised(done: int, total: int) -> None:
    """Tells that a denoising step was done; models call it."""
    if (call := _DENOISING.get()) is not None:
        call(done, total)


def wait_for(answer: Future[_Value]) -> _Value:
    """Waits for what others predict; whoever is called after denoising steps may end the wait.

    They are called with (0, 0), ten times a second.

    Raises:
        Exception: As the answer's, or a callback's; then the answer is cancelled, if it may be.
    """
    try:
        while _DENOISING.get() is not None and not answer.done():
            denoised(0, 0)
            wait([answer], 0.1)
        return answer.result()
    except BaseException:
        answer.cancel()
        raise
