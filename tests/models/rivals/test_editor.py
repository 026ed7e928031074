"""Single-frame editors, on an InstructPix2Pix small enough to run here."""

import json
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from chronosim.errors import Cancelled, InvalidConfig, InvalidFrame, InvalidModel, InvalidPrompt
from chronosim.models.rivals.editor import Editor
from chronosim.progress import after_each_denoising_step
from chronosim.protocols import ask
from chronosim.testing import check_world_model
from chronosim.types import EditPrompt

SETTINGS = {"num_inference_steps": 3, "guidance_scale": 5.0, "image_guidance_scale": 1.5}


def make_editor(pipeline: Any, **settings: Any) -> Editor:
    return Editor(pipeline, SETTINGS | settings, name="small")


def test_contract(pix2pix: Any, kit: SimpleNamespace) -> None:
    prompts = [kit.prompt(0, "make it winter"), kit.prompt(1, "make it night")]
    check_world_model(make_editor(pix2pix), prompts)


def test_it_is_the_pipeline(pix2pix: Any, kit: SimpleNamespace) -> None:
    prompt = EditPrompt(kit.frame(0, 32, 48), "make it winter", 7)
    [prediction] = make_editor(pix2pix).predict([prompt])
    with torch.inference_mode():
        [expected] = pix2pix(
            prompt="make it winter",
            image=Image.fromarray(prompt.frame),
            generator=torch.Generator().manual_seed(7),
            **SETTINGS,
        ).images
    assert prediction.trajectory.shape == (1, 32, 48, 3)
    assert np.array_equal(prediction.frame, np.asarray(expected))


def test_nan_is_an_error_at_the_door(pix2pix: Any, kit: SimpleNamespace) -> None:
    broken = deepcopy(pix2pix)
    with torch.no_grad():
        broken.unet.conv_out.bias[0] = torch.nan
    with pytest.raises(InvalidModel, match="small made NaN where it should predict"):
        ask(make_editor(broken), [kit.prompt(0, "make it winter")])


def test_text_frame_and_seed_matter(pix2pix: Any, kit: SimpleNamespace) -> None:
    frame = kit.frame(0)
    asked = [("make it winter", 0), ("make it night", 0), ("make it winter", 1)]
    prompts = [EditPrompt(frame, text, seed) for text, seed in asked]
    prompts.append(EditPrompt(kit.frame(1), "make it winter", 0))
    frames = [prediction.frame.tobytes() for prediction in make_editor(pix2pix).predict(prompts)]
    assert len(set(frames)) == 4


def test_a_frame_that_comes_back_in_another_size(pix2pix: Any, kit: SimpleNamespace) -> None:
    prompt = EditPrompt(kit.frame(0, 32, 40)[:, :37], "make it winter", 0)
    with pytest.raises(InvalidFrame, match=r"32 x 37 \(height x width\) with one of 32 x 36"):
        make_editor(pix2pix).predict([prompt])


def test_a_blanked_outcome_is_an_error(
    pix2pix: Any, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blank(image: Any, *_: Any) -> tuple[Any, list[bool]]:
        return torch.zeros_like(image), [True]

    monkeypatch.setattr(pix2pix, "run_safety_checker", blank)
    with pytest.raises(InvalidPrompt, match=r"safety checker of small blanked .*'make it winter'"):
        make_editor(pix2pix).predict([kit.prompt(0, "make it winter")])


def test_progress_and_identity(pix2pix: Any, kit: SimpleNamespace) -> None:
    steps: list[tuple[int, int]] = []
    model = Editor(pix2pix, SETTINGS, name="small", progress=lambda *done: steps.append(done))
    model.predict([kit.prompt(0, "make it winter"), kit.prompt(1, "make it night")])
    assert steps == [(1, 2), (2, 2)]
    identity = json.loads(json.dumps(model.identity))
    assert identity["settings"] == SETTINGS
    assert identity["pipeline"] == "StableDiffusionInstructPix2PixPipeline"
    assert deepcopy(model) is model


def test_an_edit_can_be_ended_between_two_steps(pix2pix: Any, kit: SimpleNamespace) -> None:
    model, told = make_editor(pix2pix), list[tuple[int, int]]()
    prompts = [kit.prompt(0, "make it winter"), kit.prompt(1, "make it night")]

    def listen(done: int, total: int) -> None:
        told.append((done, total))
        if done > total // 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"), after_each_denoising_step(listen):
        model.predict(prompts)
    half = told[0][1] // 2
    assert told == [(done, 2 * half) for done in range(1, half + 2)]
    assert half == SETTINGS["num_inference_steps"]
    assert len(model.predict(prompts)) == 2


def test_settings_of_another_pipeline_are_refused(pix2pix: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"'true_cfg_scale' is no setting of .*guidance_scale"):
        make_editor(pix2pix, true_cfg_scale=4.0)
    with pytest.raises(InvalidConfig, match="'generator' is no setting"):
        make_editor(pix2pix, generator=None)


def test_what_is_no_editor_is_refused() -> None:
    class Painter:
        def __call__(self, prompt: str) -> None: ...

    with pytest.raises(InvalidModel, match="a Painter is no editor"):
        Editor(Painter())
