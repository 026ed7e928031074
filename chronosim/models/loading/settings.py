"""How a model is loaded: from where, onto what, and into how much memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from chronosim.errors import InvalidConfig
from chronosim.models.loading.presets import PRESETS, Lora
from chronosim.settings.typed import Count, OneOf, Range, check_fields

_QUANTIZED = ("transformer", "text_encoder")
_MATMUL = "float8-matmul"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """What `chronosim.models.load` takes beside a name and the fields of `Sampling`.

    Attributes:
        preset: Whose settings apply to a folder or hub id; None: those of chronoedit-14b, but for
            the scheduler and the flow shift, which are the folder's own.
        device: Such as "cuda" or "cpu"; None: a GPU if there is one.
        dtype: "float32", "bfloat16" or "float16" (older GPUs; its numbers end at 65,504, and what
            overflows is an error); None: bfloat16 on a GPU, float32 on a CPU.
        vae_dtype: The autoencoder's: None is "float32"; "bfloat16", as NVIDIA's own script has it,
            takes half the memory and rounds more.
        revision: A commit, tag or branch of the hub; None: its main branch.
        endpoint: Address of a mirror of the hub; None: that of huggingface_hub (HF_ENDPOINT).
        cache: The folder that the hub's files are kept in; None: huggingface_hub's (HF_HUB_CACHE).
        transformer: Takes the transformer's weights from one file: .safetensors (diffusers' or
            Wan's own names, as ComfyUI has them) or .gguf; local, or owner/name/path of the hub.
        loras: In place of the preset's: files, or mappings of `location` and `weight`; a folder
            that PEFT or diffusers saved one to will do.
        strict: Whether a weight that the model has no place for is an error, in a LoRA or in
            `transformer`; False leaves it out, and the model's identity says how many.
        offload: Where the weights wait: None, on the device; "model", in main memory but for the
            network whose turn it is; "group", in main memory but for the block whose turn it is.
        pinned: Whether what offload=group keeps in main memory is pinned there, which lets the GPU
            fetch it while it computes, but rounds each tensor up to a power of two of bytes.
        storage: "float8" keeps the transformer's blocks in 8 bits and computes in `dtype`;
            "float8-matmul" multiplies in 8 bits as well (torchao; GPUs from Ada and Hopper on).
        quantization: Configs of diffusers' quantisers (transformers' for the text encoder), by
            "transformer" and "text_encoder".
        tiling: Whether the autoencoder works in overlapping tiles: far less memory, other rounding
            at their edges.
        slicing: Whether it decodes the rows of a batch one by one; None: wherever frames may be
            large.
        micro_batch: Rows computed at once; None: one on a CPU, four on a GPU.
        compiled: Whether torch.compile compiles the transformer's blocks when they are first used,
            which takes a minute or more (`ChronoEdit.warm_up`); a word: with that backend of it.
        fused: Whether queries, keys and values of self-attention come from one product.
        attention: How diffusers computes self-attention, such as "flash_hub" or "sage"; None:
            PyTorch's own. Kernels of 8 bits round more.
        step_cache: Reuses what the later blocks added in an earlier denoising step, where the first
            block's part has changed by less than this since: 0 to 1; more is faster and further
            off. Rows that are computed together reuse together. None: nothing is reused.
        batched_guidance: Whether the two forwards of guidance are one of twice as many rows.
        parallel: "ulysses" splits each forward among the processes that torchrun started.

    Raises:
        InvalidConfig: A value that is none of those named.
    """

    preset: str | None = None
    device: str | None = None
    dtype: str | None = None
    vae_dtype: Annotated[str, OneOf(("float32", "bfloat16", "float16"))] | None = None
    revision: str | None = None
    endpoint: str | None = None
    cache: str | Path | None = None
    transformer: str | Path | None = None
    loras: Any = None
    strict: bool = True
    offload: Annotated[str, OneOf(("model", "group"))] | None = None
    pinned: bool = True
    storage: Annotated[str, OneOf(("float8", "float8-matmul"))] | None = None
    quantization: Mapping[str, Any] | None = None
    tiling: bool = False
    slicing: bool | None = None
    micro_batch: Count | None = None
    compiled: bool | str = False
    fused: bool = False
    attention: str | None = None
    step_cache: Annotated[float, Range(0, 1)] | None = None
    batched_guidance: bool = False
    parallel: Annotated[str, OneOf(("ulysses",))] | None = None

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            raise InvalidConfig(
                f"there is no preset {self.preset!r}: give one of {', '.join(PRESETS)}"
            )
        check_fields(self)
        for part, how in (self.quantization or {}).items():
            if part not in _QUANTIZED:
                raise InvalidConfig(
                    f"quantization is for {' and '.join(_QUANTIZED)}, not for {part!r}"
                )
            if not hasattr(how, "quant_method"):
                raise InvalidConfig(
                    f"the quantization of {part} must be a config of diffusers', such as "
                    f"TorchAoConfig, not {how!r}"
                )
        if self.storage and self.quantizes_transformer:
            raise InvalidConfig(
                "the transformer is stored as float8 or quantised, not both: drop storage, or "
                "the transformer's quantization or .gguf"
            )
        if str(self.transformer).endswith(".gguf") and "transformer" in (self.quantization or {}):
            raise InvalidConfig("a .gguf is quantised already: drop the transformer's quantization")
        self._check_speed()

    def _check_speed(self) -> None:
        """Refuses ways to more speed that cannot go together with where the weights wait."""
        if self.fused and (self.offload or self.storage or self.quantizes_transformer):
            raise InvalidConfig(
                "fused joins plain weights that stay on the device: drop it, or offload, storage "
                "and quantization"
            )
        if self.compiled and self.offload == "group":
            raise InvalidConfig(
                "compiled blocks cannot be streamed: drop compiled, or offload=group"
            )
        if self.offload == "group" and (self.step_cache is not None or self.storage == _MATMUL):
            raise InvalidConfig(
                "blocks that are streamed come in a fixed order and as they are stored: drop "
                f"step_cache and storage={_MATMUL}, or offload=group"
            )
        if self.parallel and self.step_cache is not None:
            raise InvalidConfig(
                "parallel processes would each decide for themselves what to reuse: drop "
                "step_cache, or parallel"
            )
        if self.parallel and (self.offload or self.compiled):
            raise InvalidConfig(
                "parallel goes with neither offload nor compiled: drop it, or those"
            )

    @property
    def quantizes_transformer(self) -> bool:
        """Whether the transformer's weights are kept in a quantiser's own form."""
        quantized = self.quantization or {}
        return "transformer" in quantized or str(self.transformer).endswith(".gguf")

    def read_loras(self) -> tuple[Lora, ...] | None:
        """Gives the LoRAs asked for; None where the preset's are to be taken.

        Raises:
            InvalidConfig: One is neither a file nor a mapping of `location` and `weight`.
        """
        if self.loras is None:
            return None
        several = isinstance(self.loras, Sequence) and not isinstance(self.loras, str)
        return tuple(map(_lora, self.loras)) if several else (_lora(self.loras),)


def _lora(given: Any) -> Lora:
    if isinstance(given, Lora):
        return given
    if isinstance(given, str | Path):
        return Lora(str(given))
    if isinstance(given, Mapping) and "location" in given and set(given) <= {"location", "weight"}:
        return Lora(str(given["location"]), given.get("weight", 1.0))
    raise InvalidConfig(f"a LoRA is a file, or a mapping of its location and weight, not {given!r}")
