"""Models by name, and the sampler's settings."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chronosim.errors import InvalidConfig, ModelNotFound
from chronosim.models import PRESETS, Sampling
from chronosim.models.loading.load import load


def test_published_numbers() -> None:
    base = PRESETS["chronoedit-14b"].sampling
    assert (base.denoising_steps, base.guidance, base.flow_shift) == (50, 5.0, 5.0)
    assert base.reasoned_steps == 0
    assert PRESETS["chronoedit-14b-think"].sampling.reasoned_steps == 10


def test_nano_reasons_in_every_step_without_guidance() -> None:
    nano = PRESETS["nano"]
    assert nano.frame_size == (96, 96)
    assert nano.sampling.reasoned_steps == nano.sampling.denoising_steps
    assert not nano.sampling.guided


def test_a_list_of_presets_needs_no_torch() -> None:
    code = "import sys; import chronosim.models.loading.presets; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_can_be_changed(folder: Path) -> None:
    model = load(folder, preset="nano", denoising_steps=3, scheduler="euler")
    assert model.sampling == Sampling(3, 1.0, 3.0, "all", scheduler="euler")
    assert model.frame_size == (96, 96)
    assert load(folder).sampling == PRESETS["chronoedit-14b"].sampling


@pytest.mark.parametrize("name", ["nanno", "chronoedit"])
def test_an_unknown_name_lists_the_presets(name: str) -> None:
    with pytest.raises(
        InvalidConfig, match=rf"no model '{name}': give one of nano, chronoedit-14b"
    ):
        load(name)


def test_an_unknown_preset_or_setting_is_named(folder: Path) -> None:
    with pytest.raises(InvalidConfig, match="no preset 'mega': give one of nano"):
        load(folder, preset="mega")
    with pytest.raises(InvalidConfig, match="'nano' is a preset itself"):
        load("nano", preset="chronoedit-14b")
    with pytest.raises(InvalidConfig, match="no setting 'steps'; it has denoising_steps, guidance"):
        load(folder, steps=4)


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=f"no model folder {tmp_path / 'gone'}"):
        load(tmp_path / "gone")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"denoising_steps": 0}, "denoising_steps must be a whole number of at least 1, not 0"),
        ({"guidance": -1.0}, "guidance must be a number of at least 0, not -1.0"),
        ({"guidance": float("nan")}, "guidance .* not nan"),
        ({"flow_shift": 0.0}, r"flow_shift must be a number from 0\.01 to 100, not 0\.0"),
        ({"reasoning_steps": 51}, r"between 0 and denoising_steps \(50\), or be \"all\", not 51"),
        ({"reasoning_steps": -1}, "not -1"),
        ({"reasoning_steps": "some"}, "not 'some'"),
        ({"scheduler": "heun"}, "unipc or euler, not 'heun'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfig, match=sentence):
        Sampling(**settings)
