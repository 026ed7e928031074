"""Where a command leaves its results, and which episodes a path given to it means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from chronosim.episodes import list_episodes
from chronosim.episodes.place import Place, as_place, is_episode
from chronosim.errors import EpisodeNotFound, InvalidConfig
from chronosim.files import user_path
from chronosim.formats.atomic import draft_of
from chronosim.formats.safety import recognised
from chronosim.settings.renamed import rename_settings
from chronosim.settings.safe_yaml import read_yaml

_LOOKED_AT = 200  # entries of a folder where no episodes are
_BEGUN = re.compile(r"\.lock|\.config\..*yaml")  # of a run that ended before it had settings


def output_path(config: DictConfig) -> Path:
    """The path that `output` names; `~` is the home.

    Raises:
        InvalidConfig: It is an address: results are written by means that only folders offer.
    """
    output = str(config.output)
    if "://" in output:
        raise InvalidConfig(f"output must be a folder on this machine, not {output}")
    return user_path(output)


def new_folder(config: DictConfig, command: str) -> Path:
    """Makes the folder for a run's results and writes its settings there.

    Args:
        config: The run's settings; `output` names the folder, None: runs/<command>/<date-time>.
        command: Name of the command.

    Raises:
        InvalidConfig: The folder holds something already, is none on this machine, or cannot be
            made.
    """
    folder = unused_folder(command) if config.output is None else output_path(config)
    if not holds_nothing(folder):
        raise InvalidConfig(
            f"{folder} holds something already, and nothing is overwritten: "
            "choose another output=, or remove it"
        )
    make_folder(config, folder)
    return folder


def join_folder(config: DictConfig, folder: Path, may_differ: tuple[str, ...]) -> None:
    """Makes the folder of a run, or joins runs of the same settings that are or were at work there.

    Args:
        config: The run's settings.
        folder: Where the results shall be.
        may_differ: As of `same_settings`.

    Raises:
        InvalidConfig: The folder holds something else, or a run of other settings; or it cannot be
            made or written to.
    """
    try:
        make_folder(config, folder, new=not same_settings(config, folder, may_differ))
    except FileExistsError:  # another run began at the same moment
        same_settings(config, folder, may_differ)


def make_folder(config: DictConfig, folder: Path, *, new: bool = False) -> None:
    """Makes a folder and writes a run's resolved settings there, as config.yaml.

    Args:
        config: The run's settings.
        folder: Where the results shall be.
        new: Whether settings that are there already are left, and refused.

    Raises:
        FileExistsError: There are settings, and `new` is true.
        InvalidConfig: It cannot be made or written to.
    """
    # A run may be killed here too, and be gone on with; another may begin at the same moment.
    draft = folder / f".config.{uuid4().hex}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, draft, resolve=True)
        if new:
            os.link(draft, folder / "config.yaml")
        else:
            draft.replace(folder / "config.yaml")
    except OSError as error:
        if isinstance(error, FileExistsError) and draft.exists():
            raise
        raise InvalidConfig(f"results cannot be written to {folder}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def same_settings(config: DictConfig, folder: Path, may_differ: tuple[str, ...]) -> bool:
    """Tells whether a folder holds an earlier run of the same settings, to go on with.

    Args:
        config: The run's settings.
        folder: Where the results shall be.
        may_differ: Names of the settings that need not be alike, "world.steps" for one of a group;
            where `seed` is one of them, what follows the seed follows it.

    Returns:
        False where there is nothing yet.

    Raises:
        InvalidConfig: The folder holds something else, or a run of other settings.
    """
    if holds_nothing(folder):
        return False
    if not (folder / "config.yaml").is_file():
        raise InvalidConfig(
            f"{folder} holds something already, and nothing is overwritten: "
            "choose another output=, or remove it"
        )
    earlier = read_yaml(folder / "config.yaml")
    followed = {"seed": earlier.get("seed", config.seed)} if "seed" in may_differ else {}
    for name in may_differ:
        if "." in name:
            OmegaConf.update(earlier, name, OmegaConf.select(config, name))
    theirs = rename_settings(OmegaConf.to_container(earlier))
    ours = OmegaConf.to_container(OmegaConf.merge(config, followed), resolve=True)
    assert isinstance(theirs, dict)
    assert isinstance(ours, dict)
    names = sorted(set(theirs) | set(ours), key=lambda name: (name != "seed", name))
    for name in names:  # the seed first: others follow it
        if name not in may_differ and theirs.get(name) != ours.get(name):
            setting, was, given = _first_difference(name, theirs.get(name), ours.get(name))
            raise InvalidConfig(
                f"{folder} was made with {setting}={was}, not {given}: "
                "use the same settings to go on with it, or another output="
            )
    return True


def check_free(path: Path, force: bool) -> None:
    """Checks that a file or folder may be written.

    Raises:
        InvalidConfig: Something is there, and `force` is not set.
    """
    if path.exists() and not force:
        raise InvalidConfig(
            f"{path} exists already, and nothing is overwritten: choose another output=, or --force"
        )


def holds_nothing(folder: Path) -> bool:
    """Whether there is no such folder, or nothing in it but traces of a run that hardly began."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(_BEGUN.fullmatch(entry.name) for entry in folder.iterdir())


