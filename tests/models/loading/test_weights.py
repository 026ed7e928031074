"""Model folders: the published one's traps, and every way a folder can be wrong."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ChronoEditTransformer3DModel
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModelWithProjection

from chronosim.errors import InvalidConfig, InvalidModel, ModelNotFound
from chronosim.models.engine.components import Components
from chronosim.models.loading.load import load
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.weights import load_components

WEIGHTS = "diffusion_pytorch_model.safetensors"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def publish_like_nvidia(folder: Path) -> None:
    """Makes the folder's configs name what the published ChronoEdit-14B repository names."""
    edit(
        folder / "model_index.json",
        _class_name="WanImageToVideoPipeline",
        transformer=["diffusers", "WanTransformer3DModel"],
        image_encoder=["transformers", "CLIPVisionModelWithProjection"],
        image_processor=["transformers", "CLIPProcessor"],
        tokenizer=["transformers", "T5TokenizerFast"],
    )
    config = json.loads((folder / "transformer/config.json").read_text())
    del config["rope_temporal_skip_len"]
    config["_class_name"] = "WanTransformer3DModel"
    (folder / "transformer/config.json").write_text(json.dumps(config))
    edit(folder / "image_processor/preprocessor_config.json", processor_class="CLIPProcessor")
    edit(folder / "tokenizer/tokenizer_config.json", tokenizer_class="T5TokenizerFast")
    edit(
        folder / "image_encoder/config.json",
        architectures=["CLIPVisionModelWithProjection"],
        projection_dim=4,
    )
    weights = load_file(folder / "image_encoder/model.safetensors")
    weights = {
        f"vision_model.{name.removeprefix('vision_model.')}": weights[name] for name in weights
    }
    weights["visual_projection.weight"] = torch.zeros(4, 8)
    save_file(weights, folder / "image_encoder/model.safetensors", {"format": "pt"})


def test_a_saved_model_predicts_as_it_did(folder: Path, wide: Components, kit: Any) -> None:
    loaded = load(folder, denoising_steps=4, guidance=1.0, reasoning_steps=2)
    prompt = kit.prompt(1)
    torch.testing.assert_close(
        loaded.latents([prompt])[0],
        kit.model(wide, reasoning_steps=2).latents([prompt])[0],
        atol=1e-5,
        rtol=0,
    )
    assert loaded.identity["name"] == str(folder)
    assert loaded.identity["revision"] is None


def test_the_published_repository_loads_right(
    folder: Path, wide: Components, kit: Any, tmp_path: Path
) -> None:
    publish_like_nvidia(folder)
    # What is emulated is real: these classes read their part of the folder.
    CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder", local_files_only=True)
    components = load_components(folder)
    assert isinstance(components.transformer, ChronoEditTransformer3DModel)
    assert components.latents == 8
    prompt = kit.prompt(1)
    for reasoning_steps in (0, 2):
        torch.testing.assert_close(
            kit.model(components, reasoning_steps=reasoning_steps).latents([prompt])[0],
            kit.model(wide, reasoning_steps=reasoning_steps).latents([prompt])[0],
            atol=1e-5,
            rtol=0,
        )


def test_half_precision_weights_compute_in_float32(folder: Path) -> None:
    for path in folder.glob("*/*.safetensors"):
        halves = {name: value.half() for name, value in load_file(path).items()}
        save_file(halves, path, {"format": "pt"})
    components = load_components(folder)
    for part in ("transformer", "vae", "text_encoder", "image_encoder"):
        weights = getattr(components, part).parameters()
        assert {weight.dtype for weight in weights} == {torch.float32}


def test_bfloat16_is_for_the_large_parts_only(folder: Path, kit: Any) -> None:
    components = load_components(folder, ModelSettings(dtype="bfloat16"))
    assert components.dtype == torch.bfloat16
    assert components.text_encoder.dtype == torch.bfloat16
    assert components.vae.dtype == torch.float32
    assert components.image_encoder.dtype == torch.float32
    model = kit.model(components, reasoning_steps=2, scheduler="euler")
    latents = model.latents([kit.prompt(0)])[0]
    assert latents.dtype == torch.float32
    assert latents.isfinite().all()
    assert model.identity["dtype"] == "bfloat16"


def test_engines_share_one_set_of_weights_until_it_changes(folder: Path) -> None:
    first, second = load_components(folder), load_components(str(folder))
    assert first is second
    assert load_components(folder, ModelSettings(dtype="bfloat16")) is not first
    path = folder / "transformer" / WEIGHTS
    weights = load_file(path)
    weights["proj_out.bias"] += 1
    save_file(weights, path, {"format": "pt"})
    retrained = load_components(folder)  # and what was loaded before is not mistaken for it
    assert retrained is not first
    assert retrained.weights_hash != first.weights_hash


