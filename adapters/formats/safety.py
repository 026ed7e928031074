"""What foreign data sets are held to before they are read: nothing executed, nothing outside."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from chronosim.errors import EpisodeNotFound, InvalidConfig, InvalidEpisode

_LONGEST = 2**30  # bytes of a text, all of which are held in memory
_POINTER = b"version https://git-lfs.github.com/spec/"
FIELD = re.compile(r"\{(\w+)(?::0(\d)d)?\}")
"""A field in a path that a data set gives, see `fill_template`."""


def other_format(
    source: Path, kind: str, lacks: str, advice: str = "name its format="
) -> EpisodeNotFound:
    """Gives the error for a source that is not of the format it is read as.

    It names the data set that was found there, or up to two folders further in.
    """
    found = list(recognised(source))
    if found:
        path, name = next((each for each in found if _MARKS[each[1]] == lacks), found[0])
        inner = "it" if path == source else f"name {path}, which"
        advice = f"{inner} looks like format={name}"
    elif source.is_dir():
        names = sorted(path.name for path in islice(source.iterdir(), 1000))
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        advice = f"{advice}; it holds {', '.join(names[:5]) or 'nothing'}{more}"
    elif source.parent != source and list(recognised(source.parent, depths=1)):
        advice = f"{advice}; it is a file: give the folder that it is in, {source.parent}"
    return EpisodeNotFound(f"{source} is no {kind} (it has no {lacks}): {advice}")


_MARKS = {
    "lerobot": "meta/info.json",
    "minari": "data/metadata.json",
    "diffusion-policy": "meta/episode_ends",
    "aloha": "episode_*.hdf5",
    "rlds": "features.json",
    "robomimic": "*.hdf5",
    "folder": "*.csv",
}
"""By what the data sets of each format are known."""


def recognised(source: Path, depths: int = 3) -> Iterator[tuple[Path, str]]:
    """Gives what looks like data sets at a path or some folders below it, and their formats.

    Args:
        source: The path; the nearest to it come first.
        depths: How many levels are looked at.
    """
    for depth in range(depths):
        below = source.glob("/".join(["[!.]*"] * depth)) if depth else [source]
        for folder in islice(below, 200):
            for name, mark in _MARKS.items():
                if folder.is_dir() and next(folder.glob(mark), None) is not None:
                    yield folder, name


def inside(folder: Path, name: str, *, links: bool = False) -> Path:
    """Gives the path of a file that a data set names, which must lie in its folder.

    Args:
        folder: The data set.
        name: The file, as the data set has it.
        links: Whether links may lead out of the folder.

    Raises:
        InvalidEpisode: It does not.
        EpisodeNotFound: There is no such file.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    path, root = folder / name, folder.resolve()
    # A hub's cache keeps a data set as links to its blobs, two folders further up.
    homes = (root, root.parent.parent / "blobs")
    if not parts.parts:
        raise InvalidEpisode(f"{folder} names a file {name!r}, which is no name")
    if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        raise InvalidEpisode(f"{folder} names the file {name!r}, which lies outside of it: refused")
    try:
        leads_out = not any(path.resolve().is_relative_to(home) for home in homes)
    except (OSError, RuntimeError) as error:  # a link to itself
        raise EpisodeNotFound(
            f"{folder} names the file {name!r}, a link that leads nowhere"
        ) from error
    if not links and leads_out:
        raise InvalidEpisode(
            f"{folder} names the file {name!r}, which is a link to {path.resolve()} and lies "
            "outside of it: refused (where a format has it, format.links=true follows links that "
            "you made)"
        )
    if not path.is_file():
        raise EpisodeNotFound(f"{folder} names the file {name!r}, but there is none")
    return path


def check_not_pointer(path: Path) -> None:
    """Refuses what Git-LFS leaves in the place of a file that was not fetched.

    Raises:
        InvalidEpisode: It is such a pointer.
    """
    try:
        if not path.is_file():
            return
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
    except OSError:
        return  # whoever reads it says why
    if head == _POINTER:
        raise InvalidEpisode(
            f"{path} is a Git-LFS pointer, not the file itself: run git lfs pull where it was "
            "cloned, or download the data set again"
        )


