"""Reads a model folder in diffusers' format, loudly, and shares weights within the process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import Parameter, signature
from pathlib import Path
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from diffusers import schedulers
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.transformers.transformer_chronoedit import ChronoEditTransformer3DModel
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from chronosim.errors import ChronosimError, InvalidModel, MissingDependency
from chronosim.models.engine.acceleration import (
    accelerate,
    describe_acceleration,
    use_planar_convolutions,
)
from chronosim.models.engine.components import Components, list_files
from chronosim.models.loading.checkpoint import (
    Checkpoint,
    check_part,
    empty_transformer,
    load_checkpoint,
    read_checkpoint,
)
from chronosim.models.loading.lora import LoraFile, add_loras, read_lora
from chronosim.models.loading.lora_scale import CONFIG
from chronosim.models.loading.placement import LOADING_ORDER, place
from chronosim.models.loading.places import find_device, find_dtype
from chronosim.models.loading.presets import Lora
from chronosim.models.loading.quiet import no_bars, no_warnings
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.sources import (
    check_folder,
    fetch_file,
    fetch_folder,
    fetch_lora,
    read_json,
)

_shared: WeakValueDictionary[tuple[object, ...], Components] = WeakValueDictionary()
_lock = threading.Lock()
_PLAIN = ModelSettings()
_NO_WEIGHTS: Any = {
    "preset": None,
    "loras": None,
    "micro_batch": None,
    "revision": None,
    "batched_guidance": False,
}


def load_components(
    location: str | Path, settings: ModelSettings = _PLAIN, loras: Sequence[Lora] = ()
) -> Components:
    """Loads a model, once in a process for as long as somebody holds it.

    Args:
        location: A local folder in diffusers' format, or an id of the model hub.
        settings: How to load it; its preset and its LoRAs are not looked at.
        loras: Added to the transformer's weights.

    Raises:
        ModelNotFound: The folder or a file is missing, or the hub does not give it.
        InvalidModel: The files are there but are no ChronoEdit that can work.
        InvalidConfig: An unknown device or dtype.
    """
    device = find_device(settings.device)
    dtype = find_dtype(settings.dtype, device)
    folder, commit = fetch_folder(location, settings)
    source = settings.transformer
    checkpoint = None if source is None else fetch_file(source, settings, folder)
    added = [(fetch_lora(lora.location, settings, folder), float(lora.weight)) for lora in loras]
    with _lock:
        key = (
            list_files(folder),
            folder,
            *(_state(path) for path in (checkpoint, *_lora_files(added)) if path),
            tuple(added),
            str(device),
            dtype,
            # What does not change the weights, or was looked at above, is left out.
            repr(replace(settings, **_NO_WEIGHTS)),
        )
        components = _shared.get(key)
        if components is None:
            components = read_components(
                folder,
                device=device,
                dtype=dtype,
                revision=commit,
                checkpoint=checkpoint,
                loras=added,
                settings=settings,
            )
            _shared[key] = components
    return components


def _lora_files(loras: Sequence[tuple[Path, float]]) -> list[Path]:
    """The files and, where PEFT wrote one, the config beside each: it says how strong it is."""
    beside = (path.parent / CONFIG for path, _ in loras)
    return [*(path for path, _ in loras), *(path for path in beside if path.is_file())]


def _state(path: Path) -> tuple[str, int, int]:
    state = path.stat()
    return str(path), state.st_mtime_ns, state.st_size


_CPU = torch.device("cpu")
_SIDE = 4096  # of what the image encoder sees, at most
# Code that a folder brings along is never run, nor asked about.
_LOCAL: Any = {"local_files_only": True, "trust_remote_code": False}


def read_components(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None = None,
    checkpoint: Path | None = None,
    loras: Sequence[tuple[Path, float]] = (),
    settings: ModelSettings = _PLAIN,
) -> Components:
    """Reads every part of a ChronoEdit model; the network is not touched.

    Args:
        folder: A model folder in diffusers' format (model_index.json and safetensors).
        device: Where to compute. On a CPU the autoencoder computes planar convolutions.
        dtype: Of the transformer and the text encoder; the image encoder is always float32, the
            autoencoder where the settings do not say otherwise.
        revision: The hub's commit that the folder came from, for the record.
        checkpoint: A file that the transformer's weights come from instead of the folder's.
        loras: Files with their weights, added in this order.
        settings: Quantisation, storage, offload, tiling, slicing and what makes it faster.

    Raises:
        ModelNotFound: The folder, or a file of it, is missing; the sentence names it.
        InvalidModel: Parts are of another kind, pickled, incomplete, or do not fit together.
    """
    check_folder(folder, whole=checkpoint is None)
    _check_types(folder)
    files = list_files(folder)
    instead, changes = _read_changes(folder, checkpoint, loras, settings)
    quantized = _CPU if settings.offload else device

    def transformer() -> Any:
        network = _load_transformer(folder, instead, dtype, quantized, settings)
        add_loras(network, changes, device, fused=not settings.quantizes_transformer)
        return network

    def vae() -> Any:
        number = find_dtype(settings.vae_dtype or "float32", device)
        network = _load_model(AutoencoderKLWan, folder / "vae", number)
        if device.type == "cpu":
            use_planar_convolutions(network)
        return network

    read: Mapping[str, Callable[[], Any]] = {
        "transformer": transformer,
        "text_encoder": lambda: _load_model(
            _text_encoder(folder), folder / "text_encoder", dtype, quantized, settings
        ),
        "image_encoder": lambda: _load_model(
            CLIPVisionModel, folder / "image_encoder", torch.float32
        ),
        "vae": vae,
    }
    networks = place(((part, read[part]()) for part in LOADING_ORDER), settings, device, dtype)
    accelerate(networks["transformer"], settings, device)
    return Components(
        tokenizer=_load_tokenizer(folder / "tokenizer"),
        image_processor=_load_image_processor(folder / "image_processor"),
        scheduler=_load_scheduler(folder / "scheduler"),
        folder=folder,
        files=files,
        revision=revision,
        place=device,
        checkpoint=checkpoint,
        variant=_describe(instead, changes, settings),
        **networks,
    )


def _read_changes(
    folder: Path,
    checkpoint: Path | None,
    loras: Sequence[tuple[Path, float]],
    settings: ModelSettings,
) -> tuple[Checkpoint | None, list[tuple[LoraFile, float]]]:
    """Reads the small files and checks them against the config, before the large ones are read."""
    if checkpoint is None and not loras:
        return None, []
    empty, strict = _load(empty_transformer, folder), settings.strict
    instead = None
    if checkpoint is not None:
        instead = read_checkpoint(checkpoint, empty, strict=strict)
    return instead, [(read_lora(path, empty, strict=strict), weight) for path, weight in loras]


def _describe(
    checkpoint: Checkpoint | None, loras: Sequence[tuple[LoraFile, float]], settings: ModelSettings
) -> Mapping[str, Any]:
    """What was changed of the weights, and the autoencoder, for a model's identity."""
    added = [{**lora.describe(), "weight": weight} for lora, weight in loras]
    variant: dict[str, Any] = {"loras": added}
    if checkpoint is not None and checkpoint.left_out:
        variant["left_out"] = len(checkpoint.left_out)
    if settings.storage:
        variant["storage"] = settings.storage
    if settings.quantization:
        variant["quantization"] = {
            part: json.loads(config.to_json_string(use_diff=False))
            for part, config in settings.quantization.items()
        }
    if settings.vae_dtype not in (None, "float32"):
        variant["vae_dtype"] = settings.vae_dtype
    if settings.tiling:
        variant["tiling"] = True
    return MappingProxyType({**variant, **describe_acceleration(settings)})