def unused_folder(command: str) -> Path:
    """Makes a folder for a run's results, named by the time; two may begin in one second."""
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    names = (now if number == 1 else f"{now}_{number}" for number in count(1))
    folders = (Path("runs", command, name) for name in names)
    for folder in folders:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InvalidConfig(f"results cannot be written to {folder}: {error}") from error
        return folder
    raise AssertionError("unreachable: there is always a next name")


@contextmanager
def alone(folder: Path, command: str) -> Iterator[None]:
    """Keeps other runs out of a folder, whose episodes would pass for broken off.

    The folder is made if it is missing. The lock dies with its process.

    Args:
        folder: Where the results go.
        command: Name of the command.

    Raises:
        InvalidConfig: Another run is there, or the folder cannot be made or written to.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InvalidConfig(
            f"another chronosim {command} is writing to {folder}: let it end, or use another "
            "output="
        ) from error
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        raise InvalidConfig(f"results cannot be written to {folder}: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _first_difference(name: str, theirs: Any, ours: Any) -> tuple[str, Any, Any]:
    """Goes into groups of settings, which are long, to the first one that is not alike."""
    while isinstance(theirs, dict) and isinstance(ours, dict):
        key = next(
            key
            for key in (*theirs, *ours)
            if (key in theirs, theirs.get(key)) != (key in ours, ours.get(key))
        )
        name, theirs, ours = f"{name}.{key}", theirs.get(key), ours.get(key)
    return name, theirs, ours


def place(path: Any) -> Place:
    """Makes a path of a setting; `~` is the home, and `s3://...` an address used as paths are.

    Raises:
        MissingDependency: The address's kind needs a package that is not installed.
    """
    text = str(path)
    return as_place(text if "://" in text else user_path(text))


def dataset_at(path: Place) -> Place:
    """The data set that a path means: itself, or the `episodes` in the results of a command.

    Raises:
        EpisodeNotFound: There is none.
    """
    for folder in (path, path / "episodes"):
        if folder.is_dir() and list_episodes(folder, unfinished=True):
            return folder
    raise EpisodeNotFound(_nothing_at(path))


def _nothing_at(path: Place) -> str:
    """Says what is at a path that has no episodes, and what leads on."""
    if not isinstance(path, Path):
        return f"there are no episodes in {path}"
    if draft_of(path.absolute()).is_dir():
        return (
            f"there is no data set at {path}, but an import or export to it is at work or was "
            "broken off: once it has ended, the same command goes on with it"
        )
    if not path.is_dir():
        return f"there is no data set at {path}: make one with chronosim rollout or record"
    for depth in ("*", "*/*"):
        for folder in islice(path.glob(depth), _LOOKED_AT):
            if not folder.name.startswith(".") and _holds_episodes(folder):
                return f"there are no episodes in {path} itself: name {folder}, which has some"
    foreign = next(recognised(path), None)
    if foreign is not None:
        source, name = foreign
        return (
            f"there are no episodes in {path}: chronosim episodes import {source} format={name} "
            "makes some of what looks like a data set of that format"
        )
    names = sorted(entry.name for entry in islice(path.iterdir(), _LOOKED_AT))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"there are no episodes in {path}; it holds {', '.join(names[:5]) or 'nothing'}{more}"


def _holds_episodes(folder: Path) -> bool:
    try:
        return bool(list_episodes(folder))
    except EpisodeNotFound:  # no folder, or one that may not be read
        return False


def episodes_at(given: str) -> list[Place]:
    """The episodes that a path means: one, or all of a data set, unfinished ones too.

    Raises:
        EpisodeNotFound: There is none.
    """
    path = place(given)
    return [path] if is_episode(path) else list_episodes(dataset_at(path), unfinished=True)
