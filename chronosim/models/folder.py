"""A model folder in diffusers' format: what must be in it, before anything is loaded from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chronosim.errors import InvalidModel, ModelNotFound

__all__ = ["check_folder", "read_json"]

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


def check_folder(folder: Path, *, whole: bool = True) -> None:
    """Refuses a folder of which a part is missing, pickled, or of another kind.

    Args:
        folder: The model folder.
        whole: Whether it must hold the transformer's weights too.

    Raises:
        ModelNotFound: The folder, or a file of it, is missing; the sentence names it.
        InvalidModel: A part is of another kind, or pickled, or a config cannot be read.
    """
    if not folder.is_dir():
        raise ModelNotFound(f"there is no model folder {folder}")
    read_json(folder / "model_index.json")
    for part, (key, kinds) in _KINDS.items():
        _check_kind(folder / part / "config.json", key, kinds)
        if whole or part != "transformer":
            _check_weights(folder / part)
    for part, names in _FILES.items():
        if not any((folder / part / name).is_file() for name in names):
            raise ModelNotFound(f"the model folder {folder} lacks {part}/{' or '.join(names)}")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a config.

    Raises:
        ModelNotFound: It is missing.
        InvalidModel: It is no JSON, or no object.
    """
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
    kind = read_json(config).get(key)
    if kind not in kinds:
        raise InvalidModel(
            f"{config} has {key} {kind!r}, but ChronoEdit needs {' or '.join(kinds)}"
        )


def _check_weights(folder: Path) -> None:
    """Refuses missing shards and pickles before anything is loaded."""
    for index in folder.glob("*.safetensors.index.json"):
        for name in sorted(set(read_json(index).get("weight_map", {}).values())):
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