def test_a_shipped_folder_needs_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    load_components(folder)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "transformer/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        f"transformer/{WEIGHTS}",
        f"vae/{WEIGHTS}",
        "text_encoder/model.safetensors",
        "image_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "image_processor/preprocessor_config.json",
    ],
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    where = f"weight file .*{Path(name).parent}" if "safetensors" in name else Path(name).name
    with pytest.raises(ModelNotFound, match=where):
        load_components(folder)


def test_a_missing_part_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "image_encoder")
    with pytest.raises(ModelNotFound, match=r"image_encoder/config\.json"):
        load_components(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    (folder / f"transformer/{WEIGHTS}.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelNotFound, match=r"part-1\.safetensors is missing"):
        load_components(folder)


@pytest.mark.parametrize("suffix", [".bin", ".pt"])
def test_pickles_are_refused(folder: Path, suffix: str) -> None:
    path = folder / "transformer" / WEIGHTS
    path.rename(path.with_suffix(suffix))
    with pytest.raises(InvalidModel, match=rf"{suffix} is a pickle.*convert"):
        load_components(folder)


@pytest.mark.parametrize(
    ("part", "changes", "sentence"),
    [
        ("transformer", {"_class_name": "FluxTransformer2DModel"}, "FluxTransformer2DModel"),
        ("vae", {"_class_name": "AutoencoderKL"}, "'AutoencoderKL', but .* AutoencoderKLWan"),
        ("text_encoder", {"model_type": "bert"}, "'bert', but .* umt5 or t5"),
        ("image_encoder", {"model_type": "siglip"}, "'siglip', but .* clip_vision_model"),
        ("transformer", {"num_layers": 3}, "lacks .* weights .* blocks.2"),
        ("transformer", {"num_layers": 1}, "holds .* weights .* blocks.1"),
        ("transformer", {"ffn_dim": 48}, "cannot be loaded"),
        ("vae", {"base_dim": 8}, "cannot be loaded"),
        ("scheduler", {"_class_name": "NoScheduler"}, "scheduler 'NoScheduler'"),
    ],
)
def test_a_part_of_another_kind_is_refused(
    folder: Path, part: str, changes: dict[str, Any], sentence: str
) -> None:
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    edit(folder / part / name, **changes)
    with pytest.raises(InvalidModel, match=sentence):
        load_components(folder)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("model_index.json", "{", "is no JSON"),
        ("model_index.json", "[]", "must hold an object"),
        ("vae/config.json", "oops", "is no JSON"),
        (f"transformer/{WEIGHTS}", "cut off", "cannot be read as safetensors"),
        ("text_encoder/model.safetensors", "cut off", "cannot be read as safetensors"),
        ("tokenizer/tokenizer.json", "{}", "cannot be loaded"),
    ],
)
def test_a_spoilt_file_is_refused(folder: Path, name: str, content: str, sentence: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(InvalidModel, match=sentence):
        load_components(folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"in_channels": 16}, r"in_channels is 16, but 2 x z_dim .* is 36"),
        ({"out_channels": 8}, r"out_channels is 8, but the z_dim is 16"),
        ({"text_dim": 24}, r"text_dim is 24, but the text encoder's d_model is 16"),
        ({"image_dim": 12}, r"image_dim is 12, but the image encoder's hidden_size is 8"),
        ({"image_dim": None, "added_kv_proj_dim": None}, r"image_dim is None, .* is 8"),
        ({"added_kv_proj_dim": 20}, r"added_kv_proj_dim is 20, but its heads x head size is 24"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    wide: Components, kit: Any, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidModel, match=sentence):
        kit.remake(wide, transformer=kit.transformer(**changes))


def test_a_tokenizer_of_another_model_is_refused(wide: Components, kit: Any) -> None:
    tokenizer = kit.tokenizer()
    tokenizer.add_tokens(["strange"])
    with pytest.raises(InvalidModel, match=r"knows .* tokens, but the text encoder has rows for"):
        kit.remake(wide, tokenizer=tokenizer)


def test_a_wan_transformer_is_refused(wide: Components, kit: Any) -> None:
    class WanTransformer3DModel(torch.nn.Module):
        pass

    with pytest.raises(InvalidModel, match="not a WanTransformer3DModel"):
        kit.remake(wide, transformer=WanTransformer3DModel())


@pytest.mark.parametrize("location", ["/nowhere/model", "./model", "~/no/model", "a/b/c"])
def test_a_missing_folder_is_named(location: str) -> None:
    with pytest.raises(ModelNotFound, match=f"no model folder {location}"):
        load_components(location)


