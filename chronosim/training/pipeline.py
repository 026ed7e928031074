"""A world's networks, made from its config, and put into a pipeline folder when trained."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import (
    AutoencoderKLWan,
    ChronoEditTransformer3DModel,
    ModelMixin,
    UniPCMultistepScheduler,
)
from diffusers.configuration_utils import FrozenDict
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    T5TokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

from chronosim.files import refusals_said
from chronosim.models.engine.acceleration import CrossAttention, fold_padding
from chronosim.models.loading.quiet import no_warnings
from chronosim.training.words import place_numerals


def new_world(config: Mapping[str, Mapping[str, Any]], tokenizer: T5TokenizerFast) -> WorldNetworks:
    """Makes untrained networks.

    Args:
        config: `transformer`, `text_encoder` and `image_encoder`: arguments of
            ChronoEditTransformer3DModel, UMT5Config and CLIPVisionConfig; what follows from the
            others (vocabulary, context widths) is filled in.
        tokenizer: Its vocabulary sizes the text encoder.
    """
    text = UMT5EncoderModel(UMT5Config(vocab_size=len(tokenizer), **config["text_encoder"]))
    place_numerals(text, tokenizer)
    image = CLIPVisionModel(CLIPVisionConfig(**config["image_encoder"]))
    transformer = ChronoEditTransformer3DModel(
        **{
            "text_dim": text.config.d_model,
            "image_dim": image.config.hidden_size,
            **config["transformer"],
        }
    )
    return WorldNetworks(transformer, text, image)


def save_pipeline(
    folder: Path, world: WorldNetworks, vae: AutoencoderKLWan, tokenizer: T5TokenizerFast
) -> None:
    """Saves everything as one diffusers pipeline folder: float16 safetensors and configs.

    Args:
        folder: Made if missing; files of the same names are replaced.
        world: Trained networks.
        vae: Trained autoencoder, its latents measured.
        tokenizer: Of the words the world knows.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    size = world.image_encoder.config.image_size
    with no_warnings():  # of another image processor than ours, on being imported only now
        kind = diffusers.ChronoEditPipeline
    pipeline = kind(
        tokenizer=tokenizer,
        text_encoder=_half(world.text_encoder),
        image_encoder=_half(world.image_encoder),
        image_processor=CLIPImageProcessorPil(
            size={"height": size, "width": size},
            crop_size={"height": size, "width": size},
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        ),
        transformer=_half(world.transformer),
        vae=_half(vae),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )
    with refusals_said(folder):
        pipeline.save_pretrained(folder, safe_serialization=True)


def _half(module: nn.Module) -> nn.Module:
    """A copy in half precision, every weight alike; `ModelMixin.to` would warn that it does so."""
    copied = deepcopy(module)
    if isinstance(copied, ModelMixin):  # it would tell in which folder training began
        copied._internal_dict = FrozenDict(
            {name: value for name, value in copied.config.items() if name != "_name_or_path"}
        )
    return nn.Module.to(copied, torch.float16)


class WorldNetworks(nn.Module):
    """The three networks that learn how a world moves.

    Args:
        transformer: Denoises latents.
        text_encoder: Reads the words.
        image_encoder: Reads the observed frame.
    """

    def __init__(
        self,
        transformer: ChronoEditTransformer3DModel,
        text_encoder: UMT5EncoderModel,
        image_encoder: CLIPVisionModel,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self._attention = CrossAttention(transformer)

    def forward(
        self,
        latents: Float[Tensor, "batch inputs slots h w"],
        sigma: Float[Tensor, " batch"],
        tokens: Int[Tensor, "batch tokens"],
        frames: Float[Tensor, "batch 3 height width"],
    ) -> Float[Tensor, "batch channels slots h w"]:
        """The velocity (noise minus clean) that the transformer sees in noisy latents.

        Args:
            latents: Noisy latents and condition, channels joined.
            sigma: Share of noise, 0 to 1.
            tokens: Token ids, padded with 0.
            frames: Observed frames in [-1, 1].
        """
        mask = (tokens != 0).long()
        words = self.text_encoder(tokens, mask).last_hidden_state * mask[..., None]
        context = fold_padding(words, mask.sum(1))
        seen = self.image_encoder(frames, output_hidden_states=True).hidden_states[-2]
        return self._attention.forward(latents, sigma * 1000, context, seen).float()
