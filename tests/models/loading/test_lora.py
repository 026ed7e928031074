"""LoRA files in every spelling, against what diffusers and PEFT make of the same matrices."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import Tensor

from chronosim.errors import ChronosimWarning, InvalidConfig, InvalidModel, ModelNotFound
from chronosim.models.loading.checkpoint import original_name, parameter_names
from chronosim.models.loading.load import load
from chronosim.models.loading.lora import add_loras, fuse_lora, read_lora
from chronosim.models.loading.plan import explain, plan_model

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
            whole = style == "musubi"  # as some tools write it
            tensors[f"{key}.alpha"] = torch.tensor(int(ALPHA) if whole else ALPHA)
    return tensors


STYLES = ["diffusers", "peft", "wan", "diffsynth", "diffsynth-raw", "comfyui", "musubi"]


def save(tensors: dict[str, Tensor], folder: Path, metadata: dict[str, str] | None = None) -> Path:
    path = folder / "lora.safetensors"
    save_file({key: value.clone() for key, value in tensors.items()}, path, metadata)
    return path


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
    inputs = make_inputs()
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
        (lambda t: t | {f"{min(t)}.dora_scale": t[min(t)]}, "is a DoRA of other .*dora_scale"),
        (
            lambda t: t | {"blocks.0.attn1.to_q.lora_magnitude_vector": t[min(t)]},
            r"is a DoRA with magnitudes \(2, 24\) at blocks.0.attn1.to_q",
        ),
        (lambda t: {"lycoris_blocks_0_self_attn_q.lokr_w1": t[min(t)]}, "is a LoKr .*lokr_w1"),
        (lambda t: {"diffusion_model.blocks.0.ffn.0.hada_w1_a": t[min(t)]}, "is a LoHa .*hada_w1"),
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


CONFIGS: dict[str, dict[str, Any]] = {
    "alpha": {"lora_alpha": 16},
    "patterns": {
        "lora_alpha": 6,
        "rank_pattern": {"blocks.0.attn1.to_q": 3},
        "alpha_pattern": {"to_v": 1, r"^blocks\.1\.ffn\.net\.2": 5},
    },
    "rslora": {"lora_alpha": 8, "use_rslora": True},
    "bias": {"lora_alpha": 8, "lora_bias": True},
    "dora": {"lora_alpha": 3, "use_dora": True},
}


@pytest.mark.filterwarnings("ignore:Adapter 'default'.* have invalid shape")  # of biases
@pytest.mark.parametrize("writer", ["diffusers", "peft"])
@pytest.mark.parametrize("settings", CONFIGS)
def test_a_trained_change_is_as_strong_as_its_trainer_has_it(
    settings: str, writer: str, wide: Any, transformer: Any, tmp_path: Path
) -> None:
    config = LoraConfig(r=RANK, target_modules=LAYERS, **CONFIGS[settings])
    trained = deepcopy(transformer)
    if writer == "diffusers":
        trained.add_adapter(config)
    else:
        wrapped = get_peft_model(trained, config)
    generator = torch.Generator().manual_seed(5)
    for name, weight in trained.named_parameters():
        if "lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=generator)
        elif "magnitude" in name:
            weight.data = weight.data * (1 + torch.rand(weight.shape, generator=generator))
    (trained.save_lora_adapter if writer == "diffusers" else wrapped.save_pretrained)(str(tmp_path))
    if writer == "diffusers":
        path = tmp_path / "pytorch_lora_weights.safetensors"
    else:
        path = tmp_path / "adapter_model.safetensors"
    lora = read_lora(path, transformer)
    fuse_lora(transformer, lora, 1.0, CPU)
    inputs = make_inputs()
    with torch.inference_mode():
        ours, theirs = transformer(**inputs).sample, trained(**inputs).sample
        plain = wide.transformer(**inputs).sample
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert (ours - plain).abs().max() > 0.01
    place = "its metadata lora_adapter_metadata"
    assert lora.strength.source == (place if writer == "diffusers" else PLACE)


PLACE = "adapter_config.json beside it"


def make_inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "hidden_states": torch.randn(1, 36, 2, 4, 4, generator=generator),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 512, 16, generator=generator),
        "encoder_hidden_states_image": torch.randn(1, 17, 8, generator=generator),
    }


@pytest.mark.parametrize(
    ("style", "metadata", "scales", "source"),
    [
        ("diffusers", {}, [1.0], "no alpha given"),
        ("musubi", {}, [1.5], "its alpha keys"),
        ("diffusers", {"ss_network_alpha": "4.0"}, [2.0], "its metadata ss_network_alpha"),
        ("diffusers", {"ss_network_alpha": "None", "format": "pt"}, [1.0], "no alpha given"),
        (
            "diffusers",
            {"lora_adapter_metadata": '{"transformer.r": 2, "transformer.lora_alpha": 8}'},
            [4.0],
            "its metadata lora_adapter_metadata",
        ),
        (
            "musubi",
            {"ss_network_alpha": "3", "ss_network_dim": "2"},
            [1.5],
            "its alpha keys and its metadata ss_network_alpha",
        ),
    ],
)
def test_a_scale_is_read_where_it_stands(
    style: str,
    metadata: dict[str, str],
    scales: list[float],
    source: str,
    transformer: Any,
    matrices: Matrices,
    tmp_path: Path,
) -> None:
    lora = read_lora(save(spell(style, matrices), tmp_path, metadata), transformer)
    assert (lora.strength.values, lora.strength.source) == (scales, source)
    assert set(lora.scales.values()) == set(scales)


@pytest.mark.parametrize(
    ("metadata", "beside", "sentence"),
    [
        ({"ss_network_alpha": "2"}, "", r"scaled by 1.5 by its alpha keys, and by 1 by its meta"),
        ({}, '{"r": 2, "lora_alpha": 2}', "1.5 by its alpha keys, and by 1 by adapter_config.json"),
        ({}, '{"r": 4, "lora_alpha": 6}', "adapter_config.json beside it gives .* rank 4.* rank 2"),
        ({}, '{"r": 2, "lora_alpha": NaN}', "has lora_alpha nan, which must be a finite number"),
        ({}, '{"r": 2, "alpha_pattern": []}', "has lora_alpha None"),
        ({}, '{"lora_alpha": 3, "alpha_pattern": [1]}', "it must give numbers by layer"),
        ({}, '{"lora_alpha": 3, "alpha_pattern": {"(a+)+": 1}}', "which is no layer's name"),
        ({}, '{"lora_alpha": 3, "alpha_pattern": {"(": 1}}', "has the pattern"),
        ({}, '{"peft_type": "LOHA", "alpha": 3}', "it is a LOHA"),
        ({}, '{"lora_alpha": 3, "use_dora": true}', "it is a DoRA, but it lacks magnitudes"),
        ({"alpha": "strong"}, "", "has lora_alpha 'strong'"),
    ],
)
def test_contradictions_about_a_scale_are_refused(
    metadata: dict[str, str],
    beside: str,
    sentence: str,
    transformer: Any,
    matrices: Matrices,
    tmp_path: Path,
) -> None:
    path = save(spell("comfyui", matrices), tmp_path, metadata)
    if beside:
        (tmp_path / "adapter_config.json").write_text(beside)
    with pytest.raises(InvalidModel, match=sentence) as error:
        read_lora(path, transformer)
    assert "lora.safetensors" in str(error.value)


KEY = "diffusion_model.blocks.0.self_attn.q"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lora_down.weight": torch.ones(0, 24)}, r"lora_down.weight: its shape is \(0, 24\)"),
        ({"lora_down.weight": torch.ones(24)}, r"lora_down.weight: its shape is \(24,\)"),
        ({"lora_up.weight": torch.ones(24, 3)}, r"\(24, 3\) at .*q.lora_up.weight, .* rank 2"),
        ({"alpha": torch.ones(2)}, r"\[1.0, 1.0\] at .*q.alpha: an alpha is one finite number"),
        ({"alpha": torch.tensor(float("nan"))}, r"\[nan\] at .*q.alpha"),
        ({"lora_up.weight": torch.full((24, 2), float("nan"))}, "NaN or infinity at .*lora_up"),
        ({"diff": torch.full((24, 24), float("inf"))}, "NaN or infinity at .*q.diff"),
        ({"lora_up.weight": torch.ones(24, 2, dtype=torch.int8)}, "torch.int8 at .*lora_up"),
        ({"lora_A.weight": torch.ones(2, 24)}, "twice: .* is its second down"),
        ({"diff_b": torch.ones(24), "lora_B.bias": torch.ones(24)}, "the bias of .* twice"),
    ],
)
def test_broken_matrices_are_named(
    changes: dict[str, Tensor],
    sentence: str,
    transformer: Any,
    matrices: Matrices,
    tmp_path: Path,
) -> None:
    tensors = spell("comfyui", matrices) | {f"{KEY}.{end}": v for end, v in changes.items()}
    with pytest.raises(InvalidModel, match=sentence) as error:
        read_lora(save(tensors, tmp_path), transformer)
    assert "lora.safetensors" in str(error.value)
    assert "\n" not in str(error.value)


def test_keys_without_a_place_are_left_out_by_choice(
    transformer: Any, matrices: Matrices, tmp_path: Path
) -> None:
    tensors = spell("comfyui", matrices)
    extra = {f"diffusion_model.blocks.{i}.diff_m": torch.ones(1, 6, 24) for i in (0, 1)}
    path = save(tensors | extra, tmp_path)
    with pytest.raises(InvalidModel, match=r"2 of its 62 keys .*diff_m.*; strict=false leaves"):
        read_lora(path, transformer)
    with pytest.warns(ChronosimWarning, match=r"left out 2 weights .*lora.safetensors .*diff_m"):
        lora = read_lora(path, transformer, strict=False)
    assert sorted(lora.left_out) == sorted(extra)
    assert lora.describe()["left_out"] == 2
    plain = read_lora(save(tensors, tmp_path), transformer)
    other = deepcopy(transformer)
    fuse_lora(transformer, lora, 1.0, CPU)
    fuse_lora(other, plain, 1.0, CPU)
    for ours, theirs in zip(transformer.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(InvalidModel, match=r"2 of its 2 keys"):
        read_lora(save(extra, tmp_path), transformer, strict=False)
    with pytest.raises(InvalidModel, match="is a LoKr"):
        read_lora(save(tensors | {f"{KEY}.lokr_w1": extra[min(extra)]}, tmp_path), transformer)


def test_identity_and_explain_say_how_strong_a_lora_is(
    folder: Path, matrices: Matrices, tmp_path: Path
) -> None:
    """A folder that PEFT or diffusers wrote will do for a location."""
    saved = tmp_path / "saved"
    saved.mkdir()
    tensors = spell("peft", matrices) | {"base_model.model.blocks.0.diff_m": torch.ones(2)}
    save(tensors, saved).rename(saved / "adapter_model.safetensors")
    (saved / "adapter_config.json").write_text('{"r": 2, "lora_alpha": 8}')
    settings: dict[str, Any] = {"loras": [{"location": str(saved), "weight": 0.5}]}
    with pytest.warns(ChronosimWarning, match=r"left out 1 weights"):
        model = load(folder, **settings, strict=False)
    [told] = model.identity["loras"]
    said = {key: told[key] for key in ("file", "weight", "scale", "scale_from", "left_out")}
    assert said == {
        "file": "adapter_model.safetensors",
        "weight": 0.5,
        "scale": 4.0,
        "scale_from": PLACE,
        "left_out": 1,
    }
    assert f"scale 4 ({PLACE})" in explain(plan_model(folder, **settings))
    # The strength is part of the weights: another config is another model.
    (saved / "adapter_config.json").write_text('{"r": 2, "lora_alpha": 4}')
    with pytest.warns(ChronosimWarning, match=r"left out 1 weights"):
        assert load(folder, **settings, strict=False).identity["loras"][0]["scale"] == 2.0
    (saved / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="holds 0 LoRAs"):
        load(folder, **settings)
    with pytest.raises(InvalidConfig, match="must be a finite number, not nan"):
        load(folder, loras=[{"location": "x.safetensors", "weight": float("nan")}])


def test_a_change_that_runs_over_is_the_loras_own(
    transformer: Any, matrices: Matrices, tmp_path: Path
) -> None:
    lora = read_lora(save(spell("wan", matrices), tmp_path), transformer)
    with pytest.raises(InvalidModel, match=r"lora.safetensors changes blocks\..* a smaller weight"):
        fuse_lora(transformer, lora, 1e39, CPU)


def test_a_download_brings_the_config_beside_a_lora(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a LoRA from the hub would be as strong as no one trained it."""
    from chronosim.models.loading import sources
    from chronosim.models.loading.settings import ModelSettings

    asked = []

    def download(repository: str, filename: str, **settings: Any) -> str:
        if settings.get("local_files_only") or filename == "b/adapter_config.json":
            raise FileNotFoundError(filename)
        asked.append(filename)
        return str(tmp_path / filename)

    monkeypatch.setattr(sources, "hf_hub_download", download)
    for folder in ("a", "b"):
        found = sources.fetch_lora(f"me/it/{folder}/adapter_model.safetensors", ModelSettings())
        assert found == tmp_path / folder / "adapter_model.safetensors"
    weights = "adapter_model.safetensors"
    assert asked == [f"a/{weights}", "a/adapter_config.json", f"b/{weights}"]


def test_a_dora_by_columns_is_added_whole_or_not_at_all(
    transformer: Any, matrices: Matrices, tmp_path: Path
) -> None:
    """As LyCORIS writes them; by rows PEFT's are, above."""
    lengths = torch.rand(1, 24)
    path = save(spell("comfyui", matrices) | {f"{KEY}.dora_scale": lengths}, tmp_path)
    lora = read_lora(path, transformer)
    with pytest.raises(InvalidModel, match=r"is a DoRA, whose weight must be 1, not 0\.5"):
        fuse_lora(transformer, lora, 0.5, CPU)
    with pytest.raises(InvalidModel, match="which quantised weights do not allow"):
        lora.adapter()
    fuse_lora(transformer, lora, 1.0, CPU)
    weight = transformer.blocks[0].attn1.to_q.weight
    torch.testing.assert_close(weight.norm(dim=0, keepdim=True), lengths)
