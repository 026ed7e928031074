"""Where imported episodes come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chronosim.adapters.datasets.conversion import Conversion
from chronosim.adapters.datasets.last import unused_row
from chronosim.adapters.datasets.recording import Recording
from chronosim.episodes import list_episodes
from chronosim.episodes.catalogue import read_attributes
from chronosim.episodes.place import as_place
from chronosim.errors import EpisodeNotFound, InvalidEpisode
from chronosim.protocols import Prompter

__all__ = ["about_import", "check_foreign"]


def about_import(
    source: Path,
    kind: str,
    found: Recording,
    recording: Recording,
    conversion: Conversion,
    prompter: Prompter | None,
) -> dict[str, Any]:
    """Says what made an imported episode.

    Args:
        source: The foreign data set.
        kind: Its format, as it was read.
        found: The rows as the source has them.
        recording: The same at the rate asked for.
        conversion: How they become steps.
        prompter: What words their actions; None: the source.

    Returns:
        JSON values, for the episode's `about`.
    """
    said = found.about.get("synthetic")
    synthetic = conversion.synthetic if said is None else said
    per_step = conversion.rows_per_step
    worded = conversion.text is not None or prompter is not None
    return {
        "source": _name(source, found.about, synthetic=bool(synthetic)),
        "format": kind,
        "episode": found.name,
        "source_fps": found.fps or conversion.source_fps,
        "synthetic": synthetic,
        "seconds_per_step": per_step / recording.fps if recording.fps is not None else None,
        "conversion": {**asdict(conversion), "size": conversion.size and list(conversion.size)},
        "prompter": None if prompter is None else repr(prompter),
        "unused_row": unused_row(recording, rows_per_step=per_step, worded=worded),
        "origin": dict(found.about) or None,
    }


def check_foreign(source: Path) -> None:
    """Refuses a data set that needs no import.

    Raises:
        InvalidEpisode: Its episodes are chronosim's own.
    """
    for folder in (source, source / "episodes"):
        if _holds_episodes(folder):
            raise InvalidEpisode(f"{source} holds chronosim's own episodes already")


def _name(source: Path, origin: Mapping[str, Any], *, synthetic: bool) -> str:
    """Names the source, and the world that its frames come from, if it says that."""
    model = origin.get("model")
    name = model.get("name") if isinstance(model, Mapping) else None
    world = name or origin.get("source")
    if isinstance(world, str):
        return f"{world} via {source.name}"
    return f"{source.name} (synthetic)" if synthetic else source.name


def _holds_episodes(folder: Path) -> bool:
    """Whether a folder is one of our episodes or a data set of them, not just any Zarr."""
    try:
        places = [as_place(folder)] if (folder / "zarr.json").is_file() else list_episodes(folder)
        for place in places[:1]:
            read_attributes(place)
    except (EpisodeNotFound, InvalidEpisode):
        return False
    return bool(places)
