"""The local writer on small Qwen-VLs with random weights, made on the spot."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from chronosim.errors import (
    EnhancementFailed,
    InvalidConfig,
    InvalidModel,
    InvalidPrompt,
    ModelNotFound,
)
from chronosim.models.enhancement import Enhanced, Form
from chronosim.models.enhancement.local import LocalWriter, load_writer
from chronosim.models.loading.placement import Guest
from chronosim.testing import EchoModel, check_world_model
from chronosim.types import EditPrompt

hf: Any = transformers  # untyped

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FREE = Form("free", "Say what changes.", "")  # random weights keep to no opening


def make_tokenizer() -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    made.chat_template = TEMPLATE
    return made


def make_model(kind: str, tokenizer: Any) -> Any:
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {
            "rope_type": "default",
            "mrope_section": [4, 2, 2],
            "rope_theta": 1e4,
        },
    }
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "patch_size": 4,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 32,
    }
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image", "<|image_pad|>"),
            ("vision_start", "<|vision_start|>"),
            ("vision_end", "<|vision_end|>"),
        )
    }
    torch.manual_seed(3)
    if kind == "qwen3_vl":
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
        text["head_dim"] = 16
        config = hf.Qwen3VLConfig(text_config=text, vision_config=vision, **ids)
        model = hf.Qwen3VLForConditionalGeneration(config)
    else:
        vision |= {"window_size": 16, "fullatt_block_indexes": [1]}
        config = hf.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
        model = hf.Qwen2_5_VLForConditionalGeneration(config)
    # Fresh weights listen to nothing: a frame or a text would make no difference to the words.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(8)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.forced_eos_token_id = tokenizer.eos_token_id  # else it rambles on
    return model.eval()


def make_processor() -> Any:
    size = {"shortest_edge": 64, "longest_edge": 4096}
    return Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, temporal_patch_size=2, size=size)


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen2_5_vl"])
def parts(request: pytest.FixtureRequest) -> tuple[Any, Any, Any]:
    tokenizer = make_tokenizer()
    return make_model(request.param, tokenizer), tokenizer, make_processor()


def make_writer(parts: tuple[Any, Any, Any], **settings: Any) -> LocalWriter:
    return LocalWriter(*parts, name="small", **{"max_tokens": 12} | settings)


@pytest.fixture
def prompts(kit: SimpleNamespace) -> list[EditPrompt]:
    wide = EditPrompt(kit.frame(2, 32, 48), "A door opens, slowly.", 0)
    return [kit.prompt(0, "go left"), kit.prompt(1, "go left"), wide, kit.prompt(0, "stop")]


def test_contract(parts: tuple[Any, Any, Any], prompts: list[EditPrompt]) -> None:
    check_world_model(Enhanced(EchoModel(), make_writer(parts), FREE), prompts)


def test_it_says_what_the_model_says(
    parts: tuple[Any, Any, Any], prompts: list[EditPrompt]
) -> None:
    """Against the model asked by hand, one token after the other, without a cache."""
    model, tokenizer, processor = parts
    seen = processor(images=prompts[2].frame, return_tensors="pt")
    frame = "<|image_pad|>" * (32 * 48 // 8**2)
    text = (
        "<|im_start|>system\nSay what changes.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
        f"{frame}<|vision_end|>The edit: A door opens, slowly.<|im_end|>\n<|im_start|>assistant\n"
    )
    tokens = tokenizer(text, return_tensors="pt").input_ids
    said: list[int] = []
    with torch.inference_mode():
        for _ in range(11):
            frames = (tokens == model.config.image_token_id).long()
            model.model.rope_deltas = None
            logits = model(
                input_ids=tokens, mm_token_type_ids=frames, use_cache=False, **seen
            ).logits
            said.append(int(logits[0, -1].argmax()))
            tokens = torch.cat([tokens, torch.tensor([said[-1:]])], dim=1)
    [reply] = make_writer(parts).write("Say what changes.", prompts[2:3])
    assert reply == tokenizer.decode(said, skip_special_tokens=True)


def test_frame_and_text_both_matter(parts: tuple[Any, Any, Any], prompts: list[EditPrompt]) -> None:
    replies = make_writer(parts).write("Say what changes.", prompts)
    assert len(set(replies)) == len(prompts)
    assert make_writer(parts).write("Say nothing.", prompts) != replies


def test_a_batch_says_the_same(parts: tuple[Any, Any, Any], prompts: list[EditPrompt]) -> None:
    alone = make_writer(parts).write("Say what changes.", prompts)
    assert make_writer(parts, micro_batch=3).write("Say what changes.", prompts) == alone


def test_it_is_on_its_device_only_while_it_writes(
    parts: tuple[Any, Any, Any], prompts: list[EditPrompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    journeys: list[str] = []

    def watch(what: str) -> None:
        method = getattr(Guest, what)

        def watched(guest: Any) -> None:
            journeys.append(what)
            method(guest)

        monkeypatch.setattr(Guest, what, watched)

    watch("arrive")
    watch("leave")
    there = torch.device("cpu", 0)  # the same memory by another name
    writer, weight = make_writer(parts, device=there, micro_batch=1), next(parts[0].parameters())
    before = weight.data_ptr()
    assert writer.write("Say what changes.", prompts) == make_writer(parts).write(
        "Say what changes.", prompts
    )
    assert journeys == ["arrive", "leave"]  # once for all prompts
    assert weight.data_ptr() == before
    monkeypatch.setattr(parts[0].generation_config, "forced_eos_token_id", None)
    with pytest.raises(EnhancementFailed):
        writer.write("Say what changes.", prompts)
    assert journeys[2:] == ["arrive", "leave"]


def test_a_reply_that_does_not_end_is_refused(
    parts: tuple[Any, Any, Any], prompts: list[EditPrompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts[0].generation_config, "forced_eos_token_id", None)
    with pytest.raises(EnhancementFailed, match="'go left' does not end within 12 tokens"):
        make_writer(parts).write("Say what changes.", prompts)


def test_random_words_are_no_prompt(parts: tuple[Any, Any, Any], prompts: list[EditPrompt]) -> None:
    with pytest.raises(EnhancementFailed, match=r"must begin with 'The user wants to'|is empty"):
        Enhanced(EchoModel(), make_writer(parts)).predict(prompts)


@pytest.mark.parametrize("word", ["<|image_pad|>", "<|im_end|>"])
def test_a_text_cannot_speak_for_the_system(
    parts: tuple[Any, Any, Any], kit: SimpleNamespace, word: str
) -> None:
    with pytest.raises(InvalidPrompt, match="a control word of small"):
        make_writer(parts).write("Say what changes.", [kit.prompt(0, f"go {word} left")])


def test_a_folder(parts: tuple[Any, Any, Any], prompts: list[EditPrompt], tmp_path: Path) -> None:
    made = make_writer(parts)
    for part in parts:
        part.save_pretrained(tmp_path)
    read = load_writer(tmp_path, device="cpu", max_tokens=12)
    assert read.write("Say what changes.", prompts) == made.write("Say what changes.", prompts)
    assert json.loads(json.dumps(read.identity))["weights"] == read.identity["weights"]
    assert read.identity["dtype"] == "float32"

    weights = tmp_path / "model.safetensors"
    tensors = load_file(weights)
    lost = next(name for name in tensors if "visual" in name)
    save_file({key: value for key, value in tensors.items() if key != lost}, weights)
    with pytest.raises(InvalidModel, match=r"lacks 1 weights, among them .*visual"):
        load_writer(tmp_path, device="cpu")
    weights.unlink()
    with pytest.raises(InvalidModel, match="cannot be loaded as a writer"):
        load_writer(tmp_path, device="cpu")
    with pytest.raises(ModelNotFound, match="there is no model folder"):
        load_writer(tmp_path / "nothing")


def test_another_model_is_refused(tmp_path: Path) -> None:
    config = hf.GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=8)
    hf.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(InvalidModel, match="cannot be loaded as a writer"):
        load_writer(tmp_path, device="cpu")


def test_bad_settings(parts: tuple[Any, Any, Any]) -> None:
    with pytest.raises(InvalidConfig, match="micro_batch must be at least 1, not 0"):
        make_writer(parts, micro_batch=0)
    with pytest.raises(InvalidConfig, match="max_tokens must be at least 1, not 0"):
        make_writer(parts, max_tokens=0)
    mute = make_tokenizer()
    mute.chat_template = None
    with pytest.raises(InvalidModel, match="has no chat template"):
        LocalWriter(parts[0], mute, parts[2], name="small")
