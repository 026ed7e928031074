"""The parts of a ChronoEdit model, checked to fit together."""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import torch
from diffusers.models.transformers.transformer_chronoedit import ChronoEditTransformer3DModel
from torch import Tensor
from transformers import PreTrainedModel

from chronosim.errors import InvalidModel
from chronosim.models.loading.places import hash_file

FileStates = tuple[tuple[str, int, int], ...]
"""Name, time of change in ns and size in bytes of each file."""

_OWN = ("variant", "lock", "texts", "frames", "conditions", "_hash")  # not given to another process
_WEIGHTS = ("image_encoder", "text_encoder", "transformer", "vae")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Components:
    """Diffusers' and transformers' own modules, in eval mode, shared by any number of engines.

    What was computed from them alone is remembered here too, and one engine at a time runs them
    (`lock`): the autoencoder keeps its causal context on itself while it runs.

    Attributes:
        tokenizer: The text encoder's tokenizer (transformers).
        text_encoder: `UMT5EncoderModel`.
        image_processor: `CLIPImageProcessor`, either backend.
        image_encoder: `CLIPVisionModel`.
        transformer: `ChronoEditTransformer3DModel`.
        vae: `AutoencoderKLWan`.
        scheduler: The noise schedule's config; a fresh scheduler is built for every call.
        folder: Where the weights came from; None if made in memory.
        files: The folder's files as they were when they were read (`list_files`).
        revision: The commit of the model hub; None if not from there.
        place: Where the networks compute, wherever their weights wait; None: where they lie.
        checkpoint: The file that the transformer's weights came from instead of the folder's.
        variant: What was changed of the weights in loading, in JSON values; at least `loras`.

    Raises:
        InvalidModel: The parts do not fit together; the sentence names both numbers.
    """

    tokenizer: Any
    text_encoder: Any
    image_processor: Any
    image_encoder: Any
    transformer: Any
    vae: Any
    scheduler: Any
    folder: Path | None = None
    files: FileStates = ()
    revision: str | None = None
    place: torch.device | None = None
    checkpoint: Path | None = None
    variant: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({"loras": []}))
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    texts: Memo[Tensor] = field(default_factory=lambda: Memo(256), repr=False)
    frames: Memo[Tensor] = field(default_factory=lambda: Memo(64), repr=False)
    conditions: Memo[Tensor] = field(default_factory=lambda: Memo(32), repr=False)
    _hash: Memo[str] = field(default_factory=lambda: Memo(1), repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.transformer, ChronoEditTransformer3DModel):
            raise InvalidModel(
                "the transformer must be a ChronoEditTransformer3DModel, "
                f"not a {type(self.transformer).__name__}: it places the outcome in time"
            )
        for ours, value, theirs, other in self._pairs():
            if value != other:
                raise InvalidModel(
                    f"{ours} is {value}, but {theirs} is {other}: they must be equal"
                )
        self._check_statistics()
        if (layers := self.image_encoder.config.num_hidden_layers) < 1:
            raise InvalidModel(
                f"the image encoder has {layers} hidden layers: what a frame means is read before "
                "the last one, so that it needs 1 or more"
            )
        rows, words = self.text_encoder.config.vocab_size, len(self.tokenizer)
        if words > rows:
            raise InvalidModel(
                f"the tokenizer knows {words} tokens, but the text encoder has rows for {rows}"
            )

    def _check_statistics(self) -> None:
        config = self.vae.config
        for name, least in (("latents_mean", -math.inf), ("latents_std", 0.0)):
            values = config[name]
            numbers = [value for value in values if isinstance(value, int | float)]
            fit = [value for value in numbers if math.isfinite(value) and value > least]
            if not len(fit) == len(values) == config.z_dim:
                raise InvalidModel(
                    f"the autoencoder's {name} must be {config.z_dim} finite numbers"
                    f"{'' if least else ' above 0'}, not {str(values)[:80]}"
                )

    def __reduce__(self) -> tuple[Any, ...]:
        """Gives another process the modules; it has a lock of its own, and remembers for itself."""
        given = [getattr(self, name) for name in _GIVEN]
        with self.lock:
            for part in (self.text_encoder, self.image_encoder):
                _forget_hooks(part)
        return _made_again, (*given, dict(self.variant))

    def _pairs(self) -> Iterator[tuple[str, object, str, object]]:
        """Numbers of two parts that must be equal, with their names."""
        transformer, vae = self.transformer.config, self.vae.config
        channels = 2 * vae.z_dim + vae.scale_factor_temporal
        inner = transformer.num_attention_heads * transformer.attention_head_dim
        vision = self.image_encoder.config.hidden_size
        yield (
            "the transformer's in_channels",
            transformer.in_channels,
            f"2 x z_dim + {vae.scale_factor_temporal} of the autoencoder (z_dim {vae.z_dim})",
            channels,
        )
        yield "the transformer's out_channels", transformer.out_channels, "the z_dim", vae.z_dim
        yield "the transformer's temporal patch", transformer.patch_size[0], "the only one known", 1
        yield (
            "the transformer's text_dim",
            transformer.text_dim,
            "the text encoder's d_model",
            self.text_encoder.config.d_model,
        )
        yield (
            "the transformer's image_dim",
            transformer.image_dim,
            "the image encoder's hidden_size",
            vision,
        )
        if transformer.added_kv_proj_dim is not None:
            yield (
                "the transformer's added_kv_proj_dim",
                transformer.added_kv_proj_dim,
                "its heads x head size",
                inner,
            )

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        device: torch.device = self.place or self.transformer.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """What the transformer computes in."""
        dtype: torch.dtype = self.transformer.dtype
        return dtype

    @property
    def latents(self) -> int:
        """Latent frames of full reasoning: the observed one, those between, the outcome."""
        return int(self.transformer.config.rope_temporal_skip_len)

    @property
    def grid(self) -> int:
        """Pixels that a frame's height and width must be multiples of."""
        patch = self.transformer.config.patch_size
        return int(self.vae.config.scale_factor_spatial) * int(patch[1])

    @property
    def weights_hash(self) -> str:
        """SHA-256 over all weights; computed once, on first use (seconds per gigabyte)."""
        return self._hash.get(None, self._compute_hash)

    def _compute_hash(self) -> str:
        digest = hashlib.sha256()
        for name, value in self._hashed():
            digest.update(f"{name} {value}\n".encode())
        return digest.hexdigest()

    def _hashed(self) -> Iterator[tuple[str, str]]:
        """Each weight file with its own hash; each tensor if no file holds it (any more)."""
        if self.folder is not None and list_files(self.folder) == self.files:
            for part in _WEIGHTS:
                for path in self._files(self.folder, part):
                    yield f"{part}/{path.name}", hash_file(path)
            return
        for part in _WEIGHTS:
            for name, tensor in sorted(getattr(self, part).state_dict().items()):
                values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
                yield f"{part}/{name}", hashlib.sha256(values.numpy().tobytes()).hexdigest()

    def _files(self, folder: Path, part: str) -> list[Path]:
        if part == "transformer" and self.checkpoint is not None:
            return [self.checkpoint]
        return sorted((folder / part).glob("*.safetensors"))