def _load_model(
    kind: Any,
    folder: Path,
    dtype: torch.dtype,
    device: torch.device = _CPU,
    settings: ModelSettings = _PLAIN,
) -> Any:
    """Loads one network into main memory, or quantised onto a device.

    A weight that is missing or has no place is an error, not a warning.
    """
    check_part(folder)
    name = "torch_dtype" if issubclass(kind, ModelMixin) else "dtype"
    quantizer = (settings.quantization or {}).get(folder.name)
    quantized = {"quantization_config": quantizer, "device_map": {"": str(device)}}
    model, report = _load(
        kind.from_pretrained,
        folder,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
        **{name: dtype},
        **(quantized if quantizer is not None else {}),
    )
    if report["missing_keys"]:
        raise InvalidModel(
            f"{folder} lacks {len(report['missing_keys'])} weights that its config asks for, "
            f"among them {sorted(report['missing_keys'])[0]}"
        )
    # Whole CLIP and UMT5 checkpoints also hold a head or a decoder, which nobody asked for.
    unexpected = set(report["unexpected_keys"]) if name == "torch_dtype" else set()
    if unexpected:
        raise InvalidModel(
            f"{folder} holds {len(unexpected)} weights that its config has no place for, "
            f"among them {sorted(unexpected)[0]}"
        )
    return model.eval()


