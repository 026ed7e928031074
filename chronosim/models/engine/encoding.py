"""What a transformer is told besides noise: text, frame and condition, each computed once."""

from __future__ import annotations

import hashlib
import html
from string import ascii_lowercase
from typing import Any
from warnings import warn

import ftfy
import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from torch import Tensor

from chronosim.errors import ChronosimWarning, InvalidPrompt
from chronosim.models.engine.acceleration import TEXT_TOKENS
from chronosim.models.engine.components import Components, demand_finite
from chronosim.models.loading.presets import larger_models
from chronosim.types import Frame, Trajectory


def encode_text(
    components: Components, text: str, *, truncate: bool = False
) -> Float[Tensor, "tokens features"]:
    """Embeds words, without the padding that the transformer sees behind them.

    A vocabulary of whole words refuses others. One that can spell has `<unk>` for characters that
    it has no piece for (some emoji, rare scripts): the published models were trained with that, so
    it is read as such, with a warning. (UMT5's has a piece for each byte, which transformers' T5
    tokenizer leaves aside: `byte_fallback=False`.)

    Args:
        components: The model's parts.
        text: The words.
        truncate: Whether more than 512 tokens are cut, with a warning, rather than refused.

    Raises:
        InvalidPrompt: Words that a vocabulary of whole words does not hold; more than 512 tokens.
    """
    return components.texts.get(
        (text, truncate), lambda: _encode_text(components, text, truncate=truncate)
    )


def clean_text(text: str) -> str:
    """Mends broken Unicode, HTML entities and white space, as diffusers' pipeline does."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def _encode_text(
    components: Components, text: str, *, truncate: bool
) -> Float[Tensor, "tokens features"]:
    words = clean_text(text)
    tokenizer, encoder = components.tokenizer, components.text_encoder
    tokens = tokenizer([words], add_special_tokens=True, return_tensors="pt").input_ids
    if tokenizer.unk_token_id in tokens[0].tolist():
        _check_unknown(tokenizer, words)
    if tokens.shape[1] > TEXT_TOKENS:
        told = f"a text may have {TEXT_TOKENS} tokens, but this one has {tokens.shape[1]}"
        if not truncate:
            raise InvalidPrompt(f"{told}: {words[:60]!r} ...; truncate_text=true cuts it there")
        tokens = torch.cat([tokens[:, : TEXT_TOKENS - 1], tokens[:, -1:]], dim=1)  # and its end
        kept = tokenizer.decode(tokens[0], skip_special_tokens=True)
        warn(f"{told}: what follows {kept[-60:]!r} is left out", ChronosimWarning, stacklevel=2)
    tokens = tokens.to(encoder.device)
    states: Tensor = encoder(tokens, torch.ones_like(tokens)).last_hidden_state[0]
    demand_finite(states, "text encoder", encoder)
    return states.to(components.device, components.dtype)


def _check_unknown(tokenizer: Any, text: str) -> None:
    """Warns of what is read as `<unk>`; refuses it where the vocabulary cannot spell words."""
    unknown = tokenizer.unk_token_id
    strange = [word for word in text.split() if unknown in tokenizer(word).input_ids] or [text]
    words = ", ".join(repr(word) for word in dict.fromkeys(strange))
    if unknown not in tokenizer.convert_tokens_to_ids(list(ascii_lowercase)):
        sentence = f"this model's tokenizer has no pieces for {words}, and reads <unk> there"
        warn(sentence, ChronosimWarning, stacklevel=2)
        return
    raise InvalidPrompt(f"this model never learned {words}, found in {text!r}; {larger_models()}")


def encode_frame(components: Components, frame: Frame) -> Float[Tensor, "patches features"]:
    """Embeds a frame for cross-attention: CLIP's states before its last layer."""
    return components.frames.get(_key(frame), lambda: _encode_frame(components, frame))


