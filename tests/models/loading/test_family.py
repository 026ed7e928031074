"""Every preset by its name, from repositories laid out as NVIDIA's, against diffusers' pipeline."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UniPCMultistepScheduler
from safetensors.torch import save_file
from torch import Tensor

from chronosim.errors import InvalidConfig, InvalidModel, ModelNotFound
from chronosim.models.engine.components import Components
from chronosim.models.loading.load import load
from chronosim.models.loading.plan import explain, plan_model
from chronosim.models.loading.presets import PRESETS

BASE = "nvidia/ChronoEdit-14B-Diffusers"
FAMILY = {
    "chronoedit-14b": [],
    "chronoedit-14b-think": [],
    "chronoedit-14b-turbo": ["chronoedit_distill_lora"],
    "upscaler": ["upsample_lora_diffusers"],
    "paint-brush": ["chronoedit_distill_lora", "paintbrush_lora_diffusers"],
}
# Fifty steps show no more than a few; the distilled ones run as published.
FEWER: dict[str, dict[str, Any]] = {
    "chronoedit-14b": {"denoising_steps": 3},
    "chronoedit-14b-think": {"denoising_steps": 4, "reasoning_steps": 2},
    "upscaler": {"denoising_steps": 3},
}


def make_lora(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    layers = [f"blocks.{i}.attn1.{part}" for i in (0, 1) for part in ("to_q", "to_v", "to_out.0")]
    return {
        f"transformer.{layer}.{name}.weight": torch.randn(shape, generator=generator)
        for layer in layers
        for name, shape in (("lora_A", (2, 24)), ("lora_B", (24, 2)))
    }


LORAS = {
    "chronoedit_distill_lora": (f"{BASE}", "lora/chronoedit_distill_lora.safetensors", 1),
    "upsample_lora_diffusers": (f"{BASE}-Upscaler-Lora", "upsample_lora_diffusers.safetensors", 2),
    "paintbrush_lora_diffusers": (
        f"{BASE}-Paint-Brush-Lora",
        "paintbrush_lora_diffusers.safetensors",
        3,
    ),
}


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the model hub with the three repositories, and nobody to ask."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    shutil.copytree(folder, snapshot(cache, BASE))
    for repository, name, seed in LORAS.values():
        path = snapshot(cache, repository) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(make_lora(seed), path)
    return cache


def snapshot(cache: Path, repository: str) -> Path:
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(commit)
    return place / "snapshots" / commit


@pytest.mark.parametrize("name", FAMILY)
def test_a_preset_equals_diffusers_with_its_loras(
    name: str, hub: Path, wide: Components, kit: Any
) -> None:
    model = load(name, **FEWER.get(name, {}))
    transformer = deepcopy(wide.transformer)
    names = FAMILY[name]
    for lora in names:
        adapter = {k.removeprefix("transformer."): v for k, v in make_lora(LORAS[lora][2]).items()}
        with pytest.warns(UserWarning, match="peft_config") if lora != names[0] else no_warning():
            transformer.load_lora_adapter(adapter, prefix=None, adapter_name=lora)
    if names:
        transformer.set_adapters(names, [1.0] * len(names))
    scheduler = UniPCMultistepScheduler.from_config(
        wide.scheduler.config, flow_shift=model.sampling.flow_shift
    )
    stock = kit.remake(wide, transformer=transformer)
    theirs = kit.stock(stock, scheduler, kit.prompt(1), model.sampling, "latent")
    ours = model.latents([kit.prompt(1)])[0]
    torch.testing.assert_close(ours, theirs[0], atol=2e-3, rtol=0)
    assert [lora["file"] for lora in model.identity["loras"]] == [f"{n}.safetensors" for n in names]
    if names:
        plain = load("chronoedit-14b", **_same(model)).latents([kit.prompt(1)])[0]
        assert (ours - plain).abs().max() > 0.1


def no_warning() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def _same(model: Any) -> dict[str, Any]:
    sampling = model.sampling
    return {
        name: getattr(sampling, name)
        for name in ("denoising_steps", "guidance", "flow_shift", "reasoning_steps")
    }


def test_the_distilled_presets_carry_the_published_numbers() -> None:
    for name in ("chronoedit-14b-turbo", "paint-brush"):
        sampling = PRESETS[name].sampling
        assert (sampling.denoising_steps, sampling.guidance, sampling.flow_shift) == (8, 1.0, 2.0)
        assert sampling.reasoned_steps == 0
    upscaler = PRESETS["upscaler"].sampling
    assert upscaler == PRESETS["chronoedit-14b"].sampling


def test_a_download_of_the_repository_brings_its_own_lora(folder: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"chronoedit_distill_lora.safetensors .*`hf download"):
        load(folder, preset="chronoedit-14b-turbo")
    (folder / "lora").mkdir()
    save_file(make_lora(1), folder / "lora" / "chronoedit_distill_lora.safetensors")
    model = load(folder, preset="chronoedit-14b-turbo")
    assert [lora["file"] for lora in model.identity["loras"]] == [
        "chronoedit_distill_lora.safetensors"
    ]
    # The others come from repositories of their own; a copy beside it will do.
    shutil.copy(
        folder / "lora" / "chronoedit_distill_lora.safetensors",
        folder / "lora" / "paintbrush_lora_diffusers.safetensors",
    )
    assert len(load(folder, preset="paint-brush").identity["loras"]) == 2


def test_loras_of_ones_own_take_the_presets_place(folder: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        save_file(make_lora(seed), tmp_path / f"{name}.safetensors")
    loras = [tmp_path / "a.safetensors", {"location": str(tmp_path / "b.safetensors"), "weight": 0}]
    both = load(folder, preset="paint-brush", loras=loras)
    first = load(folder, preset="paint-brush", loras=loras[:1])
    assert [lora["weight"] for lora in both.identity["loras"]] == [1.0, 0.0]
    assert both.components is not first.components
    for ours, theirs in zip(
        both.components.transformer.parameters(),
        first.components.transformer.parameters(),
        strict=True,
    ):
        assert torch.equal(ours, theirs)  # a weight of nought changes nothing
    bare = load(folder, preset="paint-brush", loras=[])
    assert bare.identity["loras"] == []


def test_a_cache_of_ones_own_is_looked_in(
    hub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(ModelNotFound, match="empty"):
        load("chronoedit-14b", check_memory=False)
    assert load("chronoedit-14b", cache=hub).identity["revision"] is not None


def test_missing_weights_are_said_with_where_and_how(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFound) as error:
        load(
            "chronoedit-14b-turbo",
            cache=tmp_path,
            endpoint="http://mirror.invalid",
            check_memory=False,
        )
    said = str(error.value)
    for part in ("transformer, text_encoder", BASE, str(tmp_path), "http://mirror.invalid"):
        assert part in said
    assert f"hf download {BASE}" in said
    assert "\n" not in said


def test_a_mirror_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> None:
    asked: dict[str, Any] = {}

    def download(repository: str, **settings: Any) -> str:
        if settings.get("local_files_only"):
            raise FileNotFoundError
        asked.update(settings, repository=repository)
        return str(folder)

    monkeypatch.setattr("chronosim.models.loading.sources.snapshot_download", download)
    load(BASE, endpoint="http://mirror.invalid", revision="abc", check_memory=False)
    assert asked["repository"] == BASE
    assert (asked["endpoint"], asked["revision"]) == ("http://mirror.invalid", "abc")
    assert "lora/*" in asked["ignore_patterns"]
    assert not any("bin" in pattern for pattern in asked["allow_patterns"])


def test_a_lora_for_another_base_is_refused_before_the_weights_are_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "chronosim.models.loading.weights._load_model", lambda *_: pytest.fail("read")
    )
    lora = {
        name: torch.zeros(value.shape[0] * 2, value.shape[1] * 2)
        for name, value in make_lora(1).items()
    }
    save_file(lora, tmp_path / "lora.safetensors")
    with pytest.raises(InvalidModel, match="is a LoRA for another base"):
        load(folder, loras=[tmp_path / "lora.safetensors"])


def test_the_unpublished_one_says_so() -> None:
    with pytest.raises(InvalidConfig, match="neither its weights nor its config were published"):
        load("chronoedit-2b")


@pytest.mark.parametrize("name", ["chronoedit-14b-turbo", "paint-brush"])
def test_guidance_is_refused_where_it_is_built_in(name: str) -> None:
    with pytest.raises(InvalidConfig, match=f"{name} has its guidance built in: .* at 1, not 5"):
        load(name, guidance=5.0)
    with pytest.raises(InvalidConfig, match=r"between 0 and denoising_steps \(8\)"):
        load(name, reasoning_steps=9)


@pytest.mark.parametrize("missing", ["*/*.safetensors", "vae", "text_encoder"])
def test_a_download_that_was_broken_off_is_not_taken_for_a_model(hub: Path, missing: str) -> None:
    for place in snapshot(hub, BASE).glob(missing):
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(ModelNotFound, match=r"get it with `hf download nvidia/ChronoEdit-14B"):
        load("chronoedit-14b", check_memory=False)
    assert "to download from" in explain(plan_model("chronoedit-14b"))
