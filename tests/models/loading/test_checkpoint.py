"""A transformer in one file, in the names and formats that people pass around."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from chronosim.errors import ChronosimWarning, InvalidConfig, InvalidModel, ModelNotFound
from chronosim.models.loading.checkpoint import (
    empty_transformer,
    load_checkpoint,
    original_name,
    read_checkpoint,
)
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


MATRIX = "blocks.0.ffn.net.2.weight"  # (24, 32)
Stored = dict[str, Tensor]


def read(path: Path, folder: Path, dtype: torch.dtype = torch.float32, **strict: bool) -> Any:
    return load_checkpoint(
        read_checkpoint(path, empty_transformer(folder), **strict), folder, dtype
    )


def scaled(weight: Tensor, kind: torch.dtype, *, rows: bool = False) -> tuple[Tensor, Tensor]:
    """A weight in 8 bits, and its scale."""
    most = 127.0 if kind == torch.int8 else torch.finfo(kind).max
    largest = weight.abs().amax(1, keepdim=True) if rows else weight.abs().max()
    scale = largest / most
    values = weight / scale
    return (values.round() if kind == torch.int8 else values).to(kind), scale


def mark(told: Any) -> Tensor:
    return torch.tensor([*json.dumps(told).encode()], dtype=torch.uint8)


def kijai(weight: Tensor) -> tuple[Stored, Tensor]:
    stored, scale = scaled(weight, torch.float8_e4m3fn)
    end = {"weight": stored, "scale_weight": scale[None], "scale_input": torch.ones(1)}
    return end, stored.float() * scale


def comfy(weight: Tensor) -> tuple[Stored, Tensor]:
    stored, scale = scaled(weight, torch.float8_e5m2)
    end = {"weight": stored, "weight_scale": scale, "comfy_quant": mark({"format": "float8_e5m2"})}
    return end, stored.float() * scale


def contained(weight: Tensor) -> tuple[Stored, Tensor]:
    stored, scale = scaled(weight, torch.float8_e4m3fn)
    told = mark({"format": "float8_e4m3fn"})
    end = {"weight": stored.view(torch.uint8), "weight_scale": scale, "comfy_quant": told}
    return end, stored.float() * scale


def by_rows(weight: Tensor) -> tuple[Stored, Tensor]:
    stored, scale = scaled(weight, torch.int8, rows=True)
    told = mark({"format": "int8_tensorwise"})
    return {"weight": stored, "weight_scale": scale, "comfy_quant": told}, stored.float() * scale


def plain(weight: Tensor) -> tuple[Stored, Tensor]:
    """As plain casts are published: without any scale."""
    stored = weight.to(torch.float8_e4m3fn)
    return {"weight": stored}, stored.float()


@pytest.mark.parametrize("store", [kijai, comfy, contained, by_rows, plain])
def test_eight_bits_are_read_at_their_scale(
    store: Callable[[Tensor], tuple[Stored, Tensor]],
    weights: dict[str, Tensor],
    folder: Path,
    tmp_path: Path,
) -> None:
    prefix = f"model.diffusion_model.{original_name(MATRIX).removesuffix('weight')}"
    stored, meant = store(weights[MATRIX])
    assert (meant - weights[MATRIX]).abs().max() < 0.13 * weights[MATRIX].abs().max()
    file = {f"model.diffusion_model.{original_name(n)}": v for n, v in weights.items()}
    file |= {prefix + end: value for end, value in stored.items()}
    if store is kijai:
        file["model.diffusion_model.scaled_fp8"] = torch.empty(2, dtype=torch.float8_e4m3fn)
    save_file(file, tmp_path / "eight.safetensors")
    for dtype in (torch.float32, torch.bfloat16):
        loaded = dict(read(tmp_path / "eight.safetensors", folder, dtype).named_parameters())
        assert torch.equal(loaded[MATRIX], meant.to(dtype))
        assert loaded["blocks.0.norm2.weight"].dtype == torch.float32
    torch.testing.assert_close(
        loaded["proj_out.weight"], weights["proj_out.weight"].to(torch.bfloat16), atol=0, rtol=0
    )


LAYER = MATRIX.removesuffix(".weight")
INTEGERS = torch.ones(24, 32, dtype=torch.int8)
EIGHT = torch.ones(24, 32, dtype=torch.float8_e4m3fn)


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        ({"weight": INTEGERS}, r"holds I8 at .*net.2.weight, and nothing says what"),
        ({"weight": INTEGERS, "weight_scale": torch.ones(1)}, "holds I8 at .*, and nothing says"),
        ({"weight": torch.ones(24, 32, dtype=torch.int64)}, "holds I64 at"),
        ({"weight": torch.ones(24, 32, dtype=torch.bool)}, "holds BOOL at"),
        ({"weight": EIGHT, "weight_scale": torch.ones(24, 2)}, r"by blocks, \(24, 2\)"),
        ({"weight": EIGHT, "weight_scale": torch.tensor(float("nan"))}, "NaN at .*weight_scale"),
        ({"weight": EIGHT, "comfy_quant": mark({"format": "nvfp4"})}, "in the format 'nvfp4'"),
        (
            {
                "weight": INTEGERS,
                "weight_scale": torch.ones(1),
                "comfy_quant": mark({"format": "int8_tensorwise", "convrot": True}),
            },
            "in the format 'int8_tensorwise', rotated",
        ),
        ({"comfy_quant": torch.ones(2, dtype=torch.uint8)}, "does not say how it is quantised"),
        ({"comfy_quant": mark(["x"])}, "in the format"),
        (
            {"weight": EIGHT, "../1.scale_weight": torch.ones(1)},
            "has scales for its weights of 8 bits, but none for .*net.2.weight",
        ),
    ],
)
def test_numbers_of_an_unknown_kind_are_refused(
    stored: Stored, sentence: str, weights: dict[str, Tensor], folder: Path, tmp_path: Path
) -> None:
    other = "blocks.1.ffn.net.2.scale_weight"
    file = weights | {
        other if end.startswith("..") else f"{LAYER}.{end}": value for end, value in stored.items()
    }
    save_file(file, tmp_path / "odd.safetensors")
    with pytest.raises(InvalidModel, match=sentence) as error:
        read(tmp_path / "odd.safetensors", folder)
    assert "odd.safetensors" in str(error.value)


def test_the_metadata_may_say_how_a_file_is_quantised(
    weights: dict[str, Tensor], folder: Path, tmp_path: Path
) -> None:
    stored, meant = comfy(weights[MATRIX])
    file = weights | {f"{LAYER}.{end}": v for end, v in stored.items() if end != "comfy_quant"}
    for form, fits in (("float8_e5m2", True), ("mxfp8", False)):
        told = {"format_version": "1.0", "layers": {LAYER: {"format": form}}}
        path = tmp_path / f"{form}.safetensors"
        save_file(file, path, {"_quantization_metadata": json.dumps(told)})
        if fits:
            assert torch.equal(dict(read(path, folder).named_parameters())[MATRIX], meant)
        else:
            with pytest.raises(InvalidModel, match=r"holds .* as F8_E5M2 in the format 'mxfp8'"):
                read(path, folder)


def test_weights_without_a_place_are_left_out_by_choice(
    weights: dict[str, Tensor], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "more.safetensors"
    extra = {"blocks.0.face_adapter.weight": torch.ones(3), "steps": torch.ones(1).long()}
    save_file(weights | extra, path)
    with pytest.raises(InvalidModel, match=r"2 of another model or format\); strict=false"):
        read(path, folder)
    with pytest.warns(ChronosimWarning, match=r"left out 2 weights of .*more.safetensors"):
        loaded = dict(read(path, folder, strict=False).named_parameters())
    assert all(torch.equal(loaded[name], weight) for name, weight in weights.items())
    with pytest.warns(ChronosimWarning, match=r"left out 2 weights"):
        identity = load(folder, transformer=path, strict=False).identity
    assert identity["left_out"] == 2


def k_quant(kind: Any, shape: tuple[int, ...]) -> Any:
    """Bytes of a K-quant: gguf cannot write these, so they are drawn; scales are small halves."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(int(kind))
    raw = rng.integers(0, 256, (shape[0], shape[1] // block, size), np.uint8)
    halves = np.array([0.001, 0.002], np.float16).view(np.uint8)
    places = {"Q2_K": (80, 4), "Q3_K": (108, 2), "Q4_K": (0, 4), "Q5_K": (0, 4), "Q6_K": (208, 2)}
    first, count = places[kind.name]
    raw[..., first : first + count] = halves[:count]
    return raw.reshape(shape[0], -1)


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "BF16"])
def test_published_kinds_of_gguf_are_computed_with(name: str, kit: Any, tmp_path: Path) -> None:
    """City96's files keep K-quants in matrices and, where the maker chose so, BF16 elsewhere."""
    kind = gguf.GGMLQuantizationType[name]
    torch.manual_seed(0)
    transformer = kit.transformer(ffn_dim=256)
    (tmp_path / "transformer").mkdir()
    transformer.save_config(tmp_path / "transformer")
    writer, meant = gguf.GGUFWriter(str(tmp_path / "k.gguf"), "wan"), {}
    for key, weight in transformer.state_dict().items():
        values = weight.numpy()
        if name != "BF16" and weight.shape == (24, 256):
            raw = k_quant(kind, (24, 256))
        elif name == "BF16" and ("patch_embedding" in key or "ffn" in key or "proj_out" in key):
            raw = gguf.quants.quantize(values, kind)
        else:
            writer.add_tensor(original_name(key), values)
            continue
        meant[key] = torch.from_numpy(gguf.quants.dequantize(raw, kind)).view(weight.shape)
        writer.add_tensor(original_name(key), raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    small = read(tmp_path / "k.gguf", tmp_path)
    transformer.load_state_dict(transformer.state_dict() | meant)
    assert len(meant) == (2 if name != "BF16" else 12)
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "hidden_states": torch.randn(1, 36, 2, 4, 4, generator=generator),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 512, 16, generator=generator),
        "encoder_hidden_states_image": torch.randn(1, 17, 8, generator=generator),
    }
    with torch.inference_mode():
        ours, theirs = small(**inputs).sample, transformer(**inputs).sample
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("part", "changed", "sentence"),
    [
        ("transformer", {"proj_out.weight": INTEGERS}, "holds I8 at proj_out.weight"),
        ("text_encoder", {"shared.weight": INTEGERS}, "holds I8 at shared.weight"),
        (
            "text_encoder",
            {"shared.weight": EIGHT, "shared.scale_weight": torch.ones(1)},
            "has scales beside its weights of 8 bits",
        ),
    ],
)
def test_a_folders_numbers_are_held_to_the_same_rules(
    part: str, changed: Stored, sentence: str, folder: Path
) -> None:
    [path] = (folder / part).glob("*.safetensors")
    save_file(load_file(path) | changed, path, {"format": "pt"})
    with pytest.raises(InvalidModel, match=sentence):
        load_components(folder)
