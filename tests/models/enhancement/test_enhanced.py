import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chronosim.envs.vector_env import ChronoVectorEnv
from chronosim.errors import EnhancementFailed, InvalidConfig
from chronosim.models.enhancement import FORMS, Enhanced, Form, Writer
from chronosim.models.enhancement.enhanced import cap_frame, load_enhanced
from chronosim.prompters.driving import Driving
from chronosim.scenarios.carracing import CarRacingScenario
from chronosim.testing import EchoModel, check_world_model
from chronosim.types import EditPrompt, Prediction


class PlainWriter:
    """Says what the form wants of the text and the frame, and keeps how it was asked."""

    identity: Mapping[str, Any] = {"name": "plain"}

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def write(self, instructions: str, prompts: Sequence[EditPrompt]) -> list[str]:
        self.calls.append((instructions, [prompt.text for prompt in prompts]))
        return [f"The user wants to {p.text} at {int(p.frame.sum())}." for p in prompts]


class Listener:
    """Answers with the frame, and keeps what it was asked."""

    identity: Mapping[str, Any] = {"name": "listener"}

    def __init__(self) -> None:
        self.asked: list[EditPrompt] = []

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        self.asked.extend(prompts)
        return [Prediction(prompt.frame[None]) for prompt in prompts]


@pytest.fixture
def prompts(kit: SimpleNamespace) -> list[EditPrompt]:
    return [kit.prompt(0, "go left"), kit.prompt(1, "go left"), kit.prompt(0, "stop")]


def test_contract(prompts: list[EditPrompt]) -> None:
    model = Enhanced(EchoModel(time=2), PlainWriter())
    check_world_model(model, prompts)
    assert isinstance(model.writer, Writer)


def test_the_model_is_asked_with_the_words_and_they_come_back(prompts: list[EditPrompt]) -> None:
    inner = Listener()
    predictions = Enhanced(inner, PlainWriter()).predict(prompts)
    asked = inner.asked
    assert [p.text for p in predictions] == [p.text for p in asked]
    assert [p.text.split(" at ")[0] for p in asked] == [
        "The user wants to go left",
        "The user wants to go left",
        "The user wants to stop",
    ]
    assert [p.seed for p in asked] == [p.seed for p in prompts]
    assert all(ours.frame is theirs.frame for ours, theirs in zip(asked, prompts, strict=True))


def test_one_call_for_all_and_each_wording_once(prompts: list[EditPrompt]) -> None:
    writer = PlainWriter()
    model = Enhanced(EchoModel(), writer)
    again = EditPrompt(prompts[0].frame.copy(), "go left", seed=7)
    first = model.predict([*prompts, again])
    assert writer.calls == [(FORMS["edit"].instructions, ["go left", "go left", "stop"])]
    second = model.predict([again, *prompts])
    assert len(writer.calls) == 1
    assert first[0].text == first[3].text == second[0].text != first[1].text


def test_what_is_kept_is_bounded(prompts: list[EditPrompt]) -> None:
    writer = PlainWriter()
    model = Enhanced(EchoModel(), writer, remembered=1)
    assert len(model.predict(prompts)) == 3
    model.predict(prompts[2:])
    assert len(writer.calls) == 1, "the last wording is kept"
    model.predict(prompts[:1])
    assert writer.calls[1][1] == ["go left"], "the first is not"


def test_no_prediction_without_a_wording(prompts: list[EditPrompt]) -> None:
    inner = Listener()
    strict = Form("strict", "Reword it.", "At once,")
    with pytest.raises(EnhancementFailed, match="must begin with 'At once,'"):
        Enhanced(inner, PlainWriter(), strict).predict(prompts)
    assert inner.asked == []


def test_the_words_are_in_the_info_of_a_vector_of_environments() -> None:
    writer = PlainWriter()
    model = Enhanced(EchoModel(), writer)
    env = ChronoVectorEnv(model, Driving(), CarRacingScenario(), num_envs=2)
    env.reset(seed=0)
    info = env.step(np.zeros((2, 3), np.float32))[4]
    assert [len(texts) for _, texts in writer.calls] == [2], "the vector is one call"
    assert all(text.startswith("The user wants to The car drives") for text in info["text"])


def test_the_identity_says_what_was_told(prompts: list[EditPrompt]) -> None:
    edit, over_time = (Enhanced(EchoModel(), PlainWriter(), form) for form in ("edit", "time"))
    assert json.dumps(edit.identity) != json.dumps(over_time.identity)
    assert edit.identity["model"] == EchoModel().identity
    assert edit.identity["writer"] == {"name": "plain"}
    assert deepcopy(edit) is edit


def test_bad_settings() -> None:
    with pytest.raises(InvalidConfig, match="no form 'edits': give one of edit, time"):
        Enhanced(EchoModel(), PlainWriter(), "edits")
    with pytest.raises(InvalidConfig, match="remembered must be at least 1, not 0"):
        Enhanced(EchoModel(), PlainWriter(), remembered=0)


def test_a_model_by_name() -> None:
    model = load_enhanced("echo", PlainWriter(), "time", settings={"time": 3})
    assert model.model == EchoModel(time=3)
    assert load_enhanced(EchoModel(), PlainWriter()).model == EchoModel()
    with pytest.raises(InvalidConfig, match="takes no settings"):
        load_enhanced(EchoModel(), PlainWriter(), settings={"time": 3})
    with pytest.raises(InvalidConfig, match="there is no model 'nobody'"):
        load_enhanced("nobody", PlainWriter())


def test_a_writer_sees_large_frames_smaller() -> None:
    """As NVIDIA's prompt_enhancer.py: the shorter side at most 1080, by Lanczos."""
    large = np.random.default_rng(0).integers(0, 256, (1200, 2160, 3), dtype=np.uint8)
    expected = Image.fromarray(large).resize((1944, 1080), Image.Resampling.LANCZOS)
    assert np.array_equal(cap_frame(large), np.asarray(expected))
    assert cap_frame(large[:1080]).shape == (1080, 2160, 3)


def test_what_was_worded_out_is_asked_as_it_is() -> None:
    writer = PlainWriter()
    model = Enhanced(EchoModel(), writer)
    frame = np.zeros((16, 16, 3), np.uint8)
    [worded] = model.word([EditPrompt(frame, "open the door", 0)])
    [prediction] = model.predict([EditPrompt(frame, worded, 0)])
    assert prediction.text == worded
    assert len(writer.calls) == 1