def test_a_hub_that_gives_nothing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelNotFound, match=r"nvidia/ChronoEdit-14B-Diffusers.*local folder"):
        load("chronoedit-14b", check_memory=False)


def test_a_snapshot_of_the_hub_is_used_without_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--nvidia--ChronoEdit-14B-Diffusers"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    model = load("chronoedit-14b-think")
    assert model.identity["revision"] == commit
    assert model.identity["name"] == "chronoedit-14b-think"
    assert model.sampling.reasoning_steps == 10


@pytest.mark.parametrize("device", ["quantum", "cuda:99"])
def test_an_unknown_device_is_refused(folder: Path, device: str) -> None:
    with pytest.raises(InvalidConfig, match=f"no device '{device}' here"):
        load_components(folder, ModelSettings(device=device))


def test_an_unknown_dtype_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"float32, .*float16, not 'float64'"):
        load_components(folder, ModelSettings(dtype="float64"))


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("transformer/config.json", {"num_layers": 10**8}, "asks for"),
        ("text_encoder/config.json", {"vocab_size": 2_000_000}, "asks for"),
        ("text_encoder/config.json", {"num_layers": 10**9}, "asks for"),
        ("image_encoder/config.json", {"num_hidden_layers": 10**8}, "asks for"),
        ("vae/config.json", {"dim_mult": [10**6] * 4}, "asks for"),
        ("transformer/config.json", {"rope_max_seq_len": 10**9}, "rope_max_seq_len above"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}, "timesteps above"),
    ],
)
def test_a_config_that_asks_for_more_than_the_weights_hold(
    folder: Path, file: str, changes: dict[str, Any], said: str
) -> None:
    edit(folder / file, **changes)
    with pytest.raises(InvalidModel, match=said):
        load(folder, device="cpu", check_memory=False)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("vae/config.json", {"latents_std": [0.0] * 16}, "nothing can be divided by it"),
        ("vae/config.json", {"latents_mean": [float("nan")] * 16}, "latents_mean with nan"),
        ("image_processor/preprocessor_config.json", {"image_std": [0, 1, 1]}, "be divided by"),
        ("transformer/config.json", {"num_attention_heads": 0}, "model"),
        ("image_encoder/config.json", {"patch_size": 0}, "are not ChronoEdit's"),
        ("image_encoder/config.json", {"num_hidden_layers": -1}, "has -1 hidden layers"),
        ("text_encoder/config.json", {"d_model": None}, "are not ChronoEdit's"),
        ("image_encoder/config.json", {"layer_norm_eps": "0"}, "layer_norm_eps '0', but it is one"),
        ("image_processor/preprocessor_config.json", {"size": {"shortest_edge": 10**6}}, "4096"),
        ("image_processor/preprocessor_config.json", {"resample": None}, "must be specified"),
        ("scheduler/scheduler_config.json", {"final_sigmas_type": [0.0]}, "must be one of 'zero'"),
        ("text_encoder/config.json", {"pad_token_id": 2**64}, "but it is one like 0"),
        (
            "tokenizer/tokenizer_config.json",
            {"model_max_length": [9]},
            "tokenizer cannot be loaded",
        ),
        (
            "transformer/config.json",
            {"eps": [1e-6]},
            r"has eps \[1e-06\], but it is one like 1e-06",
        ),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    folder: Path, file: str, changes: dict[str, Any], said: str
) -> None:
    edit(folder / file, **changes)
    with pytest.raises(InvalidModel, match=said):
        load(folder, device="cpu")


@pytest.mark.parametrize("shards", [[], None, 7, {"a": 7}, {"a": "../vae/config.json"}])
def test_an_index_names_files_beside_it(folder: Path, shards: Any) -> None:
    (folder / "vae" / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(InvalidModel, match="must map weights to files beside it"):
        load(folder, device="cpu")


def test_what_has_no_end_is_not_read(folder: Path) -> None:
    weights = folder / "vae" / WEIGHTS
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(InvalidModel, match="is no plain file"):
        load(folder, device="cpu")
    weights.unlink()
    (folder / "vae" / "config.json").write_text("[" * 100_000)
    with pytest.raises(InvalidModel, match="is no JSON"):
        load(folder, device="cpu")


def test_code_in_a_folder_is_never_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    edit(
        folder / "tokenizer" / "tokenizer_config.json",
        tokenizer_class="Evil",
        auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
    )
    (folder / "tokenizer" / "evil.py").write_text("raise SystemExit('run')\nclass Evil: ...\n")
    with pytest.raises(InvalidModel, match="custom code"):
        load(folder, device="cpu")
