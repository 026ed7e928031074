"""One model for many callers: what waits shares a call, and nobody answers for anybody else."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from chronosim.errors import Cancelled, InvalidConfig, InvalidModel, InvalidPrompt, ModelBusy
from chronosim.models.batching import Batched
from chronosim.progress import after_each_denoising_step, denoised
from chronosim.testing import EchoModel, check_world_model
from chronosim.types import EditPrompt, Prediction


def prompt(text: str = "", size: int = 4) -> EditPrompt:
    return EditPrompt(np.zeros((size, size, 3), np.uint8), text, 0)


class Gated:
    """Answers when it may, with a frame as bright as the words are long; cannot read "bad"."""

    identity: Any = {"name": "gated"}  # noqa: RUF012

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.called, self.may = threading.Event(), threading.Event()

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        self.calls.append([prompt.text for prompt in prompts])
        self.called.set()
        assert self.may.wait(60)
        if any(prompt.text == "bad" for prompt in prompts):
            raise InvalidPrompt("'bad' is no word")
        return [Prediction(p.frame[None] + len(p.text)) for p in prompts]


@contextmanager
def busy(**limits: Any) -> Iterator[tuple[Gated, Batched]]:
    """A model that is in the middle of a call of the prompt "first"."""
    model = Gated()
    batched = Batched(model, **limits)
    try:
        first = batched.submit([prompt("first")])
        assert model.called.wait(60)
        yield model, batched
        assert first.result(60)[0].frame.max() == 5
    finally:
        model.may.set()
        batched.close()


def test_what_waits_shares_a_call() -> None:
    with busy() as (model, batched):
        asked = [batched.submit([prompt("a" * n, size=n + 3)]) for n in (1, 2, 3)]
        assert batched.waiting == 3
        model.may.set()
        for n, answer in enumerate(asked, 1):
            [prediction] = answer.result(60)
            assert prediction.frame.shape == (n + 3, n + 3, 3)
            assert prediction.frame.max() == n
    assert model.calls == [["first"], ["a", "aa", "aaa"]]


def test_a_call_takes_no_more_than_it_may() -> None:
    with busy(most_prompts=3) as (model, batched):
        sizes = (2, 2, 5, 1)
        asked = [batched.submit([prompt(str(n))] * n) for n in sizes]
        model.may.set()
        assert [len(answer.result(60)) for answer in asked] == list(sizes)
    assert [len(call) for call in model.calls[1:]] == [2, 2, 5, 1], "five come at once: alone"


def test_a_bad_prompt_is_its_callers_error_alone() -> None:
    with busy() as (model, batched):
        asked = [batched.submit([prompt(text)]) for text in ("a", "bad", "b")]
        model.may.set()
        assert [len(asked[n].result(60)) for n in (0, 2)] == [1, 1]
        with pytest.raises(InvalidPrompt):
            asked[1].result(60)
    assert model.calls[1:] == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]


def test_what_nobody_waits_for_is_not_predicted() -> None:
    with busy() as (model, batched):
        left, kept = batched.submit([prompt("left")]), batched.submit([prompt("kept")])
        assert left.cancel()
        assert batched.waiting == 1
        model.may.set()
        kept.result(60)
    assert model.calls[1:] == [["kept"]]


def test_a_full_queue_refuses() -> None:
    with busy(most_waiting=2) as (model, batched):
        kept = batched.submit([prompt(), prompt()])
        with pytest.raises(ModelBusy, match="2 prompts are waiting for the model, of 2 at most"):
            batched.submit([prompt()])
        model.may.set()
        assert len(kept.result(60)) == 2
        assert len(batched.predict([prompt()] * 5)) == 5, "where nothing waits there is room"


def test_the_end_answers_what_runs_and_refuses_what_waits() -> None:
    with busy() as (model, batched):
        waiting = batched.submit([prompt("late")])
        batched.refuse()
        with pytest.raises(ModelBusy, match="closed before its turn"):
            waiting.result(60)
        with pytest.raises(ModelBusy, match="is being closed"):
            batched.submit([prompt()])
        model.may.set()
    assert model.calls == [["first"]]


def test_it_is_a_world_model() -> None:
    batched = Batched(EchoModel())
    assert batched.identity == EchoModel().identity
    check_world_model(batched, [prompt("a"), prompt("b", size=6)])
    batched.close()


def test_a_model_that_loses_an_answer_is_told() -> None:
    class Forgetful(EchoModel):
        def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
            return EchoModel().predict(prompts)[1:]

    batched = Batched(Forgetful())
    with pytest.raises(InvalidModel, match="1 predictions for 2"):
        batched.predict([prompt(), prompt()])
    batched.close()


@pytest.mark.parametrize("limit", ["most_prompts", "most_waiting"])
def test_a_limit_below_one_is_refused(limit: str) -> None:
    with pytest.raises(InvalidConfig, match=f"{limit} must be 1 or more, not 0"):
        Batched(EchoModel(), **{limit: 0})  # type: ignore[arg-type]


class Stepping:
    """Takes denoising steps until it is told to stop."""

    identity: Any = {"name": "stepping"}  # noqa: RUF012

    def __init__(self) -> None:
        self.called, self.ended = threading.Event(), threading.Event()

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        if any(prompt.text == "short" for prompt in prompts):
            return [Prediction(prompt.frame[None]) for prompt in prompts]
        try:
            for step in range(1, 6_000):
                self.called.set()
                denoised(step, 6_000)
                time.sleep(0.01)
        finally:
            self.ended.set()
        raise AssertionError("nobody ended it")


def test_a_call_that_nobody_waits_for_any_more_ends_between_two_steps() -> None:
    model = Stepping()
    batched = Batched(model)
    try:
        first = batched.submit([prompt()])
        assert model.called.wait(60)
        batched.leave(first)
        with pytest.raises(Cancelled, match="nobody waits for this prediction"):
            first.result(60)
        assert len(batched.predict([prompt("short")])) == 1
    finally:
        batched.close()


def test_a_caller_may_end_its_own_waiting() -> None:
    model = Stepping()
    batched = Batched(model)

    def stop(done: int, total: int) -> None:
        if model.called.is_set():
            raise Cancelled("enough")

    try:
        with pytest.raises(Cancelled, match="enough"), after_each_denoising_step(stop):
            batched.predict([prompt()])
        assert model.ended.wait(60)
    finally:
        batched.close()
