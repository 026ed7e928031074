from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from chronosim.errors import InvalidConfig, InvalidModel, ModelNotFound
from chronosim.models.rivals.if_edit import IfEdit, IfEditSettings
from chronosim.models.rivals.loading import load_editor, load_if_edit
from chronosim.settings import parts as config
from chronosim.types import EditPrompt

hf: Any = diffusers  # untyped

SMALL: dict[str, Any] = {"frames": 9, "denoising_steps": 2, "keep_every": 2, "device": "cpu"}
SETTINGS = {"num_inference_steps": 2}


@pytest.fixture(scope="module")
def wan_folder(wan: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wan")
    wan.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def editor_folder(pix2pix: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("editor")
    pix2pix.save_pretrained(folder)
    return folder


def make_lora(path: Path, features: int = 24, prefix: str = "diffusion_model.blocks") -> Path:
    """As lightx2v writes them: original Wan's names, down, up and alpha."""
    torch.manual_seed(9)
    weights: dict[str, torch.Tensor] = {}
    for block in range(2):
        name = f"{prefix}.{block}.self_attn.q"
        weights[f"{name}.lora_down.weight"] = torch.randn(4, features)
        weights[f"{name}.lora_up.weight"] = torch.randn(features, 4)
        weights[f"{name}.alpha"] = torch.tensor(4.0)
    save_file(weights, path)
    return path


def test_if_edit_from_a_folder(wan: Any, wan_folder: Path, kit: SimpleNamespace) -> None:
    model = load_if_edit(wan_folder, **SMALL)
    made = IfEdit(wan, IfEditSettings(frames=9, denoising_steps=2, keep_every=2))
    [ours], [theirs] = model.predict([kit.prompt(0)]), made.predict([kit.prompt(0)])
    difference = np.abs(ours.trajectory.astype(int) - theirs.trajectory)
    assert difference.max() <= 1, "planar convolutions differ by rounding"
    assert model.identity["name"] == str(wan_folder)
    assert model.identity["dtype"] == "float32"


def test_an_editor_from_a_folder(editor_folder: Path, kit: SimpleNamespace) -> None:
    model = load_editor(editor_folder, settings=SETTINGS, device="cpu")
    [prediction] = model.predict([kit.prompt(0, "make it winter")])
    assert prediction.trajectory.shape == (1, 32, 32, 3)


@pytest.mark.parametrize("part", ["transformer", "transformer_2"])
def test_a_lora_is_fused_into_its_expert(wan_folder: Path, tmp_path: Path, part: str) -> None:
    file = make_lora(tmp_path / "lora.safetensors")
    lora = {"location": str(file), "part": part, "weight": 0.5}
    plain, fused = (
        load_if_edit(wan_folder, **SMALL),
        load_if_edit(wan_folder, loras=[lora], **SMALL),
    )
    tensors = load_file(file)
    for name in ("transformer", "transformer_2"):
        for block in range(2):
            before, after = (
                getattr(model.pipeline, name).blocks[block].attn1.to_q.weight
                for model in (plain, fused)
            )
            key = f"diffusion_model.blocks.{block}.self_attn.q"
            added = tensors[f"{key}.lora_up.weight"] @ tensors[f"{key}.lora_down.weight"]
            expected = before + (0.5 * added if name == part else 0)
            assert torch.allclose(after, expected, atol=1e-5)
    [told] = fused.identity["loras"]
    assert told["weight"] == 0.5
    assert len(told["hash"]) == 64


def test_loras_that_do_not_belong(wan_folder: Path, tmp_path: Path) -> None:
    def fuse(file: Path, part: str = "transformer") -> None:
        load_if_edit(wan_folder, loras=[{"location": str(file), "part": part}], **SMALL)

    with pytest.raises(InvalidModel, match=r"wide\.safetensors"):
        fuse(make_lora(tmp_path / "wide.safetensors", features=32))
    with pytest.raises(InvalidModel, match="is no LoRA for this model"):
        fuse(make_lora(tmp_path / "other.safetensors", prefix="unet.down"))
    with pytest.raises(InvalidModel, match="the pipeline has no transformer_3"):
        fuse(make_lora(tmp_path / "lora.safetensors"), "transformer_3")
    with pytest.raises(ModelNotFound):
        fuse(tmp_path / "nothing.safetensors")


def test_missing_and_wrong_folders(wan_folder: Path, editor_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="there is no model folder"):
        load_if_edit(tmp_path / "nothing")
    with pytest.raises(ModelNotFound, match=r"model_index\.json is missing"):
        load_editor(tmp_path)
    with pytest.raises(InvalidModel, match=r"no image-to-video|cannot be loaded as a pipeline"):
        load_if_edit(editor_folder, device="cpu")
    (tmp_path / "model_index.json").write_text('{"_class_name": "NoSuchPipeline"}')
    with pytest.raises(InvalidModel, match="cannot be loaded as a pipeline"):
        load_editor(tmp_path, device="cpu")


def test_a_weight_that_is_missing_is_an_error(wan: Any, tmp_path: Path) -> None:
    wan.save_pretrained(tmp_path)
    for part, file in (("transformer_2", "diffusion_pytorch_model"), ("text_encoder", "model")):
        path = tmp_path / part / f"{file}.safetensors"
        tensors = load_file(path)
        save_file(dict(list(tensors.items())[1:]), path, metadata={"format": "pt"})
        with pytest.raises(InvalidModel, match=r"weights|missing"):
            load_if_edit(tmp_path, **SMALL)
        save_file(tensors, path, metadata={"format": "pt"})
    load_if_edit(tmp_path, **SMALL)


def test_a_text_to_video_model_is_refused(wan: Any, tmp_path: Path) -> None:
    wan.save_pretrained(tmp_path)
    painter = hf.WanTransformer3DModel.from_config(wan.transformer.config, in_channels=8)
    painter.save_pretrained(tmp_path / "transformer")
    with pytest.raises(InvalidModel, match="reads 8 channels, and a frame to begin with needs 20"):
        load_if_edit(tmp_path, **SMALL)


def test_by_name(wan_folder: Path, editor_folder: Path) -> None:
    place = {"location": str(wan_folder), "device": "cpu"}
    told = config.load("model", "if-edit-as-told", **place, loras=[], refine=False)
    assert told.settings == IfEditSettings(refine=False), "the YAML's settings are the paper's"
    small = config.load("model", "if-edit-5b", **place)
    assert small.settings == IfEditSettings(denoising_steps=50, guidance=5.0)
    place["location"] = str(editor_folder)
    editor = config.load("model", "instruct-pix2pix", **place)
    assert editor.settings["image_guidance_scale"] == 1.5
    with pytest.raises(InvalidConfig, match="'true_cfg_scale' is no setting"):
        config.load("model", "qwen-image-edit", **place)
    with pytest.raises(InvalidConfig, match="IF-Edit has no setting 'dropp'; it has frames"):
        load_if_edit(wan_folder, dropp=1)


def test_the_whole_by_name(wan_folder: Path, kit: SimpleNamespace) -> None:
    class Teller:
        """Tells every edit as what happens over time."""

        identity: Mapping[str, Any] = {"name": "teller"}

        def write(self, instructions: str, prompts: Sequence[EditPrompt]) -> list[str]:
            assert "short film" in instructions
            return [f"At first, all is still, then {prompt.text}" for prompt in prompts]

    settings = {**SMALL, "frames": 13, "location": str(wan_folder), "loras": []}
    model = config.load("model", "if-edit", writer=Teller(), settings=settings)
    [prediction] = model.predict([kit.prompt(0, "the quick fox jumps.")])
    assert prediction.text == "At first, all is still, then the quick fox jumps."
    assert prediction.metrics["sharpness"] >= 0
    assert len(prediction.trajectory) == 5
