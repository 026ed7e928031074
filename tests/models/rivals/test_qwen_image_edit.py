"""The editor on a Qwen-Image-Edit pipeline small enough to run here."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from chronosim.models.rivals.editor import Editor
from chronosim.testing import check_world_model

# Both libraries are untyped.
hf_diffusers: Any = diffusers
hf_transformers: Any = transformers

FRAME = "<|image_pad|>"


class Reader(hf_transformers.FeatureExtractionMixin):  # type: ignore[misc]
    """What transformers' Qwen2VLProcessor does; that one asks for torchvision."""

    def __init__(self) -> None:
        super().__init__()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        plain = Tokenizer(models.BPE(vocab={a: n for n, a in enumerate(alphabet)}, merges=[]))
        plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        plain.decoder = decoders.ByteLevel()
        self.tokenizer = hf_transformers.PreTrainedTokenizerFast(
            tokenizer_object=plain, pad_token="<|im_end|>"
        )
        special = ["<|vision_start|>", "<|vision_end|>", FRAME, "<|im_start|>", "<|im_end|>"]
        self.tokenizer.add_special_tokens({"additional_special_tokens": special})
        self.pictures = Qwen2VLImageProcessorPil(
            patch_size=4, merge_size=2, size={"shortest_edge": 64, "longest_edge": 4096}
        )

    def __call__(self, text: Sequence[str], images: Any, **settings: Any) -> Any:
        seen = self.pictures(images=images, return_tensors="pt")
        count = int(seen["image_grid_thw"][0].prod()) // 4
        read = self.tokenizer([each.replace(FRAME, FRAME * count) for each in text], **settings)
        read.update(seen)
        return read


@pytest.fixture(scope="module")
def qwen() -> Any:
    torch.manual_seed(7)
    reader = Reader()
    encoder = hf_transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(reader.tokenizer),
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]},
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "patch_size": 4,
            "out_hidden_size": 16,
            "window_size": 16,
        },
        image_token_id=reader.tokenizer.convert_tokens_to_ids(FRAME),
    )
    return hf_diffusers.QwenImageEditPipeline(
        scheduler=hf_diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=hf_diffusers.AutoencoderKLQwenImage(
            base_dim=4,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ).eval(),
        text_encoder=hf_transformers.Qwen2_5_VLForConditionalGeneration(encoder).eval(),
        tokenizer=reader.tokenizer,
        processor=reader,
        transformer=hf_diffusers.QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(8, 4, 4),
        ).eval(),
    )


@pytest.fixture
def little_area(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline scales whatever it sees to a megapixel, too much for a test."""
    monkeypatch.setattr(
        pipeline_qwenimage_edit, "calculate_dimensions", lambda area, ratio: (32, 32, None)
    )


@pytest.mark.usefixtures("little_area")
def test_qwen_image_edit(qwen: Any, kit: SimpleNamespace) -> None:
    settings = {"num_inference_steps": 2, "true_cfg_scale": 4.0, "negative_prompt": " "}
    model = Editor(qwen, settings, name="small")
    prompts = [kit.prompt(0, "make it night"), kit.prompt(0, "make it winter"), kit.prompt(1)]
    check_world_model(model, prompts)
    frames = [prediction.frame for prediction in model.predict(prompts)]
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])
    plain = Editor(qwen, {"num_inference_steps": 2, "true_cfg_scale": 1.0}, name="small")
    assert not np.array_equal(plain.predict(prompts[:1])[0].frame, frames[0]), "guidance counts"


@pytest.mark.usefixtures("little_area")
def test_the_frames_tokens_are_numbered_by_row_and_column(qwen: Any, kit: SimpleNamespace) -> None:
    encoder, places = qwen.text_encoder, []
    handle = encoder.model.language_model.register_forward_pre_hook(
        lambda _, __, named: places.append(named["position_ids"]), with_kwargs=True
    )
    Editor(qwen, {"num_inference_steps": 1, "true_cfg_scale": 1.0}).predict([kit.prompt(0)])
    handle.remove()
    [ids] = places
    assert not torch.equal(ids[-2], ids[-1]), "rows and columns differ on a frame's tokens"
    assert not encoder._forward_pre_hooks, "nothing is left on the model"
