"""A transformer in one file, in the names and formats that people pass around."""

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from chronosim.errors import InvalidConfig, InvalidModel, ModelNotFound
from chronosim.models.loading.checkpoint import original_name
from chronosim.models.loading.load import load
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.weights import load_components

PREFIXES = {
    "diffusers": "",
    "wan": "",
    "comfyui": "model.diffusion_model.",
    "bare": "diffusion_model.",
}


@pytest.fixture
def weights(folder: Path) -> dict[str, Tensor]:
    """The folder's own, changed, so that it shows which ones were loaded."""
    path = folder / "transformer/diffusion_pytorch_model.safetensors"
    found = load_file(path)
    changed = {name: value * 1.5 if "proj_out" in name else value for name, value in found.items()}
    path.unlink()  # they are not needed any more
    return changed


def write(weights: dict[str, Tensor], style: str, folder: Path) -> Path:
    path = folder / "one.safetensors"
    spelt = {
        PREFIXES[style] + (name if style == "diffusers" else original_name(name)): value
        for name, value in weights.items()
    }
    save_file({name: value.clone() for name, value in spelt.items()}, path)
    return path


def write_gguf(weights: dict[str, Tensor], path: Path) -> Path:
    writer = gguf.GGUFWriter(str(path), "wan")
    eight = gguf.GGMLQuantizationType.Q8_0
    for name, value in weights.items():
        values = value.numpy()
        if values.ndim == 2 and values.shape[1] % 32 == 0 and "embedder" not in name:
            quantized = gguf.quants.quantize(values, eight)
            writer.add_tensor(original_name(name), quantized, raw_dtype=eight)
        else:
            writer.add_tensor(original_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("style", PREFIXES)
def test_one_file_is_loaded_in_place_of_the_folders_weights(
    style: str, weights: dict[str, Tensor], folder: Path, tmp_path: Path, kit: Any, wide: Any
) -> None:
    model = load(folder, transformer=write(weights, style, tmp_path), denoising_steps=2)
    loaded = dict(model.components.transformer.named_parameters())
    assert set(loaded) == set(weights)
    for name, value in loaded.items():
        assert torch.equal(value, weights[name])
    assert model.latents([kit.prompt(1)])[0].isfinite().all()
    assert model.components.weights_hash != wide.weights_hash


def test_rounding_spares_what_a_folder_keeps_exact(
    weights: dict[str, Tensor], folder: Path, tmp_path: Path
) -> None:
    path = write(weights, "wan", tmp_path)
    one = load_components(folder, ModelSettings(transformer=path, dtype="bfloat16"))
    save_file(weights, folder / "transformer/diffusion_pytorch_model.safetensors", {"format": "pt"})
    other = load_components(folder, ModelSettings(dtype="bfloat16"))
    ours = {name: value.dtype for name, value in one.transformer.named_parameters()}
    assert ours == {name: value.dtype for name, value in other.transformer.named_parameters()}
    assert set(ours.values()) == {torch.float32, torch.bfloat16}


def test_a_gguf_stays_quantised_and_answers_nearly_alike(
    weights: dict[str, Tensor], folder: Path, tmp_path: Path, kit: Any
) -> None:
    settings: dict[str, Any] = {"denoising_steps": 2, "guidance": 1.0}
    exact = load(folder, transformer=write(weights, "wan", tmp_path), **settings)
    small = load(folder, transformer=write_gguf(weights, tmp_path / "one.gguf"), **settings)
    kinds = {value.dtype for value in small.components.transformer.parameters()}
    assert torch.uint8 in kinds
    assert small.components.dtype == torch.float32
    ours, theirs = (model.latents([kit.prompt(1)])[0] for model in (small, exact))
    assert not torch.equal(ours, theirs)
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0)


def test_a_lora_lies_beside_quantised_weights(
    weights: dict[str, Tensor], folder: Path, tmp_path: Path, kit: Any
) -> None:
    layer, generator = "blocks.0.ffn.net.2", torch.Generator().manual_seed(0)
    out, inner = weights[f"{layer}.weight"].shape
    down, up = torch.randn(2, inner, generator=generator), torch.randn(out, 2, generator=generator)
    lora = tmp_path / "lora.safetensors"
    save_file({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}, lora)
    settings: dict[str, Any] = {"loras": [{"location": str(lora), "weight": 0.5}]}
    settings |= {"denoising_steps": 2, "guidance": 1.0}
    exact = load(folder, transformer=write(weights, "wan", tmp_path), **settings)
    small = load(folder, transformer=write_gguf(weights, tmp_path / "one.gguf"), **settings)
    ours, theirs = (model.latents([kit.prompt(1)])[0] for model in (small, exact))
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0)
    [named] = small.identity["loras"]
    assert (named["file"], named["weight"]) == ("lora.safetensors", 0.5)


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: {n: v for n, v in w.items() if n != "proj_out.bias"}, "lacks proj_out.bias"),
        (lambda w: w | {"blocks.0.scale_input": w["proj_out.bias"]}, "no place for .*scale_input"),
        (lambda w: w | {"proj_out.bias": w["proj_out.bias"][:3]}, r"proj_out.bias is \(3,\), not"),
    ],
)
def test_a_file_of_another_model_is_refused(
    kind: str, change: Any, sentence: str, weights: dict[str, Tensor], folder: Path, tmp_path: Path
) -> None:
    changed = change(weights)
    path = write(changed, "wan", tmp_path)
    if kind == "gguf":
        path = write_gguf(changed, tmp_path / "one.gguf")
    with pytest.raises(InvalidModel, match=sentence):
        load(folder, transformer=path)


def test_what_is_no_file_of_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("one.gguf", "one.safetensors"):
        (tmp_path / name).write_bytes(b"cut off" * 10)
        with pytest.raises(InvalidModel, match=r"cannot be read as (GGUF|safetensors)"):
            load(folder, transformer=tmp_path / name)
    with pytest.raises(InvalidModel, match="is a pickle, which can run code"):
        load(folder, transformer=tmp_path / "one.pt")
    with pytest.raises(ModelNotFound, match=r"there is no file .*gone\.gguf"):
        load(folder, transformer=tmp_path / "gone.gguf")


def test_what_is_quantised_is_not_stored_in_float8_as_well(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="stored as float8 or quantised, not both"):
        load(folder, transformer=tmp_path / "one.gguf", storage="float8")
