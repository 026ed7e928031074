"""Where a model's files lie: on disk, in the model hub's cache, or on the hub or a mirror of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download, snapshot_download

from chronosim.errors import InvalidModel, ModelNotFound
from chronosim.models.folder import check_folder
from chronosim.models.settings import ModelSettings

__all__ = ["fetch_file", "fetch_folder", "find_file", "find_folder"]

_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt"]  # no pickles, no second set of weights
_TRANSFORMER = ["transformer/*.safetensors", "transformer/*.safetensors.index.json"]
_PARTS = "transformer, text_encoder, image_encoder, vae, tokenizer, image_processor and scheduler"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def find_folder(location: str | Path, settings: ModelSettings) -> Path | None:
    """Gives a model's folder if it is here already, on disk or whole in the hub's cache.

    Raises:
        ModelNotFound: A local folder that is not there.
        InvalidModel: The cache holds something else than a ChronoEdit.
    """
    folder = Path(location).expanduser()
    if folder.exists():
        return folder.resolve()
    if isinstance(location, Path) or not _is_hub_id(location):
        raise ModelNotFound(f"there is no model folder {location}")
    found = _cached(snapshot_download, location, settings)
    return found if found is not None and _is_whole(found, settings) else None


def fetch_folder(location: str | Path, settings: ModelSettings) -> tuple[Path, str | None]:
    """Gives a model's folder and the hub's commit it is of, downloading what is missing.

    Raises:
        ModelNotFound: Neither the disk, the cache nor the hub has it.
    """
    folder = Path(location).expanduser()
    if folder.exists() or isinstance(location, Path) or not _is_hub_id(location):
        local = find_folder(location, settings)
        assert local is not None
        return local, None
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
            "convert the weights to safetensors"
        )
    path = Path(location).expanduser()
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
