"""What models take on GPUs that are not here, reckoned from published shapes."""

from typing import Any

import diffusers
import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from chronosim.errors import InvalidConfig, ModelNotFound
from chronosim.models.loading.architecture import CHRONOEDIT_14B, autoencoder_flops, estimate_cost
from chronosim.models.loading.cards import CARDS, Outlook, Way, Work, find_card
from chronosim.models.loading.placement import GIB, Stage
from chronosim.models.loading.plan import explain, plan_model
from chronosim.models.rivals.outlook import explain_model
from chronosim.settings.parts import describe, names

hf: Any = diffusers  # untyped
_WRITER = "chronosim.models.load_writer"
LOADED = [name for name in names("model") if name not in ("echo", "remote", "chronoedit-2b")]


def said(name: str, gpu: str | None = None, **settings: Any) -> str:
    values = describe("model", name)
    return explain_model(values.pop("_target_"), values | settings, gpu=gpu)


@pytest.mark.parametrize("name", LOADED)
def test_every_model_is_explained_for_every_gpu(name: str) -> None:
    for gpu in CARDS:
        text = said(name, gpu)
        assert "main memory" in text
        assert "s a world step of one environment, " in text
        assert "of its data sheet (bfloat16): " in text
        assert "cheapest    " in text
    if name != "nano":
        assert "h a thousand" in said(name)


def test_models_without_weights_are_not_explained() -> None:
    with pytest.raises(InvalidConfig, match=r"for a rival .* not for .*EchoModel"):
        said("echo", "h100")
    for name in ("qwen-image-edit", "if-edit-as-told"):
        with pytest.raises(ModelNotFound, match="nothing is known of me/mine before"):
            said(name, location="me/mine")
    with pytest.raises(InvalidConfig, match=r"gpu must be one of rtx4090, .* not 'h1000'"):
        find_card("h1000")


def test_a_plan_needs_no_gpu() -> None:
    """The third example of predict's help, on a machine without one."""
    text = said("chronoedit-14b-think", offload="model", micro_batch=1)
    assert "on a GPU that need not be here (L40S), bfloat16" in text
    assert "the transformer computes" in text
    with pytest.raises(InvalidConfig, match="keeps weights off a GPU, but this model computes on"):
        plan_model("chronoedit-14b", offload="model", device="cpu")


def test_what_fits_is_chosen_by_time() -> None:
    outlook = plan_model("chronoedit-14b-turbo", gpu="rtx4090").outlook()
    fast, *_, slow = outlook.fitting(CARDS["rtx4090"])
    assert fast.settings == "model.offload=group model.tiling=true"
    assert slow.settings == "model.offload=group model.tiling=true model.pinned=false"
    assert outlook.fitting(CARDS["h100"])[0].settings == ""
    assert "it does not fit in the 23.5 GiB of the RTX 4090" in explain(
        plan_model("chronoedit-14b-turbo", gpu="rtx4090")
    )


def test_seconds_are_work_over_rates() -> None:
    card = CARDS["a100"]
    rate = card.rate * card.share
    assert Work(flops=rate).seconds(card) == pytest.approx(1)
    assert Work(exact_flops=rate).seconds(card) == pytest.approx(2)  # TF32 has half the rate
    assert Work(flops=rate, streamed=card.link / 2).seconds(card) == pytest.approx(1)
    assert Work(flops=rate, streamed=card.link * 3).seconds(card) == pytest.approx(3)
    assert Work(flops=rate, moved=card.link).seconds(card) == pytest.approx(3)  # not pinned
    assert Work(words=10, read=card.bandwidth).seconds(card) == pytest.approx(10)
    way = Way("", [Stage("a", 3 * GIB, GIB), Stage("b", GIB, 2 * GIB)], Work())
    assert (way.device, way.host) == (3 * GIB, 2 * GIB)
    assert Outlook([], way, [way], (1, 1)).fitting(card) == [way]


def test_an_enhancer_waits_in_main_memory_and_is_on_the_gpu_while_it_writes() -> None:
    small = {"_target_": _WRITER, "name": "Qwen/Qwen3-VL-8B-Instruct"}
    bare, told = said("chronoedit-14b", "h100"), said("enhanced", "h100", writer=small)
    assert "the enhancer writes                        16.3         62.8" in told
    assert "the autoencoder computes                   16.3         61.9" in told
    assert "the autoencoder computes                    0.0         61.9" in bare
    assert "130 tokens written" in told
    assert "'model.settings={offload: group, tiling: true}'" in said(
        "enhanced", "rtx4090", writer=small
    )
    writer = {"_target_": _WRITER, "name": "me/mine"}
    with pytest.raises(ModelNotFound, match="nothing is known of me/mine before"):
        said("enhanced", writer=writer)


def test_the_autoencoders_arithmetic_is_what_pytorch_counts() -> None:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        vae = hf.AutoencoderKLWan()
        vae.encode(torch.empty(1, 3, 5, 64, 64))
        vae.decode(torch.empty(1, 16, 2, 8, 8))
    # Attention in the middle grows with the square of the pixels: little, and less at 64 x 64.
    assert autoencoder_flops(64 * 64, 5, 2) == pytest.approx(counter.get_total_flops(), rel=0.05)
    plan = plan_model("chronoedit-14b-turbo", gpu="h100")
    cost = estimate_cost(CHRONOEDIT_14B, plan.sampling, (720, 1280))
    assert cost.autoencoder == autoencoder_flops(720 * 1280, 5, 2)
    assert cost.forwards == 8


def count(network: Any) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_published_shapes_are_those_of_the_networks() -> None:
    """Built on the meta device from the published configs."""
    whole: Any = transformers
    with torch.device("meta"):
        expert = hf.WanTransformer3DModel(in_channels=36, out_channels=16)
        small = hf.WanTransformer3DModel(
            num_attention_heads=24,
            attention_head_dim=128,
            in_channels=48,
            out_channels=48,
            ffn_dim=14336,
            num_layers=30,
        )
        image = hf.QwenImageTransformer2DModel()
        network = hf.UNet2DConditionModel(
            sample_size=64, in_channels=8, cross_attention_dim=768, attention_head_dim=8
        )
        text = {
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
        }
        vision = {
            "depth": 27,
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_heads": 16,
            "out_hidden_size": 4096,
            "deepstack_visual_indexes": [8, 16, 24],
        }
        writer = whole.Qwen3VLForConditionalGeneration(
            whole.Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False)
        )
    assert count(expert) == 14_288_901_184
    assert count(small) == 4_999_787_712
    assert count(image) == 20_430_401_088
    assert count(network) == 859_532_484
    assert count(writer) == 8_767_123_696
