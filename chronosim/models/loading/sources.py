"""Where a model's files lie: on disk, in the hub's cache, on the hub or a mirror of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download, snapshot_download

from chronosim.errors import InvalidModel, ModelNotFound
from chronosim.files import read_file, user_path
from chronosim.models.loading.settings import ModelSettings

# No pickles, and no second set of weights.
_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_TRANSFORMER = ["transformer/*.safetensors", "transformer/*.safetensors.index.json"]
_PARTS = "transformer, text_encoder, image_encoder, vae, tokenizer, image_processor and scheduler"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def find_folder(location: str | Path, settings: ModelSettings) -> Path | None:
    """Gives a model's folder if it is here already, on disk or whole in the hub's cache.

    Raises:
        ModelNotFound: A local folder that is not there.
        InvalidModel: The cache holds something else than a ChronoEdit.
    """
    folder = user_path(location)
    if folder.exists():
        return folder.resolve()
    if isinstance(location, Path) or not _is_hub_id(location):
        raise ModelNotFound(f"there is no model folder {location}")
    found = _cached(snapshot_download, location, settings)
    return found if found is not None and _is_whole(found, settings) else None


def fetch_folder(
    location: str | Path, settings: ModelSettings, *, of_chronoedit: bool = True
) -> tuple[Path, str | None]:
    """Gives a model's folder and the hub's commit it is of, downloading what is missing.

    Args:
        location: A local folder, or an id of the model hub (owner/name).
        settings: The revision, the cache and the mirror to take.
        of_chronoedit: Whether it must be a ChronoEdit; else it is any model's.

    Raises:
        ModelNotFound: Neither the disk, the cache nor the hub has it.
    """
    folder = user_path(location)
    if folder.exists() or isinstance(location, Path) or not _is_hub_id(location):
        local = find_folder(location, settings)
        assert local is not None
        return local, None
    if not of_chronoedit:
        found = _fetch(snapshot_download, location, "the model", settings, allow_patterns=_PATTERNS)
        return found, found.name
    wanted = {"allow_patterns": _PATTERNS, "ignore_patterns": ["lora/*", *_unneeded(settings)]}
    found = _fetch(snapshot_download, location, _PARTS, settings, **wanted)
    try:
        check_folder(found, whole=settings.transformer is None)
    except ModelNotFound as error:  # without a network, the hub's client takes what there is
        raise ModelNotFound(f"{error}: get it with `hf download {location}`") from error
    return found, found.name


def find_file(
    location: str | Path, settings: ModelSettings, base: Path | None = None
) -> Path | None:
    """Gives a file if it is here already.

    Args:
        location: A local file, or owner/name/path of the hub.
        settings: The cache to look in.
        base: A model folder that may hold it too, as a download of its repository does.

    Raises:
        ModelNotFound: A local file that is not there.
        InvalidModel: It is a pickle.
    """
    if str(location).endswith(_PICKLES):
        raise InvalidModel(
            f"{location} is a pickle, which can run code when it is opened: "
            "convert the weights to safetensors, as chronosim.models.convert_checkpoint does"
        )
    path = user_path(location)
    if path.is_file():
        return path.resolve()
    if isinstance(location, Path) or not _is_hub_file(location):
        raise ModelNotFound(f"there is no file {location}")
    repository, name = _split(location)
    for place in _places(base, name):
        if place.is_file():
            return place
    return _cached(hf_hub_download, repository, settings, filename=name)


def fetch_file(location: str | Path, settings: ModelSettings, base: Path | None = None) -> Path:
    """Gives a file, downloading it where it is missing.

    Raises:
        ModelNotFound: Neither the disk, the model folder, the cache nor the hub has it.
        InvalidModel: It is a pickle.
    """
    found = find_file(location, settings, base)
    if found is not None:
        return found
    repository, name = _split(str(location))
    looked = [str(place) for place in _places(base, name)]
    return _fetch(hf_hub_download, repository, name, settings, looked=looked, filename=name)


_SAVED = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")  # PEFT; diffusers


def find_lora(
    location: str | Path, settings: ModelSettings, base: Path | None = None
) -> Path | None:
    """Gives a LoRA's file if it is here already; its location may be the folder it was saved to.

    Raises:
        ModelNotFound: A local file that is not there, or a folder that holds none or several.
        InvalidModel: It is a pickle.
    """
    folder = Path(location).expanduser()
    if not folder.is_dir():
        return find_file(location, settings, base)
    named = [folder / name for name in _SAVED if (folder / name).is_file()]
    files = named or sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        raise ModelNotFound(
            f"{folder} holds {len(files)} LoRAs (*.safetensors), not one: name a file"
        )
    return files[0].resolve()


def fetch_lora(location: str | Path, settings: ModelSettings, base: Path | None = None) -> Path:
    """Gives a LoRA's file, downloading it where it is missing, with PEFT's config beside it.

    Raises:
        ModelNotFound: Neither the disk, the model folder, the cache nor the hub has it.
        InvalidModel: It is a pickle.
    """
    found = find_lora(location, settings, base)
    if found is not None:
        return found
    path = fetch_file(location, settings, base)
    repository, name = _split(str(location))
    beside = {"filename": str(Path(name).with_name("adapter_config.json"))}
    with suppress(ModelNotFound):  # most have none
        _fetch(hf_hub_download, repository, "it", settings, **beside)
    return path


def _fetch(
    download: Callable[..., Any],
    repository: str,
    what: str,
    settings: ModelSettings,
    *,
    looked: Iterable[str] = (),
    **wanted: Any,
) -> Path:
    endpoint = settings.endpoint or constants.ENDPOINT
    cache = str(settings.cache or constants.HF_HUB_CACHE)
    try:
        return Path(
            download(
                repository,
                revision=settings.revision,
                cache_dir=settings.cache,
                endpoint=settings.endpoint,
                **wanted,
            )
        )
    except Exception as error:  # the hub's client passes on whatever its HTTP library raises
        reason = str(error).strip().split("\n")[0].rstrip(".")
        places = ", ".join([*looked, f"the cache {cache}"])
        raise ModelNotFound(
            f"{what} of {repository} is not in {places}, and {endpoint} does not give it "
            f"({reason}): get it with `hf download {repository}`, name a mirror as endpoint=, or a "
            "local folder or file"
        ) from error


def _cached(
    download: Callable[..., Any], repository: str, settings: ModelSettings, **wanted: Any
) -> Path | None:
    try:
        found = download(
            repository,
            revision=settings.revision,
            cache_dir=settings.cache,
            local_files_only=True,
            **wanted,
        )
    except Exception:  # whatever it is, the file is not here; fetching it says why
        return None
    return Path(found)


def _is_whole(folder: Path, settings: ModelSettings) -> bool:
    """Whether all of a model is in the cache: a LoRA or a broken-off download is a folder too."""
    try:
        check_folder(folder, whole=settings.transformer is None)
    except ModelNotFound:
        return False
    return True


def _unneeded(settings: ModelSettings) -> list[str]:
    return [] if settings.transformer is None else _TRANSFORMER


def _places(base: Path | None, name: str) -> list[Path]:
    """Where a download of the base's repository may hold a file; users put others beside it."""
    if base is None:
        return []
    return list(dict.fromkeys([base / name, base / "lora" / Path(name).name]))


