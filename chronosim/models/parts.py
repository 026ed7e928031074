"""Reads a model folder in diffusers' format, loudly.

The published ChronoEdit-14B repository names Wan's classes: loaded as its index says, it gives a
Wan transformer that puts the outcome at the wrong time, without an error. So every part is loaded
as the class that ChronoEdit needs, and what does not belong to one is refused. Pickled weights are
never opened: they can run code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import schedulers
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_chronoedit import ChronoEditTransformer3DModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPVisionModel, UMT5EncoderModel
from transformers.utils import logging as transformers_logging

from chronosim.errors import InvalidModel, ModelNotFound
from chronosim.models.components import Components, list_files
from chronosim.models.convolution import use_planar_convolutions

__all__ = ["read_components"]

# What a part's config must say it is, and where it says so.
_KINDS = {
    "transformer": ("_class_name", ("ChronoEditTransformer3DModel", "WanTransformer3DModel")),
    "vae": ("_class_name", ("AutoencoderKLWan",)),
    "text_encoder": ("model_type", ("umt5",)),
    "image_encoder": ("model_type", ("clip_vision_model",)),
}
# Files that are no weights; any one of a row will do.
_FILES = {
    "tokenizer": ("tokenizer.json", "spiece.model"),
    "image_processor": ("preprocessor_config.json", "processor_config.json"),
    "scheduler": ("scheduler_config.json",),
}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def read_components(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None = None,
) -> Components:
    """Reads every part of a ChronoEdit model; the network is not touched.

    Args:
        folder: A model folder in diffusers' format (model_index.json and safetensors).
        device: Where to put the weights. On a CPU the autoencoder computes planar convolutions.
        dtype: Of the transformer and the text encoder, float32 or bfloat16; the autoencoder and
            the image encoder, small and delicate, are always float32.
        revision: The hub's commit that the folder came from, for the record.

    Raises:
        ModelNotFound: The folder, or a file of it, is missing; the sentence names it.
        InvalidModel: Parts are of another kind, pickled, incomplete, or do not fit together.
    """
    if not folder.is_dir():
        raise ModelNotFound(f"there is no model folder {folder}")
    files = list_files(folder)
    _read_json(folder / "model_index.json")
    for part, (key, kinds) in _KINDS.items():
        _check_kind(folder / part / "config.json", key, kinds)
        _check_weights(folder / part)
    for part, names in _FILES.items():
        if not any((folder / part / name).is_file() for name in names):
            raise ModelNotFound(f"the model folder {folder} lacks {part}/{' or '.join(names)}")
    vae = _load_model(AutoencoderKLWan, folder / "vae", torch.float32, device)
    if device.type == "cpu":
        use_planar_convolutions(vae)
    tokenizer = _load(AutoTokenizer.from_pretrained, folder / "tokenizer")
    processor = _load(CLIPImageProcessorPil.from_pretrained, folder / "image_processor")
    return Components(
        tokenizer=tokenizer,
        text_encoder=_load_model(UMT5EncoderModel, folder / "text_encoder", dtype, device),
        image_processor=processor,
        image_encoder=_load_model(CLIPVisionModel, folder / "image_encoder", torch.float32, device),
        transformer=_load_model(
            ChronoEditTransformer3DModel, folder / "transformer", dtype, device
        ),
        vae=vae,
        scheduler=_load_scheduler(folder / "scheduler"),
        folder=folder,
        files=files,
        revision=revision,
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelNotFound(f"the model file {path} is missing")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidModel(f"the model file {path} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise InvalidModel(f"the model file {path} must hold an object of settings")
    return values


def _check_kind(config: Path, key: str, kinds: tuple[str, ...]) -> None:
    kind = _read_json(config).get(key)
    if kind not in kinds:
        raise InvalidModel(
            f"{config} has {key} {kind!r}, but ChronoEdit needs {' or '.join(kinds)}"
        )


def _check_weights(folder: Path) -> None:
    """Refuses missing shards and pickles before anything is loaded."""
    for index in folder.glob("*.safetensors.index.json"):
        for name in sorted(set(_read_json(index).get("weight_map", {}).values())):
            if not (folder / name).is_file():
                raise ModelNotFound(f"the weight file {folder / name} is missing")
    if any(folder.glob("*.safetensors")):
        return
    for path in sorted(folder.iterdir()):
        if path.suffix in _PICKLES:
            raise InvalidModel(
                f"{path} is a pickle, which can run code when it is opened: "
                "convert the weights to safetensors"
            )
    raise ModelNotFound(f"there is no weight file (*.safetensors) in {folder}")


def _load_model(kind: Any, folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """Loads one network; a weight that is missing or has no place is an error, not a warning."""
    name = "dtype" if kind in (UMT5EncoderModel, CLIPVisionModel) else "torch_dtype"
    model, report = _load(
        kind.from_pretrained,
        folder,
        use_safetensors=True,
        output_loading_info=True,
        **{name: dtype},
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
    return model.to(device).eval()


def _load_scheduler(folder: Path) -> Any:
    name = _read_json(folder / "scheduler_config.json").get("_class_name")
    kind = getattr(schedulers, str(name), None)
    if kind is None:
        raise InvalidModel(f"{folder} names the scheduler {name!r}, which diffusers does not have")
    return _load(kind.from_pretrained, folder)


def _load(read: Callable[..., Any], folder: Path, **settings: Any) -> Any:
    try:
        with _quiet():
            return read(folder, local_files_only=True, **settings)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InvalidModel(f"{folder} cannot be loaded: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the libraries' own warnings and bars while loading: we raise instead."""
    logs: list[Any] = [diffusers_logging, transformers_logging]  # untyped
    bars = [log for log in logs if log.is_progress_bar_enabled()]
    levels = [(log, log.get_verbosity()) for log in logs]
    for log in bars:
        log.disable_progress_bar()
    for log in logs:
        log.set_verbosity_error()
    try:
        yield
    finally:
        for log, level in levels:
            log.set_verbosity(level)
        for log in bars:
            log.enable_progress_bar()