def demand_finite(values: Tensor, part: str, network: Any, when: str = "") -> None:
    """Refuses NaN and infinity in what a network answered: decoded, they would be a black frame.

    Args:
        values: What it answered.
        part: What it is called.
        network: Its weights are looked through, if there is something to refuse; None: the sampler,
            which has none.
        when: In which step.

    Raises:
        InvalidModel: Names the network and, where one is to blame, the weight.
    """
    # A sum keeps NaN and infinity and takes one pass; it alone can also run over.
    if values.sum().isfinite() or values.isfinite().all():
        return
    raise InvalidModel(f"the {part} answered NaN or infinity{when}; {_blame(network)}")


def _blame(network: Any) -> str:
    if network is None:
        return "all that it was given is finite: take the preset's denoising_steps and flow_shift"
    spoilt = [name for name, weight in network.named_parameters() if not _is_finite(weight)]
    if not spoilt:
        return "its weights are finite, so a number ran over: try dtype=float32"
    return f"{len(spoilt)} of its weights hold some, {spoilt[0]} first: get its file anew"


def _is_finite(weight: Tensor) -> bool:
    """Whether a weight holds numbers alone; a quantiser's own forms are not looked into."""
    if not weight.is_floating_point():
        return True
    exact = weight.float() if weight.dtype.itemsize == 1 else weight
    return bool(exact.isfinite().all())


def list_files(folder: Path) -> FileStates:
    """Lists the files of a model folder's parts; what is written anew shows as a difference."""
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    states = [(path, path.stat()) for path in files]
    return tuple((str(path), state.st_mtime_ns, state.st_size) for path, state in states)


Value = TypeVar("Value")


class Memo(Generic[Value]):
    """Remembers the values asked for last, and forgets the one asked for longest ago.

    Args:
        size: Values kept, >= 1.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Gives the value of `key`, computing it where it is not remembered."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = compute()
        if len(self._values) > self.size:
            self._values.popitem(last=False)
        return value

    def clear(self) -> None:
        """Forgets all values."""
        self._values.clear()


_GIVEN = tuple(one.name for one in fields(Components) if one.name not in _OWN)


def _forget_hooks(encoder: Any) -> None:
    """Removes the hooks by which transformers records hidden states; its next call sets them again.

    They are local functions, which no other process can be given.
    """
    for module in encoder.modules():
        hooks = module._forward_hooks
        for key in [key for key, hook in hooks.items() if "output_capturing" in repr(hook)]:
            del hooks[key]
    if hasattr(encoder, "_output_capturing_hooks_installed"):
        del encoder._output_capturing_hooks_installed


def _made_again(*given: Any) -> Components:
    """What `Components.__reduce__` took apart."""
    *parts, variant = given
    with torch.device("meta"):
        for part in parts:
            if isinstance(part, PreTrainedModel):
                type(part)(part.config)  # transformers learns what a class records by making one
    return Components(**dict(zip(_GIVEN, parts, strict=True)), variant=MappingProxyType(variant))