def _text_encoder(folder: Path) -> Any:
    kind = read_json(folder / "text_encoder" / "config.json").get("model_type")
    return T5EncoderModel if kind == "t5" else UMT5EncoderModel


def _load_transformer(
    folder: Path,
    checkpoint: Checkpoint | None,
    dtype: torch.dtype,
    device: torch.device,
    settings: ModelSettings,
) -> Any:
    """Loads it into main memory: LoRAs and 8-bit storage come before it goes to the device."""
    if checkpoint is not None:
        return _load(load_checkpoint, checkpoint, folder, dtype).eval()
    return _load_model(
        ChronoEditTransformer3DModel, folder / "transformer", dtype, device, settings
    )


def _check_types(folder: Path) -> None:
    """Refuses settings of another type than their defaults: the libraries fail on them much later.

    Raises:
        InvalidModel: A number is words, or no number that a network can have; or the like.
    """
    usuals: dict[str, dict[str, Any]] = {
        "text_encoder": UMT5Config().to_dict(),
        "image_encoder": CLIPVisionConfig().to_dict(),
        "transformer": _defaults(ChronoEditTransformer3DModel),
        "vae": _defaults(AutoencoderKLWan),
    }
    for part, defaults in usuals.items():
        file = folder / part / "config.json"
        config = read_json(file)
        for name, value in config.get("vision_config", config).items():
            usual = defaults.get(name)
            if usual is None or value is None or _alike(value, usual):
                continue
            raise InvalidModel(f"{file} has {name} {value!r:.80}, but it is one like {usual!r:.80}")


def _defaults(kind: type) -> dict[str, Any]:
    """What a class of diffusers takes where nothing is said."""
    taken = signature(kind).parameters.items()
    return {name: one.default for name, one in taken if one.default is not Parameter.empty}


def _alike(value: Any, usual: Any) -> bool:
    """Whether a value can stand where another is usual."""
    if isinstance(usual, list | tuple):
        return isinstance(value, list | tuple)
    if isinstance(usual, int | float) and not isinstance(usual, bool):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = isinstance(usual, float) or isinstance(value, int)
        return number and whole and abs(value) < 2**63
    return isinstance(value, type(usual))


def _load_tokenizer(folder: Path) -> Any:
    tokenizer = _load(AutoTokenizer.from_pretrained, folder, **_LOCAL)
    _load(lambda _: tokenizer(["tried"], return_tensors="pt"), folder)  # its settings meet
    return tokenizer


def _load_image_processor(folder: Path) -> Any:
    processor = _load(CLIPImageProcessorPil.from_pretrained, folder, local_files_only=True)
    for name in ("size", "crop_size"):
        sides = [*dict(getattr(processor, name, None) or {}).values()]
        if any(isinstance(side, int) and side > _SIDE for side in sides):
            raise InvalidModel(f"{folder} makes frames of more than {_SIDE} pixels a side: {sides}")
    tried = np.zeros((16, 16, 3), np.uint8)
    _load(lambda _: processor(images=tried, return_tensors="pt"), folder)  # all its settings meet
    return processor


def _load_scheduler(folder: Path) -> Any:
    name = read_json(folder / "scheduler_config.json").get("_class_name")
    kind: Any = getattr(schedulers, str(name), None)
    known = isinstance(kind, type) and issubclass(kind, schedulers.SchedulerMixin)
    if not known:
        raise InvalidModel(f"{folder} names the scheduler {name!r}, which diffusers does not have")
    tried = _load(kind.from_pretrained, folder, local_files_only=True)
    _load(lambda _: tried.set_timesteps(2), folder)  # where most of its settings are looked at
    return _load(kind.from_pretrained, folder, local_files_only=True)


def _load(read: Callable[..., Any], source: Any, /, *more: Any, **settings: Any) -> Any:
    try:
        with no_bars(), no_warnings():  # what is wrong is raised
            return read(source, *more, **settings)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise MissingDependency(f"{source} cannot be loaded without a package: {reason}") from error
    except ChronosimError:
        raise
    except Exception as error:  # the libraries check little of what a config says
        source = getattr(source, "path", source)
        reason = str(error).strip().split("\n")[0]
        raise InvalidModel(f"{source} cannot be loaded: {reason}") from error