def fill_template(template: Any, **values: str | int) -> str:
    """Fills `{name}` and `{name:03d}` in a path that a data set gives, and nothing else.

    Python's own formatting would follow attributes, and could be told to fill the memory.

    Raises:
        InvalidEpisode: The template is no text, or names something else.
    """
    if not isinstance(template, str):
        raise InvalidEpisode(f"a path in the data set's info must be text, not {template!r}")
    for name, _ in FIELD.findall(template):
        if name not in values:
            raise InvalidEpisode(f"the path {template!r} names {name!r}, which is not known")
    filled = FIELD.sub(lambda found: _filled(found, values), template)
    if "{" in filled or "}" in filled:
        raise InvalidEpisode(f"the path {template!r} is no plain template")
    return filled


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It is no JSON object.
    """
    text = text_of(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidEpisode(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidEpisode(f"{path} must hold a JSON object, not {type(found).__name__}")
    _check_text(text, found, path)
    return found


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Reads a JSON object from each line of a file.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: A line is no JSON object.
    """
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if line.strip():
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidEpisode(f"line {number} of {path} is no JSON: {error}") from error
            if not isinstance(found, dict):
                raise InvalidEpisode(f"line {number} of {path} must be a JSON object")
            _check_text(line, found, path)
            yield found


def text_of(path: Path) -> str:
    """Reads a text in UTF-8, or in UTF-16 with the mark that says so.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It is no text, a Git-LFS pointer, or too long to be held.
    """
    check_not_pointer(path)
    if not path.is_file():
        raise EpisodeNotFound(f"there is no {path}")
    try:
        if path.stat().st_size > _LONGEST:
            raise InvalidEpisode(f"{path} has more than the {_LONGEST:,} bytes that are read")
        content = path.read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidEpisode(f"{path} cannot be read as text: {error}") from error


def _check_text(text: str, found: dict[str, Any], path: Path) -> None:
    """Refuses halves of characters, which JSON can name and no file or name can hold."""
    try:
        if "\\ud" in text.lower():
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidEpisode(f"{path} holds half a character: {error}") from error


def camera_of(
    cameras: Collection[str],
    chosen: str | None,
    where: Path,
    others: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Picks the camera that was asked for, by its name or the last part of it; or the only one.

    Args:
        cameras: Names of all that can be made frames.
        chosen: As the setting says.
        where: The data set, for errors.
        others: What else it holds, and what that is, for errors.

    Raises:
        InvalidEpisode: There is no camera, none of that name, or several and none was asked for.
    """
    known = ", ".join(sorted(cameras))
    if not cameras:
        found = f"; it has {listed(others)}" if others else ""
        raise InvalidEpisode(f"{where} has no camera, and without frames no episode{found}")
    if chosen is None:
        if len(cameras) > 1:
            raise InvalidEpisode(
                f"{where} has several cameras: choose one with format.camera=, of {known}"
            )
        return next(iter(cameras))
    short = [
        camera
        for camera in sorted(cameras)
        if chosen in (re.split(r"[./]", camera)[-1], camera.removesuffix("_image"))
    ]
    if chosen in cameras or len(short) == 1:
        return chosen if chosen in cameras else short[0]
    if short:
        raise InvalidEpisode(
            f"format.camera={chosen} could be {' or '.join(short)} of {where}: give the whole name"
        )
    kind = f" ({chosen} is {others[chosen]})" if chosen in others else ""
    raise InvalidEpisode(
        f"{where} has no camera {chosen!r} for format.camera={kind}; it has: {known}"
    )


def names_of(
    found: Collection[str],
    asked: Any,
    usual: Sequence[str],
    where: Path,
    setting: str,
) -> tuple[str, ...]:
    """Picks arrays that are joined, such as those of a state.

    Args:
        found: Names of all that there are.
        asked: As the setting says: a name, several, or None.
        usual: Names for None, where all of them are there; else none are picked.
        where: The data set, for errors.
        setting: The setting's name, for errors.

    Raises:
        InvalidConfig: The setting is neither a name nor a list of names.
        InvalidEpisode: There is no array of a name that was asked for.
    """
    if asked is None:
        return tuple(usual) if set(usual) <= set(found) else ()
    names = [asked] if isinstance(asked, str) else asked
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InvalidConfig(f"{setting} must be a name or a list of names, not {asked!r}")
    for name in names:
        if name not in found:
            known = ", ".join(sorted(found))
            raise InvalidEpisode(f"{where} has no {name!r} for {setting}=; it has: {known}")
    return tuple(names)


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def listed(what: Mapping[str, str]) -> str:
    """Names things and says what they are, for the end of a sentence."""
    said = [f"{name} ({kind})" for name, kind in sorted(what.items())]
    return ", ".join(said[:12]) + (f" and {len(said) - 12} more" if len(said) > 12 else "")


def _filled(found: re.Match[str], values: dict[str, str | int]) -> str:
    value = values[found[1]]
    return str(value) if isinstance(value, str) else str(value).zfill(int(found[2] or 0))
