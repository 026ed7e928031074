"""Finished sections kept in a folder, so that a run broken off need not compute them again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chronosim.errors import InvalidConfig
from chronosim.evaluation.reporting.finite import finite
from chronosim.evaluation.reporting.section import Gauge, Picture, Section, Table

__all__ = ["load_section", "save_section"]


def save_section(folder: Path, section: Section) -> None:
    """Keeps a section: its pictures as PNG files, then all else as one JSON, which makes it valid.

    Args:
        folder: Where to; made if missing.
        section: What to keep.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for index, picture in enumerate(section.pictures):
        name = f"{section.name}-{index}.png"
        (folder / name).write_bytes(picture.png)
        pictures.append({"file": name, "caption": picture.caption})
    kept = {
        "name": section.name,
        "title": section.title,
        "verdict": section.verdict,
        "warnings": list(section.warnings),
        "tables": [asdict(table) for table in section.tables],
        "pictures": pictures,
        "values": finite(dict(section.values)),
        "gauge": None if section.gauge is None else _written(section.gauge),
    }
    draft = folder / f".{section.name}.json"  # a run may be killed here too
    draft.write_text(json.dumps(kept, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(folder / f"{section.name}.json")


def load_section(folder: Path, name: str) -> Section | None:
    """Gives a section that was kept; None where there is none.

    Raises:
        InvalidConfig: What is there cannot be read.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return _section(folder, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidConfig(
            f"the kept part {path} cannot be read ({error}): remove it, and it is computed anew"
        ) from error


def _section(folder: Path, kept: Mapping[str, Any]) -> Section:
    tables = (
        Table(tuple(table["header"]), tuple(map(tuple, table["rows"])), table["caption"])
        for table in kept["tables"]
    )
    pictures = (
        Picture((folder / picture["file"]).read_bytes(), picture["caption"])
        for picture in kept["pictures"]
    )
    return Section(
        name=kept["name"],
        title=kept["title"],
        verdict=kept["verdict"],
        warnings=tuple(kept["warnings"]),
        tables=tuple(tables),
        pictures=tuple(pictures),
        values=kept["values"],
        gauge=None if kept["gauge"] is None else _read(kept["gauge"]),
    )


def _written(gauge: Gauge) -> dict[str, Any]:
    """A gauge as JSON values; what is infinite (a PSNR without error) as the word for it."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(gauge).items()
    }


def _read(kept: Mapping[str, Any]) -> Gauge:
    known: dict[str, Any] = {
        name: float(value) if value in ("inf", "-inf", "nan") else value
        for name, value in kept.items()
    }
    return Gauge(**known)
