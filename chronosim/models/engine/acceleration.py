"""More speed out of a model, each way by itself; what changes more than rounding says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.hooks import FirstBlockCacheConfig
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    _AttentionBackendRegistry,
    dispatch_attention_fn,
)
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from diffusers.models.transformers.transformer_chronoedit import (
    ChronoEditTransformer3DModel,
    WanAttention,
)
from diffusers.utils import logging as diffusers_logging
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.models.engine.parallel import share
from chronosim.models.loading.settings import ModelSettings

_FIELDS = ("compiled", "fused", "attention", "parallel", "step_cache")
_TOKENS = 64  # of the attention that a kernel is tried on


def accelerate(transformer: Any, settings: ModelSettings, device: torch.device) -> None:
    """Makes a placed transformer faster as the settings say, in place.

    Args:
        transformer: `ChronoEditTransformer3DModel`.
        settings: `compiled`, `fused`, `attention`, `parallel` and `step_cache`.
        device: Where it computes.

    Raises:
        InvalidConfig: An attention that does not exist or cannot compute here, a compiler that
            PyTorch does not have, or heads that cannot be split.
    """
    if settings.attention is not None:
        _use_attention(transformer, settings.attention, device)
    if settings.fused:
        for block in transformer.blocks:
            _fuse(block.attn1)
    if settings.parallel:
        share(transformer, device)
    if settings.compiled:
        compile_blocks(transformer, settings.compiled, hooked=settings.step_cache is not None)
    if settings.step_cache is not None:
        cache_steps(transformer, settings.step_cache)


def describe_acceleration(settings: ModelSettings) -> Mapping[str, Any]:
    """Gives what of it is on, for a model's identity: each rounds in its own way."""
    given = {name: getattr(settings, name) for name in _FIELDS}
    return {
        name: value for name, value in given.items() if value is not None and value is not False
    }


def _fuse(attention: Any) -> None:
    """Joins the three projections; the single ones become views, so that nothing is held twice."""
    attention.fuse_projections()
    singles = (attention.to_q, attention.to_k, attention.to_v)
    parts = zip(attention.to_qkv.weight.chunk(3), attention.to_qkv.bias.chunk(3), strict=True)
    for single, (weight, bias) in zip(singles, parts, strict=True):
        single.weight = nn.Parameter(weight.detach(), requires_grad=False)
        single.bias = nn.Parameter(bias.detach(), requires_grad=False)


def cache_steps(transformer: Any, threshold: float) -> None:
    """Lets denoising steps reuse what all blocks but the first added in an earlier step.

    Diffusers' FirstBlockCache: they are reused where what the first block adds has changed by less
    than the threshold, relative to its mean magnitude, since they were computed last. Diffusers
    does not know ChronoEdit's block and never says which forward of guidance it is in; `forward`
    of `CrossAttention` does, and forgets what was kept when a prediction or another number of
    latents begins.

    Args:
        transformer: Changed in place; `disable_cache` undoes it.
        threshold: From 0, where nothing is reused, to 1.
    """
    metadata: Any = TransformerBlockMetadata  # untyped
    TransformerBlockRegistry.register(
        type(transformer.blocks[0]), metadata(return_hidden_states_index=0)
    )
    transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))


def multiply_in_float8(transformer: Any, device: torch.device) -> None:
    """Has the blocks' products of matrices computed in 8 bits, by torchao.

    Weights are scaled row by row, activations token by token while it runs.

    Args:
        transformer: Changed in place; its blocks' weights are on the device afterwards.
        device: A GPU that multiplies in 8 bits: Ada, Hopper, Blackwell.

    Raises:
        MissingDependency: torchao is not installed.
        InvalidConfig: The device cannot.
    """
    try:
        from torchao import quantization  # here, so that it is needed for this alone
    except ImportError as error:
        raise MissingDependency(
            "storage=float8-matmul needs torchao: pip install 'chronosim[float8]'"
        ) from error
    rows = transformer.dtype == torch.bfloat16  # torchao scales whole tensors otherwise
    config = quantization.Float8DynamicActivationFloat8WeightConfig(
        granularity=quantization.PerRow() if rows else quantization.PerTensor()
    )
    try:
        quantization.quantize_(transformer.blocks, config, device=device)
    except AssertionError as error:
        raise InvalidConfig(f"storage=float8-matmul cannot compute on {device}: {error}") from error


