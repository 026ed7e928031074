"""A model's shape and what it costs in memory and arithmetic, without loading it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import SafetensorError, safe_open

from chronosim.errors import InvalidModel
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.sources import check_folder, read_json

PARTS = ("text_encoder", "image_encoder", "transformer", "vae")
"""The networks, in the order in which a prediction first needs them."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a ChronoEdit model.

    Attributes:
        layers: The transformer's blocks.
        width: Features of one token.
        feed_forward: Features inside a block's feed-forward layer.
        inputs: Channels the transformer sees of a latent: noise, mask and the frame's latent.
        outputs: Channels it answers.
        latents: Latent frames of full reasoning.
        patch: Side of a patch, in latent pixels.
        vision_tokens: Tokens of the frame's embedding.
        latent_side: Pixels to one latent pixel.
        vae_width: Channels of the autoencoder's widest-resolution layers.
        vae_patch: Pixels on a side that the autoencoder makes channels of first.
        parameters: Number of weights, by part.
        block: Sizes of the tensors of one of the transformer's blocks, and how many have each.
        text: The same of the whole text encoder.
    """

    layers: int
    width: int
    feed_forward: int
    inputs: int
    outputs: int
    latents: int
    patch: int
    vision_tokens: int
    latent_side: int
    vae_width: int
    vae_patch: int
    parameters: Mapping[str, int]
    block: Mapping[int, int]
    text: Mapping[int, int]

    @property
    def block_parameters(self) -> int:
        """Number of weights of the transformer's blocks."""
        return self.layers * _total(self.block)

    def tokens(self, size: tuple[int, int], latents: int) -> int:
        """Tokens of so many latent frames of (height, width) in pixels."""
        side = self.latent_side * self.patch
        return latents * (size[0] // side) * (size[1] // side)


def _block(width: int, feed_forward: int, *, sees_frame: bool) -> Counter[int]:
    """Sizes of one transformer block's tensors: matrices, their biases, norms, modulation."""
    matrices = 10 if sees_frame else 8
    sizes = Counter({width * width: matrices, width * feed_forward: 2})
    sizes[width] += matrices + (5 if sees_frame else 4) + 2 + 1
    sizes[feed_forward] += 1
    sizes[6 * width] += 1
    return sizes


def _total(sizes: Mapping[int, int]) -> int:
    return sum(size * number for size, number in sizes.items())


# Configs of the published repository, from a third party's copy of November 2025; weights counted
# by building the four networks on PyTorch's meta device.
CHRONOEDIT_14B = Architecture(
    layers=40,
    width=5120,
    feed_forward=13824,
    inputs=36,
    outputs=16,
    latents=8,
    patch=2,
    vision_tokens=257,
    latent_side=8,
    vae_width=96,
    vae_patch=1,
    parameters=MappingProxyType(
        {
            "text_encoder": 5_680_910_336,
            "image_encoder": 630_766_080,
            "transformer": 16_394_878_784,
            "vae": 126_892_531,
        }
    ),
    block=MappingProxyType(_block(5120, 13824, sees_frame=True)),
    text=MappingProxyType(
        # The table of words; feed-forward and attention of 24 layers; positions; norms.
        {256_384 * 4_096: 1, 10_240 * 4_096: 72, 4_096 * 4_096: 96, 32 * 64: 24, 4_096: 49}
    ),
)


# Of a number, in the published repository: 65,579,515,136 for the transformer by its index, which
# is float32; the others as their configs' torch_dtype has them.
PUBLISHED_BYTES = MappingProxyType(
    {"text_encoder": 4, "image_encoder": 2, "transformer": 4, "vae": 4}
)


def read_architecture(folder: Path, transformer: Path | None = None) -> Architecture:
    """Reads a model folder's configs and the headers of its weights.

    Args:
        folder: A model folder in diffusers' format.
        transformer: A file whose weights take the place of the folder's own.

    Raises:
        ModelNotFound: A config is missing.
        InvalidModel: A config or a header cannot be read.
    """
    check_folder(folder, whole=transformer is None)
    configs = {part: read_json(folder / part / "config.json") for part in PARTS}
    network, vae, vision = configs["transformer"], configs["vae"], configs["image_encoder"]
    vision = vision.get("vision_config", vision)
    sizes = {part: _sizes(folder / part) for part in PARTS}
    counts = {part: _total(found) for part, found in sizes.items()}
    try:
        _check_asked(folder, configs, counts, whole=transformer is None)
        width = network["num_attention_heads"] * network["attention_head_dim"]
        layers, feed_forward = network["num_layers"], network["ffn_dim"]
        sees_frame = network.get("added_kv_proj_dim") is not None
        block = _block(width, feed_forward, sees_frame=sees_frame)
        if transformer is not None:
            counts["transformer"] = layers * _total(block)
        return Architecture(
            layers=layers,
            width=width,
            feed_forward=feed_forward,
            inputs=network["in_channels"],
            outputs=network["out_channels"],
            latents=network.get("rope_temporal_skip_len", 8),
            patch=network["patch_size"][1],
            vision_tokens=(vision["image_size"] // vision["patch_size"]) ** 2 + 1,
            latent_side=vae.get("scale_factor_spatial", 8),
            vae_width=vae["base_dim"],
            vae_patch=vae.get("patch_size") or 1,
            parameters=MappingProxyType(counts),
            block=MappingProxyType(block),
            text=MappingProxyType(sizes["text_encoder"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        if isinstance(error, InvalidModel):
            raise
        raise InvalidModel(f"the configs in {folder} are not ChronoEdit's: {error!r}") from error


_PACKED = 8  # numbers that a quantised file may hold in one of its own
_POSITIONS, _TIMESTEPS = 2**20, 10**6  # at most: tables of these are made before weights are read


def _check_asked(
    folder: Path, configs: Mapping[str, Any], counts: Mapping[str, int], *, whole: bool
) -> None:
    """Refuses configs that ask for far more than their weights hold, before anything is built."""
    network, vae, text = configs["transformer"], configs["vae"], configs["text_encoder"]
    vision = configs["image_encoder"]
    vision = vision.get("vision_config", vision)
    width = network["num_attention_heads"] * network["attention_head_dim"]
    seen = (vision["image_size"] // vision["patch_size"]) ** 2 * vision["hidden_size"]
    attention = 4 * text["d_model"] * text["d_kv"] * text["num_heads"]
    least = {
        "text_encoder": text["vocab_size"] * text["d_model"] + text["num_layers"] * attention,
        "image_encoder": seen + 4 * vision["num_hidden_layers"] * vision["hidden_size"] ** 2,
        "transformer": network["num_layers"] * (8 * width**2 + 2 * width * network["ffn_dim"]),
        "vae": 27 * (vae["base_dim"] * max(vae["dim_mult"])) ** 2 * max(1, vae["num_res_blocks"]),
    }
    for part, asked in least.items():
        if asked > _PACKED * counts[part] and (whole or part != "transformer"):
            raise InvalidModel(
                f"{folder / part / 'config.json'} asks for {asked:,} weights or more, but its "
                f"files hold {counts[part]:,}"
            )
    if network.get("rope_max_seq_len", 0) > _POSITIONS:
        raise InvalidModel(f"{folder} has rope_max_seq_len above {_POSITIONS:,}")
    steps = read_json(folder / "scheduler" / "scheduler_config.json").get("num_train_timesteps", 0)
    if steps > _TIMESTEPS:
        raise InvalidModel(f"{folder} has num_train_timesteps above {_TIMESTEPS:,}")


def _sizes(folder: Path) -> Counter[int]:
    """Sizes of the tensors that the weight files of a part hold, and how many have each."""
    sizes: Counter[int] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                names = file.keys()
                sizes.update(math.prod(file.get_slice(name).get_shape()) for name in names)
        except (OSError, SafetensorError) as error:
            raise InvalidModel(f"{path} cannot be loaded: {error}") from error
    return sizes


TEXT_TOKENS = 128
"""Of a long instruction; the engine folds the rest of the 512 away."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating-point operations, a multiplication and an addition counted as two.

    Attributes:
        plain: Of one denoising step without reasoning.
        reasoning: Of one in which the reasoning tokens take part.
        prediction: Of all denoising steps of a prediction.
        autoencoder: Of a frame's encoding and the decoding of all that is decoded.
        forwards: Of the transformer, in a prediction.
    """

    plain: int
    reasoning: int
    prediction: int
    autoencoder: int
    forwards: int


# FLOPs of Wan's autoencoder (96 channels) a pixel, for the first frame or latent and for each that
# follows; PyTorch's FlopCounterMode counted them on the meta device, at 720 x 1280.
_ENCODE, _ENCODE_NEXT = 7.00e6, 5.09e6
_DECODE, _DECODE_NEXT = 11.09e6, 34.13e6


def autoencoder_flops(pixels: float, encoded: int, decoded: int) -> int:
    """Estimates the autoencoder's work.

    Args:
        pixels: Of a frame.
        encoded: Frames.
        decoded: Latent frames.
    """
    encoding = (_ENCODE + (encoded - 1) * _ENCODE_NEXT) if encoded else 0
    decoding = (_DECODE + (decoded - 1) * _DECODE_NEXT) if decoded else 0
    return round(pixels * (encoding + decoding))


def estimate_cost(model: Architecture, sampling: Sampling, size: tuple[int, int]) -> Cost:
    """Estimates the work of a prediction; that of text and image encoder is too small to count.

    Args:
        model: Its shape.
        sampling: Steps, and whether each is guided (two forwards).
        size: The frame's height and width, in pixels.
    """
    forwards = 2 if sampling.guided else 1
    plain = forwards * forward_flops(model, model.tokens(size, 2))
    reasoning = forwards * forward_flops(model, model.tokens(size, model.latents))
    reasoned = sampling.reasoned_steps
    rest = sampling.denoising_steps - reasoned
    latents = model.latents if reasoned else 2
    pixels = size[0] * size[1] / model.vae_patch**2 * (model.vae_width / 96) ** 2
    work = autoencoder_flops(pixels, 4 * (latents - 1) + 1, 2)  # a latent's frames are 4
    if reasoned and sampling.decode_trajectory:
        work += autoencoder_flops(pixels, 0, latents - 1)
    return Cost(
        plain,
        reasoning,
        reasoned * reasoning + rest * plain,
        work,
        forwards * sampling.denoising_steps,
    )


def forward_flops(model: Architecture, tokens: int) -> int:
    """One forward of the transformer; keys and values of text and frame are computed once before.

    In a block: four projections and the products of self-attention, two projections and the
    products of cross-attention, and the feed-forward layer.
    """
    width, context = model.width, TEXT_TOKENS + model.vision_tokens
    projections = 2 * tokens * 6 * width * width
    products = 4 * tokens * (tokens + context) * width
    feed_forward = 4 * tokens * width * model.feed_forward
    patches = 2 * tokens * model.patch**2 * width * (model.inputs + model.outputs)
    return model.layers * (projections + products + feed_forward) + patches
