"""Memory and arithmetic of a model, reckoned before it is loaded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ChronoEditTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode

from chronosim.errors import InvalidConfig, InvalidModel, ModelNotFound
from chronosim.models.engine.components import Components
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.architecture import CHRONOEDIT_14B, estimate_cost, read_architecture
from chronosim.models.loading.cards import say
from chronosim.models.loading.load import load
from chronosim.models.loading.placement import GIB, cheaper_settings, estimate_memory, free_memory
from chronosim.models.loading.plan import explain, plan_model
from chronosim.models.loading.settings import ModelSettings

SIZE = (720, 1280)
Free = Callable[[float], None]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """Makes a machine of so many GiB, on the device and beside it."""

    def limit(size: float) -> None:
        monkeypatch.setattr(
            "chronosim.models.loading.plan.free_memory", lambda _: round(size * GIB)
        )
        monkeypatch.setattr(
            "chronosim.models.loading.plan.free_memory", lambda _: round(size * GIB)
        )

    return limit


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a plan be made for a GPU; nothing is put there."""
    monkeypatch.setattr("chronosim.models.loading.plan.find_device", lambda _: torch.device("cuda"))


def reckon(**settings: Any) -> Any:
    return estimate_memory(
        CHRONOEDIT_14B,
        ModelSettings(**settings),
        SIZE,
        dtype=torch.bfloat16,
        latents=8,
        rows=1,
        on_cpu=False,
        guided=False,
    )


def test_the_published_shape_is_the_real_one() -> None:
    with torch.device("meta"):
        block = ChronoEditTransformer3DModel(
            in_channels=36, image_dim=1280, added_kv_proj_dim=5120, num_layers=1
        )
    whole = sum(value.numel() for value in block.parameters())
    of_block = sum(value.numel() for value in block.blocks.parameters())
    assert CHRONOEDIT_14B.block_parameters == 40 * of_block
    assert CHRONOEDIT_14B.parameters["transformer"] == whole + 39 * of_block


def test_a_folder_is_counted_from_its_headers(folder: Path, wide: Components) -> None:
    model = read_architecture(folder)
    for part, count in model.parameters.items():
        assert count == sum(value.numel() for value in getattr(wide, part).parameters())
    blocks = wide.transformer.blocks.parameters()
    assert model.block_parameters == sum(value.numel() for value in blocks)
    assert (model.latents, model.width, model.vision_tokens) == (8, 24, 17)
    assert model.tokens((32, 48), 2) == 2 * 2 * 3


def test_configs_of_another_model_are_refused(folder: Path) -> None:
    (folder / "vae" / "config.json").write_text('{"_class_name": "AutoencoderKLWan"}')
    with pytest.raises(InvalidModel, match="are not ChronoEdit's: KeyError"):
        read_architecture(folder)
    (folder / "vae" / "config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"config\.json is missing"):
        read_architecture(folder)


def test_arithmetic_is_what_pytorch_counts() -> None:
    with torch.device("meta"):
        model = ChronoEditTransformer3DModel(
            in_channels=36, image_dim=1280, added_kv_proj_dim=5120, num_layers=1
        )
        inputs = {
            "hidden_states": torch.empty(1, 36, 2, 90, 160),
            "timestep": torch.empty(1),
            "encoder_hidden_states": torch.empty(1, 512, 4096),
            "encoder_hidden_states_image": torch.empty(1, 257, 1280),
        }
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(**inputs)
    one = replace(CHRONOEDIT_14B, layers=1)
    cost = estimate_cost(one, Sampling(1, 1.0), SIZE)
    # The stock model also projects 769 tokens of context anew, and attends to 384 more of them.
    assert counter.get_total_flops() == pytest.approx(cost.plain, rel=0.05)


def test_arithmetic_adds_up_over_the_steps() -> None:
    plain = estimate_cost(CHRONOEDIT_14B, Sampling(8, 1.0), SIZE)
    assert plain.prediction == 8 * plain.plain
    assert 6 < plain.reasoning / plain.plain < 6.5  # attention grows faster than the tokens
    guided = estimate_cost(CHRONOEDIT_14B, Sampling(50, 5.0, reasoning_steps=10), SIZE)
    assert guided.plain == 2 * plain.plain
    assert guided.prediction == 10 * guided.reasoning + 40 * guided.plain


def test_each_way_into_less_memory_is_one() -> None:
    all_on_it = reckon()
    assert 60 < all_on_it.device / GIB < 64
    # The transformer goes through main memory on its way; nothing stays there.
    assert all_on_it.host == all_on_it.weights["transformer"]
    assert all_on_it.stages[-1].host == 0
    tiled, turns = reckon(tiling=True), reckon(offload="model")
    assert 46 < tiled.device / GIB < 50
    assert 34 < turns.device / GIB < 36
    assert turns.host / GIB == pytest.approx(43.9, abs=0.1)
    eight = reckon(storage="float8")
    assert eight.weights["transformer"] / GIB == pytest.approx(15.5, abs=0.1)
    both = reckon(storage="float8", offload="model", tiling=True)
    assert 19 < both.device / GIB < 21
    assert both.stages[-1].host / GIB == pytest.approx(28.9, abs=0.1)
    assert both.host / GIB == pytest.approx(30.5, abs=0.1)  # the transformer, in 16 bits at first
    streamed = reckon(offload="group", tiling=True)
    assert streamed.device < both.device
    assert streamed.host / GIB == pytest.approx(59.5, abs=0.1)  # 41.1, each tensor rounded up
    loose = reckon(offload="group", tiling=True, pinned=False)
    assert loose.host / GIB == pytest.approx(41.1, abs=0.1)
    assert loose.device == streamed.device
    assert reckon(slicing=False).device == all_on_it.device  # one row has nothing to slice


def test_quantised_weights_are_counted_as_stored(tmp_path: Path) -> None:
    class Quantizer:
        quant_method = "any"

    class EightBit(Quantizer):
        load_in_8bit = True

    class FourBit(Quantizer):
        load_in_4bit = True

    whole = reckon().weights
    eight = reckon(quantization={"transformer": EightBit(), "text_encoder": FourBit()}).weights
    assert eight["transformer"] == whole["transformer"] / 2
    assert eight["text_encoder"] == whole["text_encoder"] * 0.5625 / 2
    assert reckon(quantization={"transformer": Quantizer()}).weights == whole


def test_free_memory_is_that_of_the_machine() -> None:
    assert 0 < free_memory(torch.device("cpu")) < 2**50


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("size", "advice"),
    [
        (45, "offload=model would fit in 32.* GiB"),
        (30, "storage=float8 offload=model would fit in 17"),
        (12, "offload=group tiling=true would fit in 7"),
        (4, "nothing that makes it smaller would fit: take nano"),
    ],
)
def test_too_little_memory_is_said_before_anything_is_fetched(
    size: float, advice: str, free: Free, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "chronosim.models.loading.load.load_components", lambda *_: pytest.fail("read")
    )
    # As much main memory as one likes; the GPU is what is small.
    monkeypatch.setattr(
        "chronosim.models.loading.plan.free_memory",
        lambda device: round((size if device.type == "cuda" else 128) * GIB),
    )
    with pytest.raises(InvalidConfig, match=rf"chronoedit-14b-turbo needs about .*{advice}"):
        load("chronoedit-14b-turbo", cache=tmp_path)