def compile_blocks(transformer: Any, compiled: bool | str, *, hooked: bool = False) -> None:
    """Compiles one block for all: its kernels fit any number of tokens from the second one on.

    Args:
        transformer: Changed in place.
        compiled: True, or a backend of torch.compile.
        hooked: Whether hooks will be put around the blocks, which must stay Python.

    Raises:
        InvalidConfig: PyTorch has no such backend.
    """
    backend = "inductor" if compiled is True else str(compiled)
    known = torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        raise InvalidConfig(f"compiled must be true or one of {', '.join(known)}, not {backend!r}")
    if not hooked:
        transformer.compile_repeated_blocks(backend=backend)
        return
    for block in transformer.blocks:
        block.forward = torch.compile(block.forward, backend=backend)


def _use_attention(transformer: Any, name: str, device: torch.device) -> None:
    """Chooses how self-attention is computed; cross-attention is short, and stays as it is."""
    kinds = {kind.value: kind for kind in AttentionBackendName}
    if name not in kinds:
        raise InvalidConfig(f"attention must be one of {', '.join(kinds)}, not {name!r}")
    heads, width = transformer.config.num_attention_heads, transformer.config.attention_head_dim
    sample = torch.zeros(1, _TOKENS, heads, width, device=device, dtype=transformer.dtype)
    try:
        with _own_attention():
            transformer.set_attention_backend(name)  # downloads a kernel of the hub, where it must
            dispatch_attention_fn(sample, sample, sample, backend=kinds[name])
    except Exception as error:  # kernels raise whatever their makers chose
        reason = " ".join(str(error).split())[:300]
        raise InvalidConfig(
            f"attention={name} cannot compute on {device} in "
            f"{str(transformer.dtype).removeprefix('torch.')}: {reason}"
        ) from error


@contextmanager
def _own_attention() -> Iterator[None]:
    """Keeps diffusers from making one model's attention that of all models, as it would."""
    log: Any = diffusers_logging  # untyped
    level, (before, _) = log.get_verbosity(), _AttentionBackendRegistry.get_active_backend()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
        _AttentionBackendRegistry.set_active_backend(before)


TEXT_TOKENS = 512
"""Text tokens ChronoEdit attends to (diffusers' transformer_chronoedit.py has it hard-coded)."""

_Heads = Float[Tensor, "batch heads _ head_dim"]
_Keys = tuple[_Heads, _Heads, _Heads | None, _Heads | None]  # text, then frame: keys and values
_Bias = Float[Tensor, "batch 1 1 folded"]


@dataclass(slots=True, eq=False)
class TextContext:
    """What one batch of prompts gives every cross-attention.

    Attributes:
        embeds: Text embeddings, the padding folded into the columns past each text's end:
            float (batch, folded, text_dim).
        bias: Added to the attention scores: float (batch, 1, 1, folded).
        kept: Keys and values, layer by layer; filled at the first forward that needs no gradient.
    """

    embeds: Float[Tensor, "batch folded text_dim"]
    bias: _Bias
    kept: list[_Keys] = field(default_factory=list, repr=False)


def fold_padding(
    embeds: Float[Tensor, "batch tokens text_dim"], lengths: Int[Tensor, " batch"]
) -> TextContext:
    """Folds zero-padded text embeddings.

    Args:
        embeds: Zeros past each text's end; at least one token longer than the longest text, unless
            that fills all 512.
        lengths: Tokens of each text, 1 to 512.
    """
    width = min(int(lengths.max()) + 1, TEXT_TOKENS)
    columns = torch.arange(width, device=embeds.device)
    real = columns < lengths[:, None]
    # The padding of a row is spread evenly over its columns past the text.
    copies = (TEXT_TOKENS - lengths).float() / (width - lengths).clamp(min=1)
    bias = torch.where(real, 0.0, copies.clamp(min=1e-9).log()[:, None])
    return TextContext(embeds[:, :width], bias[:, None, None, :].to(embeds.dtype))


