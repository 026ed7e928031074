"""Small ChronoEdit components with random weights, built as diffusers and transformers build them.

`wide` has the published model's shape in small (skip length 8, an autoencoder with three levels of
downsampling, subword tokens), `compact` that of chronosim-nano (skip length 4, patched pixels, a
closed vocabulary of whole words).
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import Tensor

from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.models.engine.components import Components
from chronosim.models.engine.sampling import Sampling
from chronosim.types import EditPrompt, Frame

# Both libraries are untyped.
hf_diffusers: Any = diffusers
hf_transformers: Any = transformers

SENTENCES = [
    "The car drives at 21 m/s. Steer 35% left with 10% throttle and 0% brake.",
    "Steer straight with 100% throttle; a pedestrian steps onto the wet road.",
    "The quick brown fox jumps over the lazy dog.",
]
SIDE = 32


def make_subword_tokenizer() -> Any:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return hf_transformers.T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0)


def make_word_tokenizer() -> Any:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(SENTENCES[:1], trainers.WordLevelTrainer(special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        "$A </s>", special_tokens=[("</s>", 1)]
    )
    return hf_transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def make_transformer(**changes: Any) -> Any:
    config: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 36,
        "out_channels": 16,
        "text_dim": 16,
        "freq_dim": 32,
        "ffn_dim": 32,
        "num_layers": 2,
        "image_dim": 8,
        "added_kv_proj_dim": 24,
        "rope_max_seq_len": 32,
    }
    transformer = hf_diffusers.ChronoEditTransformer3DModel(**config | changes).eval()
    # Fresh weights hardly listen to a few words among 512 tokens: equality would prove nothing.
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if "attn2.to_" in name or "text_embedder" in name or "patch_embedding" in name:
                weight.mul_(4)
    return transformer


def make_components(tokenizer: Any, vae: Any, transformer: Any) -> dict[str, Any]:
    text = hf_transformers.UMT5Config(
        vocab_size=len(tokenizer), d_model=16, d_ff=24, d_kv=8, num_layers=2, num_heads=2
    )
    vision = hf_transformers.CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
    )
    return {
        "tokenizer": tokenizer,
        "text_encoder": hf_transformers.UMT5EncoderModel(text).eval(),
        "image_processor": hf_transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
        ),
        "image_encoder": hf_transformers.CLIPVisionModel(vision).eval(),
        "transformer": transformer,
        "vae": vae.eval(),
        "scheduler": hf_diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        ),
    }


@pytest.fixture(scope="session")
def wide() -> Components:
    torch.manual_seed(0)
    vae = hf_diffusers.AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )
    return Components(**make_components(make_subword_tokenizer(), vae, make_transformer()))


@pytest.fixture(scope="session")
def compact() -> Components:
    torch.manual_seed(1)
    vae = hf_diffusers.AutoencoderKLWan(
        base_dim=32,
        z_dim=16,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=8,
    )
    transformer = make_transformer(rope_temporal_skip_len=4)
    return Components(**make_components(make_word_tokenizer(), vae, transformer))


@pytest.fixture(params=["wide", "compact"])
def components(request: pytest.FixtureRequest) -> Components:
    value: Components = request.getfixturevalue(request.param)
    return value


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """What tests make things with; a test file cannot import from this one."""
    return SimpleNamespace(
        model=make_model,
        prompt=make_prompt,
        frame=make_frame,
        stock=run_stock,
        remake=remake,
        transformer=make_transformer,
        tokenizer=make_subword_tokenizer,
        sentences=SENTENCES,
    )


@pytest.fixture
def fresh(wide: Components) -> Components:
    """The wide components with nothing remembered yet."""
    return remake(wide)


def remake(components: Components, **changes: Any) -> Components:
    names = ("tokenizer", "text_encoder", "image_processor", "image_encoder", "transformer", "vae")
    parts = {name: getattr(components, name) for name in (*names, "scheduler")}
    return Components(**parts | changes)


def make_frame(seed: int, height: int = SIDE, width: int = SIDE) -> Frame:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def make_prompt(seed: int, text: str = SENTENCES[0]) -> EditPrompt:
    return EditPrompt(make_frame(seed), text, seed + 100)


def make_model(components: Components, **settings: Any) -> ChronoEdit:
    micro_batch = settings.pop("micro_batch", None)
    settings = {"denoising_steps": 4, "guidance": 1.0} | settings
    return ChronoEdit(components, Sampling(**settings), name="small", micro_batch=micro_batch)


def run_stock(
    components: Components,
    scheduler: Any,
    prompt: EditPrompt,
    sampling: Sampling,
    output_type: str,
    given: Any = (),
) -> Any:
    """Runs diffusers' own pipeline on the same parts, noise and settings."""
    pipeline = hf_diffusers.ChronoEditPipeline(
        components.tokenizer,
        components.text_encoder,
        components.image_encoder,
        components.image_processor,
        components.transformer,
        components.vae,
        scheduler,
    )
    pipeline.set_progress_bar_config(disable=True)
    settings = {
        "image": Image.fromarray(prompt.frame),
        "prompt": prompt.text,
        "height": prompt.frame.shape[0],
        "width": prompt.frame.shape[1],
        "num_frames": 4 * (components.latents - 1) + 1,
        "num_inference_steps": sampling.denoising_steps,
        "guidance_scale": sampling.guidance,
        "generator": torch.Generator().manual_seed(prompt.seed),
        "output_type": output_type,
        "enable_temporal_reasoning": sampling.reasoned_steps > 0,
        "num_temporal_reasoning_steps": sampling.reasoned_steps,
    }
    return pipeline(**settings | dict(given)).frames


@pytest.fixture
def count_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], list[tuple[int, ...]]]:
    """Records the shape of the first tensor of each call of a module's method."""

    def watch(module: Any, method: str) -> list[tuple[int, ...]]:
        calls: list[tuple[int, ...]] = []
        original = getattr(module, method)

        def counted(*args: Any, **kwargs: Any) -> Any:
            tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            calls.append(tuple(tensors[0].shape))
            return original(*args, **kwargs)

        monkeypatch.setattr(module, method, counted)
        return calls

    return watch


@pytest.fixture
def folder(wide: Components, tmp_path: Path) -> Path:
    """The wide components saved as a model folder."""
    pipeline = hf_diffusers.ChronoEditPipeline(
        wide.tokenizer,
        wide.text_encoder,
        wide.image_encoder,
        wide.image_processor,
        wide.transformer,
        wide.vae,
        wide.scheduler,
    )
    pipeline.save_pretrained(tmp_path / "model")
    return tmp_path / "model"
