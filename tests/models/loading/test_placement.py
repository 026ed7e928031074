"""Ways into less memory: the answers stay, the weights lie elsewhere or in fewer bits."""

from collections.abc import Iterable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.models.engine.components import Components
from chronosim.models.loading import placement, weights
from chronosim.models.loading.architecture import PARTS, read_architecture
from chronosim.models.loading.load import load
from chronosim.models.loading.placement import (
    LOADING_ORDER,
    Guest,
    estimate_memory,
    place,
    take_turns,
)
from chronosim.models.loading.plan import plan_model
from chronosim.models.loading.settings import ModelSettings

CPU = torch.device("cpu")
THERE = torch.device("cpu", 0)  # the same memory by another name, so that journeys can be counted
SETTINGS: dict[str, Any] = {"denoising_steps": 3, "guidance": 2.0, "reasoning_steps": 1}


@pytest.fixture
def networks(wide: Components) -> dict[str, Any]:
    return {part: deepcopy(getattr(wide, part)) for part in PARTS}


def test_only_the_network_whose_turn_it_is_lies_on_the_device(
    wide: Components, networks: dict[str, Any], kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = kit.model(wide, **SETTINGS).predict([kit.prompt(1)])[0]
    journeys: list[tuple[str, str]] = []

    def watch(what: str) -> None:
        method = getattr(Guest, what)

        def watched(guest: Any) -> None:
            [part] = [part for part, network in networks.items() if network is guest._network]
            journeys.append((what, part))
            method(guest)

        monkeypatch.setattr(Guest, what, watched)

    watch("arrive")
    watch("leave")
    take_turns(networks, THERE)
    [made] = kit.model(kit.remake(wide, **networks), **SETTINGS).predict([kit.prompt(1)])
    assert (made.trajectory == expected.trajectory).all()
    arrivals = [part for what, part in journeys if what == "arrive"]
    turns = [
        part for part, before in zip(arrivals, ["", *arrivals], strict=False) if part != before
    ]
    assert turns == ["text_encoder", "vae", "image_encoder", "transformer", "vae"]
    for index, (what, part) in enumerate(journeys):
        if what == "arrive":  # the three others were sent off first
            left = journeys[index - 3 : index]
            assert left == [("leave", other) for other in networks if other != part]


def test_leaving_a_device_copies_nothing_back(networks: dict[str, Any]) -> None:
    network = networks["transformer"]
    state = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    guest = Guest(network, torch.device("meta"))
    guest.arrive()
    assert network.device.type == "meta"
    guest.leave()
    assert {name: tensor.data_ptr() for name, tensor in network.state_dict().items()} == state
    assert {tensor.device for tensor in network.buffers()} <= {CPU}


def memory_of(networks: Iterable[Any], device: str) -> int:
    """What lies there; without buffers, a few numbers that the plan leaves out."""
    return sum(
        tensor.nbytes
        for network in networks
        for name, tensor in network.named_parameters()
        # The text encoder's table of words, by its second name: PyTorch parts the two on meta.
        if tensor.device.type == device and name != "encoder.embed_tokens.weight"
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"storage": "float8"}, {"offload": "model"}, {"offload": "model", "storage": "float8"}],
)
def test_loading_stages_what_the_plan_says(
    folder: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's meta device stands for a GPU: what goes there leaves main memory."""
    chosen, dtype = ModelSettings(**settings), torch.float32
    planned = estimate_memory(
        read_architecture(folder),
        chosen,
        (32, 32),
        dtype=dtype,
        latents=2,
        rows=1,
        on_cpu=False,
        guided=False,
    )
    seen: list[Any] = []
    staged: list[int] = []

    def watched(network: Any) -> Any:
        seen.append(network)
        staged.append(memory_of(seen, "cpu"))
        return network

    monkeypatch.setattr(weights, "_load_model", partial(_watch, weights._load_model, watched))
    parts = weights.read_components(
        folder, device=torch.device("meta"), dtype=dtype, settings=chosen
    )
    loading = [stage for stage in planned.stages if stage.name.startswith("loading")]
    # In 8 bits the blocks' norms stay as they are: nothing of the 14B, two hundredths here.
    within = 0.03 if chosen.storage else 0
    assert [stage.host for stage in loading] == pytest.approx(staged, rel=within)
    networks = [getattr(parts, part) for part in PARTS]
    there = memory_of(networks, "meta")
    assert loading[-1].device - 2**30 == pytest.approx(there, rel=within)  # 1 GiB to spare
    waits = 0 if chosen.offload is None else memory_of(networks, "cpu")
    assert planned.stages[-1].host == pytest.approx(waits, rel=within)


def _watch(load: Any, watched: Any, *args: Any, **named: Any) -> Any:
    return watched(load(*args, **named))


def test_streamed_weights_are_pinned_one_by_one_and_reckoned_in_powers_of_two(
    networks: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[int] = []
    told: list[dict[str, Any]] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.nbytes)
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(placement, "apply_group_offloading", lambda *_, **how: told.append(how))
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, *_: module)
    gpu, model = torch.device("cuda"), read_architecture(folder)
    for keep in (True, False):
        chosen = ModelSettings(offload="group", pinned=keep)
        place([(part, networks[part]) for part in LOADING_ORDER], chosen, gpu, torch.float32)
    assert [how["low_cpu_mem_usage"] for how in told] == [False, False, True, True]
    assert len(pinned) == len(list(networks["transformer"].blocks.parameters())) + len(
        list(networks["text_encoder"].parameters())
    )
    how = {"dtype": torch.float32, "latents": 2, "rows": 1, "on_cpu": False, "guided": False}
    chosen = ModelSettings(offload="group")
    host = estimate_memory(model, chosen, (32, 32), **how).stages[-1].host  # type: ignore[arg-type]
    rest = sum(
        tensor.nbytes
        for name, tensor in networks["transformer"].named_parameters()
        if not name.startswith("blocks.")
    )
    assert host == rest + sum(1 << (size - 1).bit_length() for size in pinned)


