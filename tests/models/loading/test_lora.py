"""LoRA files in every spelling, against what diffusers and PEFT make of the same matrices."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import save_file
from torch import Tensor

from chronosim.errors import InvalidModel
from chronosim.models.loading.checkpoint import original_name, parameter_names
from chronosim.models.loading.lora import add_loras, fuse_lora, read_lora

CPU = torch.device("cpu")
RANK, ALPHA = 2, 3.0
LAYERS = [
    *[f"blocks.{i}.attn1.{part}" for i in (0, 1) for part in ("to_q", "to_k", "to_v", "to_out.0")],
    *[f"blocks.{i}.attn2.{part}" for i in (0, 1) for part in ("to_q", "to_k", "to_v", "to_out.0")],
    *[f"blocks.{i}.ffn.{part}" for i in (0, 1) for part in ("net.0.proj", "net.2")],
]

Matrices = dict[str, tuple[Tensor, Tensor]]


@pytest.fixture
def transformer(wide: Any) -> Any:
    return deepcopy(wide.transformer)


@pytest.fixture
def matrices(transformer: Any) -> Matrices:
    generator = torch.Generator().manual_seed(3)
    found = {}
    for layer in LAYERS:
        out, inner = transformer.get_submodule(layer).weight.shape
        down = torch.randn(RANK, inner, generator=generator)
        found[layer] = down, torch.randn(out, RANK, generator=generator)
    return found


def spell(style: str, matrices: Matrices) -> dict[str, Tensor]:
    """The same LoRA as different tools write it; the last two have an alpha."""
    tensors = {}
    for layer, (down, up) in matrices.items():
        wan = original_name(layer)
        key, a, b = {
            "diffusers": (f"transformer.{layer}", "lora_A.weight", "lora_B.weight"),
            "peft": (f"base_model.model.{layer}", "lora_A.default.weight", "lora_B.default.weight"),
            "wan": (f"diffusion_model.{wan}", "lora_A.weight", "lora_B.weight"),
            "diffsynth": (wan, "lora_A.default.weight", "lora_B.default.weight"),
            "diffsynth-raw": (f"pipe.dit.{wan}", "lora_A.default.weight", "lora_B.default.weight"),
            "comfyui": (f"diffusion_model.{wan}", "lora_down.weight", "lora_up.weight"),
            "musubi": (
                f"lora_unet_{wan.replace('.', '_')}",
                "lora_down.weight",
                "lora_up.weight",
            ),
        }[style]
        tensors[f"{key}.{a}"], tensors[f"{key}.{b}"] = down, up
        if style in ("comfyui", "musubi"):
            tensors[f"{key}.alpha"] = torch.tensor(ALPHA)
    return tensors


STYLES = ["diffusers", "peft", "wan", "diffsynth", "diffsynth-raw", "comfyui", "musubi"]


def save(tensors: dict[str, Tensor], folder: Path) -> Path:
    save_file({key: value.clone() for key, value in tensors.items()}, folder / "lora.st")
    return (folder / "lora.st").rename(folder / "lora.safetensors")


@pytest.mark.parametrize("style", STYLES)
def test_every_spelling_changes_the_weights_alike(
    style: str, transformer: Any, matrices: Matrices, tmp_path: Path
) -> None:
    scale = 0.5 * (ALPHA / RANK if style in ("comfyui", "musubi") else 1.0)
    expected = {
        f"{layer}.weight": transformer.get_submodule(layer).weight + scale * up @ down
        for layer, (down, up) in matrices.items()
    }
    before = {name: value.clone() for name, value in transformer.named_parameters()}
    lora = read_lora(save(spell(style, matrices), tmp_path), transformer)
    fuse_lora(transformer, lora, 0.5, CPU)
    for name, value in transformer.named_parameters():
        torch.testing.assert_close(value, expected.get(name, before[name]), atol=1e-5, rtol=0)


def test_several_fused_are_what_adapters_of_peft_compute(
    wide: Any, transformer: Any, matrices: Matrices, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    first = read_lora(save(spell("wan", matrices), tmp_path), transformer)
    half = dict(list(matrices.items())[:5])
    second = read_lora(save(spell("musubi", half), tmp_path / "b"), transformer)
    loras = [(first, 0.3), (second, -0.2)]
    beside = deepcopy(wide.transformer)
    add_loras(transformer, loras, CPU, fused=True)
    add_loras(beside, loras, CPU, fused=False)
    assert not any("lora" in name for name, _ in transformer.named_parameters())
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "hidden_states": torch.randn(1, 36, 2, 4, 4, generator=generator),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 512, 16, generator=generator),
        "encoder_hidden_states_image": torch.randn(1, 17, 8, generator=generator),
    }
    with torch.inference_mode():
        ours, theirs = transformer(**inputs).sample, beside(**inputs).sample
        plain = wide.transformer(**inputs).sample
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert (ours - plain).abs().max() > 0.01


def test_whole_changes_and_convolutions_are_added(transformer: Any, tmp_path: Path) -> None:
    """What distilled LoRAs of ComfyUI hold besides matrices, and diffusers drops in part."""
    kernel = transformer.patch_embedding.weight
    down, up = torch.randn(RANK, *kernel.shape[1:]), torch.randn(kernel.shape[0], RANK, 1, 1, 1)
    tensors = {
        "diffusion_model.patch_embedding.lora_down.weight": down,
        "diffusion_model.patch_embedding.lora_up.weight": up,
        "diffusion_model.blocks.1.norm3.diff": torch.full_like(
            transformer.blocks[1].norm2.weight, 2
        ),
        "diffusion_model.blocks.0.self_attn.q.diff_b": torch.ones_like(
            transformer.blocks[0].attn1.to_q.bias
        ),
        "diffusion_model.head.head.diff_b": torch.ones_like(transformer.proj_out.bias),
    }
    before = {name: value.clone() for name, value in transformer.named_parameters()}
    fuse_lora(transformer, read_lora(save(tensors, tmp_path), transformer), 1.0, CPU)
    after = dict(transformer.named_parameters())
    change = torch.einsum("or,r...->o...", up[:, :, 0, 0, 0], down)
    torch.testing.assert_close(
        after["patch_embedding.weight"] - before["patch_embedding.weight"], change
    )
    for name, by in (
        ("blocks.1.norm2.weight", 2),
        ("blocks.0.attn1.to_q.bias", 1),
        ("proj_out.bias", 1),
    ):
        torch.testing.assert_close(after[name], before[name] + by)


def test_our_names_are_the_inverse_of_diffusers_conversion(transformer: Any) -> None:
    for name, value in transformer.named_parameters():
        [back] = convert_wan_transformer_to_diffusers({original_name(name): value})
        assert back == name
    assert len(set(parameter_names(transformer).values())) == len(list(transformer.parameters()))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: {f"unet.{k}": v for k, v in t.items()}, r"40 of its 40 keys name no layer"),
        (lambda t: t | {"transformer.blocks.7.ffn.net.2.lora_A.weight": t[min(t)]}, r"1 of its 41"),
        (lambda t: t | {f"{min(t)}.dora_scale": t[min(t)]}, "1 of its 41 keys .*dora_scale"),
        (lambda t: {}, "0 of its 0 keys"),
        (lambda t: dict(list(t.items())[:-1]), "only one of its two matrices"),
        (lambda t: t | {"transformer.proj_out.alpha": torch.ones(1)}, "an alpha, but no matrices"),
    ],
)
def test_a_file_that_is_not_for_this_model_is_refused(
    change: Any, sentence: str, transformer: Any, matrices: Matrices, tmp_path: Path
) -> None:
    path = save(change(spell("diffusers", matrices)), tmp_path)
    with pytest.raises(InvalidModel, match=sentence):
        read_lora(path, transformer)


def test_a_lora_for_another_base_is_refused_by_shape(
    kit: Any, matrices: Matrices, tmp_path: Path
) -> None:
    path = save(spell("wan", matrices), tmp_path)
    other = kit.transformer(attention_head_dim=24, added_kv_proj_dim=48)
    sentence = (
        r"another base: .* weight of blocks.0.attn\d.to_. has shape \(24, 24\), .* \(48, 48\)"
    )
    with pytest.raises(InvalidModel, match=sentence):
        read_lora(path, other)


def test_a_spoilt_file_is_refused(transformer: Any, tmp_path: Path) -> None:
    (tmp_path / "lora.safetensors").write_text("cut off")
    with pytest.raises(InvalidModel, match="cannot be read as safetensors"):
        read_lora(tmp_path / "lora.safetensors", transformer)