def _encode_frame(components: Components, frame: Frame) -> Float[Tensor, "patches features"]:
    encoder = components.image_encoder
    picture = Image.fromarray(np.ascontiguousarray(frame))
    pixels = components.image_processor(images=picture, return_tensors="pt").pixel_values
    states = encoder(pixels.to(encoder.device, encoder.dtype), output_hidden_states=True)
    embedding: Tensor = states.hidden_states[-2][0]
    demand_finite(embedding, "image encoder", encoder)
    return embedding.to(components.device, components.dtype)


def encode_condition(
    components: Components, frame: Frame, latents: int
) -> Float32[Tensor, "channels {latents} rows columns"]:
    """Gives what a denoising step sees beside the noise: a mask and the frame's latents.

    The mask is 1 on the first latent, the only known one. The latents are those of the frame
    followed by grey: the later ones depend on the frame through the encoder's causal context, as
    far back as all of them, so none can be left out.
    """
    return components.conditions.get(
        (latents, *_key(frame)), lambda: _encode_condition(components, frame, latents)
    )


def _encode_condition(
    components: Components, frame: Frame, latents: int
) -> Float32[Tensor, "channels {latents} rows columns"]:
    vae = components.vae
    pixels = torch.from_numpy(np.array(frame, np.float32)).permute(2, 0, 1) / 255.0
    first = (2.0 * pixels - 1.0)[None, :, None]
    blank = first.new_zeros(*first.shape[:2], 4 * (latents - 1), *first.shape[3:])
    video = torch.cat([first, blank], dim=2).to(components.device, vae.dtype)
    known = vae.encode(video).latent_dist.mode().float().to(components.device)
    demand_finite(known, "autoencoder", vae, " when it encoded the frame")
    mean, scale = _statistics(components, known)
    mask = torch.zeros_like(known[:, :1]).repeat(1, vae.config.scale_factor_temporal, 1, 1, 1)
    mask[:, :, 0] = 1
    return torch.cat([mask, (known - mean) * scale], dim=1)[0]


def encode(
    components: Components, frames: Trajectory
) -> Float32[Tensor, "1 channels latents rows columns"]:
    """Encodes frames into latents, normalised as the transformer sees them: `decode` undoes it.

    Args:
        components: The model's parts.
        frames: uint8 (4 x n + 1, height, width, 3): the first becomes a latent by itself.
    """
    vae = components.vae
    video = torch.from_numpy(frames.astype(np.float32)).permute(3, 0, 1, 2)[None] / 127.5 - 1.0
    known = vae.encode(video.to(components.device, vae.dtype)).latent_dist.mode().float()
    demand_finite(known, "autoencoder", vae, " when it encoded the frames")
    mean, scale = _statistics(components, known)
    latents: Tensor = ((known - mean) * scale).to(components.device)
    return latents


def decode(
    components: Components, latents: Float32[Tensor, "batch channels latents rows columns"]
) -> list[Trajectory]:
    """Decodes latents into frames: 4 for each latent, and one for the first.

    Returns:
        For each row uint8 (4 x (time - 1) + 1, height, width, 3).
    """
    vae = components.vae
    values = latents.to(components.device, vae.dtype)
    mean, scale = _statistics(components, values)
    video = vae.decode(values / scale + mean, return_dict=False)[0].float()
    demand_finite(video, "autoencoder", vae, " when it decoded the outcome")
    frames = ((video / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return list(frames.permute(0, 2, 3, 4, 1).contiguous().cpu().numpy())


def _statistics(components: Components, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and inverse deviation of the autoencoder's latents, (1, z_dim, 1, 1, 1)."""
    config = components.vae.config
    mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1).to(like)
    return mean, 1.0 / torch.tensor(config.latents_std).view(1, -1, 1, 1, 1).to(like)


def _key(frame: Frame) -> tuple[object, ...]:
    return frame.shape, hashlib.blake2b(np.ascontiguousarray(frame).data, digest_size=32).digest()