class CrossAttention:
    """Runs a transformer on folded text, through processors of its own in every cross-attention.

    Outside of `forward` those processors do what diffusers' own do.

    Args:
        transformer: Gets a processor for the `attn2` of each of its blocks, if it has none yet.
    """

    def __init__(self, transformer: ChronoEditTransformer3DModel) -> None:
        self._transformer: Any = transformer
        for block in self._transformer.blocks:
            if not isinstance(block.attn2.processor, _Layer):
                block.attn2.set_processor(_Layer())
        self._layers: list[_Layer] = [block.attn2.processor for block in self._transformer.blocks]
        self._shape: torch.Size | None = None  # of the latents that the step cache holds

    def forward(
        self,
        latents: Float[Tensor, "batch inputs slots h w"],
        timestep: Num[Tensor, " batch"],
        context: TextContext,
        frames: Float[Tensor, "batch patches vision"],
    ) -> Float[Tensor, "batch channels slots h w"]:
        """The transformer's answer.

        Args:
            latents: Noisy latents and condition, channels joined.
            timestep: 0 to 1000.
            context: The folded text of each row.
            frames: Embeddings of the observed frames.
        """
        words: Tensor = context.embeds
        seen: Tensor | None = frames
        if context.kept:
            words, seen = words[:, :1], None  # nobody reads them: a word, for its number format
        try:
            for index, layer in enumerate(self._layers):
                keys = context.kept[index] if context.kept else None
                layer.begin(context.bias, keys)
            with self._remembering(latents, context):
                velocity: Tensor = self._transformer(
                    latents, timestep, words, seen, return_dict=False
                )[0]
            if not context.kept:
                context.kept += [layer.keys for layer in self._layers if layer.keys is not None]
        finally:
            for layer in self._layers:
                layer.end()
        return velocity

    def _remembering(self, latents: Tensor, context: TextContext) -> AbstractContextManager[object]:
        """Tells the step cache, where there is one, which of a step's forwards this is."""
        if not self._transformer.is_cache_enabled:
            return nullcontext()
        if latents.shape != self._shape:
            self._transformer._reset_stateful_cache()
            self._shape = latents.shape
        remembering: AbstractContextManager[object] = self._transformer.cache_context(
            str(id(context))
        )
        return remembering


class _Layer:
    """The processor of one cross-attention.

    Each block has its own, and what it holds are tensors: that makes all blocks one compiled graph.

    Attributes:
        bias: Added to the text's scores; None outside of `CrossAttention.forward`.
        keys: What was projected, where no gradient is needed.
    """

    def __init__(self) -> None:
        self.end()

    def begin(self, bias: _Bias, keys: _Keys | None) -> None:
        self.bias: _Bias | None = bias
        self.keys: _Keys | None = keys

    def end(self) -> None:
        self.bias = self.keys = None

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Float[Tensor, "batch tokens dim"],
        encoder_hidden_states: Float[Tensor, "batch context dim"],
        attention_mask: Tensor | None = None,
        rotary_emb: Tensor | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """One cross-attention, called by diffusers; it uses neither a mask nor positions."""
        query = _heads(attn, attn.norm_q(attn.to_q(hidden_states)))
        keys = self.keys
        if keys is None:
            words = TEXT_TOKENS if self.bias is None else self.bias.shape[-1]
            keys = _project(attn, encoder_hidden_states, words)
            if self.bias is not None and not torch.is_grad_enabled():
                self.keys = keys
        key, value, image_key, image_value = keys
        bias = None if self.bias is None else self.bias.to(query.dtype)
        if bias is not None and key.shape[2] > bias.shape[3]:  # the frame is attended to as words
            bias = F.pad(bias, (key.shape[2] - bias.shape[3], 0))
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        if image_key is not None and image_value is not None:
            out = out + F.scaled_dot_product_attention(query, image_key, image_value)
        mixed: Tensor = attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))
        return mixed


