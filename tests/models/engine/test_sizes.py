"""The size rule, and a camera's frame on its way to the model and back."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.models.engine.sizes import CameraSized, Sizing, model_size
from chronosim.testing import EchoModel, check_world_model
from chronosim.types import EditPrompt, Frame, Prediction


def scene(height: int, width: int) -> Frame:
    """A smooth one, so that resizing loses little."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = 255 * rows / height, 255 * columns / width
    return np.stack([red, green, (red + green) / 2], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ((1024, 1024), (960, 960)),
        ((1080, 1920), (720, 1280)),
        ((3000, 4000), (816, 1104)),
        ((512, 512), (960, 960)),
        ((500, 3000), (384, 2352)),
    ],
)
def test_the_rule_gives_the_published_sizes(
    camera: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert model_size(*camera) == expected


def test_a_shape_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(InvalidFrame, match="10 x 90000 is too long to fit into 921600 pixels"):
        model_size(10, 90_000)


def test_fit_keeps_everything_and_comes_back() -> None:
    camera, sizing = scene(120, 200), Sizing("fit", area=96 * 160)
    there = sizing.there(camera)
    assert there.shape == (96, 160, 3)
    back = sizing.back(np.stack([there, there]), camera)
    assert back.shape == (2, 120, 200, 3)
    assert np.abs(back.astype(int) - camera).max() <= 4


@pytest.mark.parametrize("camera", [(60, 70), (300, 350)])
def test_fit_resamples_as_the_reference_does(camera: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*camera, 3), dtype=np.uint8)
    height, width = model_size(*camera, area=160 * 176)
    # run_inference_diffusers.py: image.resize((width, height)), for which Pillow takes bicubic
    reference = np.asarray(Image.fromarray(frame).resize((width, height)))
    assert np.array_equal(Sizing("fit", area=160 * 176).there(frame), reference)


def test_crop_cuts_the_middle_and_leaves_the_rest_as_seen() -> None:
    camera, sizing = scene(100, 300), Sizing("crop", (64, 64))
    there = sizing.there(camera)
    assert there.shape == (64, 64, 3)
    assert abs(int(there[32, 0, 1]) - int(camera[50, 100, 1])) <= 3  # from column 100 on
    back = sizing.back(255 - there[None], camera)[0]
    assert back.shape == camera.shape
    assert np.array_equal(back[:, :100], camera[:, :100])
    assert np.array_equal(back[:, 200:], camera[:, 200:])
    assert np.abs(back[:, 100:200].astype(int) - (255 - camera[:, 100:200])).max() <= 6


def test_exact_changes_nothing() -> None:
    camera = scene(33, 47)
    assert Sizing().there(camera) is camera
    back = Sizing().back(camera[None], camera)
    assert np.array_equal(back[0], camera)
    assert not np.shares_memory(back, camera)


@pytest.mark.parametrize(
    "sizing", [Sizing(), Sizing("fit", area=64 * 96), Sizing("crop", (32, 64))]
)
def test_a_model_at_the_cameras_size_keeps_the_contract(sizing: Sizing) -> None:
    prompts = [EditPrompt(scene(50, 70), "left", 0), EditPrompt(scene(90, 40), "right", 1)]
    model = CameraSized(EchoModel(time=3), sizing)
    check_world_model(model, prompts)
    assert model.identity["sizing"]["way"] == sizing.way
    assert [len(made.trajectory) for made in model.predict(prompts)] == [3, 3]


def test_the_model_sees_its_own_sizes() -> None:
    seen: list[tuple[int, ...]] = []

    class Watched:
        identity: ClassVar[dict[str, str]] = {"name": "watched"}

        def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
            seen.extend(prompt.frame.shape for prompt in prompts)
            return EchoModel().predict(prompts)

    asked = EditPrompt(scene(50, 70), "on", 0)
    CameraSized(Watched(), Sizing("crop", (32, 48))).predict([asked])
    assert seen == [(32, 48, 3)]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"way": "stretch"}, "found by exact, fit, crop, not by 'stretch'"),
        ({"way": "crop"}, "crop needs one"),
        ({"way": "fit", "size": (32, 32)}, "a size belongs to crop, not to fit"),
        ({"way": "crop", "size": (50, 70)}, "not 50 x 70; the nearest is 48 x 64"),
        ({"way": "crop", "size": (0, 64)}, "from 16 up, not 0 x 64"),
        ({"way": "fit", "area": 100}, "an area must be 256 pixels or more, not 100"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfig, match=sentence):
        Sizing(**settings)