def _split(location: str) -> tuple[str, str]:
    owner, name, path = location.split("/", 2)
    return f"{owner}/{name}", path


def _is_hub_id(location: str) -> bool:
    return location.count("/") == 1 and location[0] not in "./~" and location[-1] != "/"


def _is_hub_file(location: str) -> bool:
    return location.count("/") >= 2 and location[0] not in "./~" and location[-1] != "/"


# What a part's config must say it is, and where it says so.
_KINDS = {
    "transformer": ("_class_name", ("ChronoEditTransformer3DModel", "WanTransformer3DModel")),
    "vae": ("_class_name", ("AutoencoderKLWan",)),
    "text_encoder": ("model_type", ("umt5", "t5")),
    "image_encoder": ("model_type", ("clip_vision_model",)),
}
# Files that are no weights; any one of a row will do.
_FILES = {
    "tokenizer": ("tokenizer.json", "spiece.model"),
    "image_processor": ("preprocessor_config.json", "processor_config.json"),
    "scheduler": ("scheduler_config.json",),
}


# Files that hold what is taken off, and what is divided by, and under which names.
_SCALES = (
    ("vae/config.json", "latents_mean", "latents_std"),
    ("image_processor/preprocessor_config.json", "image_mean", "image_std"),
    ("image_processor/processor_config.json", "image_mean", "image_std"),
)
_LARGEST = 2**28  # bytes of a tokenizer's list of words


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
    for part in (*_KINDS, *_FILES):
        _check_files(folder / part)
    _check_numbers(folder)
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
    if not path.exists():
        raise ModelNotFound(f"the model file {path} is missing")
    try:
        values = json.loads(read_file(path))
    except OSError as error:
        raise InvalidModel(f"the model file {path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
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


def _is_name(name: object) -> bool:
    """Whether it names a file of the folder itself."""
    return isinstance(name, str) and name.isprintable() and Path(name).name == name


def _check_files(folder: Path) -> None:
    """Refuses pipes, devices and lists of words of gigabytes: libraries read them to their end."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InvalidModel(f"{path} is no plain file")
        if path.suffix in (".json", ".txt", ".model") and path.stat().st_size > _LARGEST:
            raise InvalidModel(f"{path} holds more than {_LARGEST:,} bytes")


def _check_numbers(folder: Path) -> None:
    """Refuses scales that would make every frame black, and what is no number."""
    for name, shifts, scales in _SCALES:
        file = folder / name
        found = read_json(file) if file.exists() else {}
        for key in (shifts, scales):
            numbers = found.get(key)
            flat = numbers if isinstance(numbers, list) else [numbers]
            for number in flat if numbers is not None else ():
                if not isinstance(number, int | float) or not math.isfinite(number):
                    raise InvalidModel(f"{file} has {key} with {number!r}: it must be numbers")
                if key == scales and number == 0:
                    raise InvalidModel(f"{file} has {key} with 0: nothing can be divided by it")


def _check_weights(folder: Path) -> None:
    """Refuses missing shards and pickles before anything is loaded."""
    for index in folder.glob("*.safetensors.index.json"):
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(map(_is_name, shards.values())):
            raise InvalidModel(f"{index} must map weights to files beside it, as weight_map")
        for name in sorted(set(shards.values())):
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