def _project(attn: WanAttention, encoded: Tensor, words: int) -> _Keys:
    """Keys and values of the text (the last `words` tokens) and of the frame (those before).

    A transformer without keys for frames attends to them among the words, as diffusers' own does.
    """
    split = encoded.shape[1] - words if attn.add_k_proj is not None else 0
    image, text = encoded[:, :split], encoded[:, split:]
    image_key = image_value = None
    if attn.add_k_proj is not None and attn.add_v_proj is not None:
        image_key = _heads(attn, attn.norm_added_k(attn.add_k_proj(image)))
        image_value = _heads(attn, attn.add_v_proj(image))
    key, value = attn.norm_k(attn.to_k(text)), attn.to_v(text)
    return _heads(attn, key), _heads(attn, value), image_key, image_value


def _heads(attn: WanAttention, x: Float[Tensor, "batch _ dim"]) -> _Heads:
    return torch.unflatten(x, 2, (attn.heads, -1)).transpose(1, 2)


class _PlanarCausalConv3d(WanCausalConv3d):
    """A `WanCausalConv3d` whose forward runs through `conv2d`; parameters and results are its own.

    Attributes:
        skipped: Leading time slices of the kernel that are zero, and stay so in a training.
    """

    skipped: int

    def forward(
        self, x: Float[Tensor, "b c t h w"], cache_x: Float[Tensor, "b c past h w"] | None = None
    ) -> Float[Tensor, "b d t2 h2 w2"]:
        weight = self.weight[:, :, self.skipped :]
        taps, past = weight.shape[2], self._padding[4]
        if cache_x is not None and past > 0:
            x = torch.cat([cache_x.to(x.device), x], dim=2)
            past -= cache_x.shape[2]
        if past == self.kernel_size[0] - 1 and x.shape[2] == 1:
            weight, taps = weight[:, :, -1:], 1  # everything before the first frame is zero
        else:
            x = F.pad(x, (0, 0, 0, 0, past, 0))[:, :, self.skipped :]
        batch = x.shape[0]
        windows = x.unfold(2, taps, self.stride[0])  # b c t2 h w taps
        out_time = windows.shape[2]
        planes = windows.permute(0, 2, 5, 1, 3, 4).reshape(batch * out_time, -1, *x.shape[3:])
        kernel = weight.permute(0, 2, 1, 3, 4).flatten(1, 2)
        y = F.conv2d(
            planes.contiguous(memory_format=torch.channels_last),
            kernel.contiguous(memory_format=torch.channels_last),
            self.bias,
            stride=self.stride[1:],
            padding=(self._padding[2], self._padding[0]),
        )
        return torch.unflatten(y, 0, (batch, out_time)).transpose(1, 2)


def use_planar_convolutions(module: nn.Module) -> None:
    """Makes an autoencoder, or a part of one, compute its causal convolutions as 2D ones, in place.

    Parameters, state dict and results stay the same; float32 results differ by rounding, which
    depends on the number of threads (seen: 1.4e-5 at most, on pixels in [-1, 1]).
    Time slices that are zero now are skipped from now on: they get no gradient.
    """
    for convolution in module.modules():
        if isinstance(convolution, WanCausalConv3d):
            convolution.__class__ = _PlanarCausalConv3d
            convolution.skipped = _blank_slices(convolution)


def use_all_slices(module: nn.Module) -> None:
    """Takes back that zero time slices are skipped: a training can fill them."""
    for convolution in module.modules():
        if isinstance(convolution, _PlanarCausalConv3d):
            convolution.skipped = 0


def _blank_slices(convolution: WanCausalConv3d) -> int:
    """How many of the kernel's oldest time slices are all zero; the newest is never counted."""
    slices = convolution.weight.detach().abs().amax((0, 1, 3, 4))
    used = torch.nonzero(slices[:-1])
    return int(used[0]) if len(used) else len(slices) - 1