@pytest.mark.usefixtures("gpu")
def test_what_waits_needs_main_memory(free: Free, tmp_path: Path) -> None:
    free(40)
    with pytest.raises(InvalidConfig, match=r"needs about 43.9 GiB of main memory, .* 40.0 are"):
        load("chronoedit-14b-turbo", offload="model", dtype="bfloat16", cache=tmp_path)


def test_a_small_machine_runs_what_is_small(folder: Path, free: Free) -> None:
    free(0.5)
    load(folder)
    free(0.001)
    with pytest.raises(InvalidConfig, match="needs about"):
        load(folder)
    load(folder, check_memory=False)


def test_an_explanation_names_files_memory_and_arithmetic(free: Free, tmp_path: Path) -> None:
    free(20)
    plan = plan_model(
        "paint-brush",
        device="cpu",
        dtype="bfloat16",
        cache=tmp_path,
        endpoint="http://mirror.invalid",
    )
    said = explain(plan)
    for part in (
        "8 denoising steps, 0 of them with reasoning, no guidance, flow shift 2",
        "to download from http://mirror.invalid",
        str(tmp_path),
        "transformer          30.54 GiB",
        "chronoedit_distill_lora.safetensors (to download)",
        "paintbrush_lora_diffusers.safetensors (to download)",
        "on cpu at 720 x 1280",
        "20.0 are free",
        "too little",
        "217 TFLOP a denoising step",
        "1.74 PFLOP a prediction",
    ):
        assert part in said
    assert "on cpu at 480 x 832" in explain(plan, (480, 832))


def test_an_explanation_of_a_folder_knows_its_sizes(folder: Path, tmp_path: Path) -> None:
    said = explain(plan_model(folder, transformer=None, device="cpu"), (64, 64))
    assert str(folder) in said
    assert "to download" not in said
    assert "too little" not in said
    assert "MFLOP a denoising step" in said


def test_nothing_is_known_of_a_strangers_model(tmp_path: Path) -> None:
    plan = plan_model("somebody/their-model", cache=tmp_path)
    plan.check_memory()
    with pytest.raises(ModelNotFound, match="hf download somebody/their-model"):
        explain(plan)


def test_what_does_not_go_together_is_no_way_into_less_memory() -> None:
    def ways(**chosen: Any) -> list[str]:
        found = cheaper_settings(ModelSettings(**chosen), on_cpu=False)
        return [say(how, "") for how, _ in found]

    assert ways(fused=True) == ["micro_batch=1", "tiling=true"]
    assert "offload=group tiling=true" not in ways(compiled=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"micro_batch": 0}, "micro_batch must be a whole number of at least 1 or null, not 0"),
        ({"micro_batch": -1}, "micro_batch must be a whole number of at least 1 or null, not -1"),
        ({"quantization": {"transformer": 1}}, "config of diffusers', such as .*, not 1"),
    ],
)
def test_settings_of_another_kind_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        ModelSettings(**settings)


def test_a_lone_lora_is_a_list_of_one() -> None:
    [lora] = ModelSettings(loras="mine.safetensors").read_loras() or ()
    assert (lora.location, lora.weight) == ("mine.safetensors", 1.0)
    with pytest.raises(InvalidConfig, match=r"a LoRA is a file, or a mapping .* not 5"):
        ModelSettings(loras=5).read_loras()
