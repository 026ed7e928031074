"""Small pipelines of the true classes with random weights."""

from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from chronosim.models.engine.acceleration import use_planar_convolutions

# Both libraries are untyped.
hf_diffusers: Any = diffusers
hf_transformers: Any = transformers


def make_transformer(channels: tuple[int, int]) -> Any:
    transformer = hf_diffusers.WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=channels[0],
        out_channels=channels[1],
        text_dim=16,
        freq_dim=32,
        ffn_dim=32,
        num_layers=2,
        cross_attn_norm=True,
        rope_max_seq_len=32,
    ).eval()
    # Fresh weights hardly listen: equality would prove nothing.
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if "attn2.to_" in name or "text_embedder" in name or "patch_embedding" in name:
                weight.mul_(4)
    return transformer


def make_wan(tokenizer: Any, *, small: bool = False) -> Any:
    """Wan2.2's two experts; or `small`, TI2V-5B's way: one, with a timestep for each token."""
    torch.manual_seed(5)
    text = hf_transformers.UMT5Config(
        vocab_size=len(tokenizer), d_model=16, d_ff=24, d_kv=8, num_layers=2, num_heads=2
    )
    vae = hf_diffusers.AutoencoderKLWan(
        base_dim=4,
        z_dim=8,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1] * 8,
        latents_std=[1.5] * 8,
    ).eval()
    use_planar_convolutions(vae)  # for the tests' sake: a CPU is slow at the others
    channels = (8, 8) if small else (20, 8)
    pipeline = hf_diffusers.WanImageToVideoPipeline(
        tokenizer=tokenizer,
        text_encoder=hf_transformers.UMT5EncoderModel(text).eval(),
        vae=vae,
        scheduler=hf_diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        transformer=make_transformer(channels),
        transformer_2=None if small else make_transformer(channels),
        boundary_ratio=None if small else 0.9,
        expand_timesteps=small,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make_pix2pix() -> Any:
    torch.manual_seed(6)
    words = ["<|startoftext|>", "<|endoftext|>", "make", "it", "winter", "night"]
    plain = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, words[1]))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = hf_transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token=words[1], eos_token=words[1], model_max_length=8
    )
    text = hf_transformers.CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8,
    )
    shared = {"block_out_channels": (32, 64), "norm_num_groups": 8}
    return hf_diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=hf_diffusers.AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2,
            latent_channels=4,
            **shared,
        ).eval(),
        text_encoder=hf_transformers.CLIPTextModel(text).eval(),
        tokenizer=tokenizer,
        unet=hf_diffusers.UNet2DConditionModel(
            layers_per_block=1,
            sample_size=16,
            in_channels=8,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=8,
            **shared,
        ).eval(),
        scheduler=hf_diffusers.DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="session")
def wan(kit: SimpleNamespace) -> Any:
    return make_wan(kit.tokenizer())


@pytest.fixture(scope="session")
def small_wan(kit: SimpleNamespace) -> Any:
    return make_wan(kit.tokenizer(), small=True)


@pytest.fixture(scope="session")
def pix2pix() -> Any:
    return make_pix2pix()