def test_streaming_blocks_changes_no_bit(
    wide: Components, networks: dict[str, Any], kit: Any
) -> None:
    expected = kit.model(wide, **SETTINGS).latents([kit.prompt(1)])[0]
    place(networks.items(), ModelSettings(offload="group"), CPU, torch.float32)
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
        ({"storage": "int4"}, "storage must be float8 or float8-matmul, or null, not 'int4'"),
        ({"quantization": {"vae": 1}}, "quantization is for transformer and text_encoder, not"),
        ({"loras": [7]}, "a LoRA is a file, or a mapping of its location and weight, not 7"),
        ({"loras": [{"location": "a", "weight": "b"}]}, "weight must be a finite number, not 'b'"),
        ({"loras": [{"location": "a", "scale": 1}]}, "a LoRA is a file, or a mapping"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    folder: Path, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidConfig, match=sentence):
        load(folder, device="cpu", **settings)


def test_the_autoencoder_may_have_fewer_bits(folder: Path) -> None:
    model = load(folder, vae_dtype="bfloat16")
    assert model.components.vae.dtype == torch.bfloat16
    assert model.identity["vae_dtype"] == "bfloat16"
    assert "vae_dtype" not in load(folder).identity
    half = load(folder, dtype="float16")
    assert half.identity["dtype"] == "float16"
    with pytest.raises(InvalidConfig, match="vae_dtype"):
        load(folder, vae_dtype="int8")


def test_a_bfloat16_autoencoder_halves_what_it_works_with() -> None:
    usual, half = (
        plan_model("chronoedit-14b", gpu="h100", **given).memory((720, 1280))
        for given in ({}, {"vae_dtype": "bfloat16"})
    )
    assert usual is not None
    assert half is not None
    spared = (usual.device - half.device) / 2**30
    assert spared == pytest.approx(17 / 2, abs=1)
