"""Ways into less memory: the answers stay, the weights lie elsewhere or in fewer bits."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.models.engine.components import Components
from chronosim.models.loading.load import load
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.weights import place, take_turns

CPU = torch.device("cpu")
THERE = torch.device("cpu", 0)  # the same memory by another name, so that journeys can be counted
PARTS = ("text_encoder", "image_encoder", "transformer", "vae")
SETTINGS: dict[str, Any] = {"denoising_steps": 3, "guidance": 2.0, "reasoning_steps": 1}


@pytest.fixture
def networks(wide: Components) -> dict[str, Any]:
    return {part: deepcopy(getattr(wide, part)) for part in PARTS}


def test_only_the_network_whose_turn_it_is_lies_on_the_device(
    wide: Components, networks: dict[str, Any], kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = kit.model(wide, **SETTINGS).predict([kit.prompt(1)])[0]
    journeys: list[tuple[str, str]] = []
    for part, network in networks.items():
        monkeypatch.setattr(
            network, "to", lambda device, part=part: journeys.append((part, str(device)))
        )
    take_turns(networks, THERE)
    [made] = kit.model(kit.remake(wide, **networks), **SETTINGS).predict([kit.prompt(1)])
    assert (made.trajectory == expected.trajectory).all()
    arrivals = [part for part, device in journeys if device == str(THERE)]
    turns = [
        part for part, before in zip(arrivals, ["", *arrivals], strict=False) if part != before
    ]
    assert turns == ["text_encoder", "vae", "image_encoder", "text_encoder", "transformer", "vae"]
    for index, (_, device) in enumerate(journeys):
        if device == str(THERE):  # the three others were sent off first
            assert {d for _, d in journeys[index - 3 : index]} == {"cpu"}


def test_streaming_blocks_changes_no_bit(
    wide: Components, networks: dict[str, Any], kit: Any
) -> None:
    expected = kit.model(wide, **SETTINGS).latents([kit.prompt(1)])[0]
    place(networks, ModelSettings(offload="group"), CPU, torch.float32)
    assert hasattr(networks["transformer"].blocks[0], "_diffusers_hook")
    model = kit.model(kit.remake(wide, **networks), **SETTINGS)
    assert model.components.device == CPU
    assert torch.equal(model.latents([kit.prompt(1)])[0], expected)


def test_float8_storage_computes_in_full_precision(folder: Path, kit: Any) -> None:
    plain, small = load(folder, **SETTINGS), load(folder, storage="float8", **SETTINGS)
    weights = dict(small.components.transformer.named_parameters())
    assert weights["blocks.0.ffn.net.2.weight"].dtype == torch.float8_e4m3fn
    assert weights["patch_embedding.weight"].dtype == torch.float32
    assert small.components.dtype == torch.float32
    ours, theirs = (model.latents([kit.prompt(1)])[0] for model in (small, plain))
    assert not torch.equal(ours, theirs)
    torch.testing.assert_close(ours, theirs, atol=0.2, rtol=0)
    assert small.identity["storage"] == "float8"
    assert "storage" not in plain.identity


def test_tiles_and_slices_reach_the_autoencoder(folder: Path) -> None:
    tiled = load(folder, tiling=True)
    assert tiled.components.vae.use_tiling
    assert tiled.components.vae.use_slicing
    assert tiled.identity["tiling"] is True
    plain = load(folder, slicing=False)
    assert not plain.components.vae.use_tiling
    assert not plain.components.vae.use_slicing


def test_engines_share_weights_only_of_equal_settings(folder: Path) -> None:
    one = load(folder)
    assert load(folder, micro_batch=2).components is one.components
    assert load(folder, preset="chronoedit-14b-think").components is one.components
    assert load(folder, tiling=True).components is not one.components


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_a_quantiser_is_asked_and_named_where_it_is_missing(folder: Path, part: str) -> None:
    """Quanto, for it needs no GPU to be asked; it is on its way out of both libraries."""
    config: Any = transformers.QuantoConfig(weights="int8")
    if part == "transformer":
        config = diffusers.QuantoConfig(weights_dtype="int8")
    with pytest.raises(MissingDependency, match=rf"{part} cannot be loaded without .*quanto"):
        load(folder, quantization={part: config})


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"offload": "disk"}, "offload must be model or group, or null, not 'disk'"),
        ({"offload": "model"}, "keeps weights off a GPU, but this model computes on the cpu"),
        ({"storage": "int4"}, "storage must be float8 or null, not 'int4'"),
        ({"quantization": {"vae": 1}}, "quantization is for transformer and text_encoder, not"),
        ({"loras": [7]}, "a LoRA is a file, or a mapping of its location and weight, not 7"),
        ({"loras": [{"location": "a", "weight": "b"}]}, "weight must be a number, not 'b'"),
        ({"loras": [{"location": "a", "scale": 1}]}, "a LoRA is a file, or a mapping"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    folder: Path, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidConfig, match=sentence):
        load(folder, device="cpu", **settings)
