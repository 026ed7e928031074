"""What an evaluation found out, as Markdown, JSON and one page; finished sections are kept."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from chronosim.errors import InvalidConfig
from chronosim.evaluation.report.section import Gauge, Picture, Section, Table, finite
from chronosim.files import whole_file, write_text


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A world model's report.

    Attributes:
        model: Its name.
        tested: What it was tested on, in one sentence.
        sections: In the order to be read; each has a name of its own.
        settings: The run's settings, as JSON values.
        identity: The model's identity.
        versions: Of the libraries that shape its answers.
        machine: What it ran on.
        made: When, in words.
    """

    model: str
    tested: str
    sections: tuple[Section, ...]
    settings: Mapping[str, Any]
    identity: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    made: str

    @property
    def warnings(self) -> tuple[str, ...]:
        """The defects found, each once."""
        return tuple(dict.fromkeys(w for section in self.sections for w in section.warnings))

    @property
    def looked_for(self) -> tuple[str, ...]:
        """The names of all defects that were looked for."""
        known = (section.values.get("findings", {}) for section in self.sections)
        return tuple(dict.fromkeys(name for findings in known for name in findings))

    def markdown(self) -> str:
        """Gives verdicts, warnings and tables in Markdown."""
        lines = [f"# {self.model}", self.tested]
        if self.warnings:
            lines.append("\n".join(f"- **Warning: {warning}**" for warning in self.warnings))
        for section in self.sections:
            lines += [f"## {section.title}", section.verdict]
            lines += [table.markdown() for table in section.tables]
        return "\n\n".join(lines)

    def values(self) -> dict[str, Any]:
        """Gives every figure as JSON values, each section's under its name."""
        parts = {
            section.name: {
                "verdict": section.verdict,
                "warnings": list(section.warnings),
                **finite(dict(section.values)),
            }
            for section in self.sections
        }
        return {
            **parts,
            "warnings": list(self.warnings),
            "tested": self.tested,
            "made": self.made,
            "settings": finite(dict(self.settings)),
            "model": finite(dict(self.identity)),
            "versions": dict(self.versions),
            "machine": finite(dict(self.machine)),
        }

    def save(self, folder: Path) -> None:
        """Writes results.json, results.md and report.html into a folder."""
        values = json.dumps(self.values(), indent=2, allow_nan=False)
        write_text(folder / "results.json", values + "\n")
        write_text(folder / "results.md", self.markdown() + "\n")
        write_text(folder / "report.html", render(self))


_PAGE = files("chronosim.evaluation.report") / "page"
_FILMSTRIPS = ("fidelity", "outcomes")  # whose first picture is on the first screen
_WORDS = {
    "good": "better than the baseline, the whole interval",
    "unsure": "not told apart from the baseline",
    "bad": "no better than the baseline",
    "warned": "a defect was found",
    "plain": "nothing to beat",
}
_SYMBOLS = {"good": "✓", "unsure": "?", "bad": "✕", "warned": "!", "plain": "·"}


def render(report: Report) -> str:
    """Gives the page.

    Args:
        report: What was found out.

    Returns:
        HTML with pictures as data URIs and no address in it that a browser would fetch.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["light"] = _light
    environment.filters["bar"] = _bar
    environment.filters["source"] = _source
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, default=str)
    template = environment.from_string((_PAGE / "report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        report=report,
        style=(_PAGE / "report.css").read_text(encoding="utf-8"),
        strip=_filmstrip(report),
        looked_for=report.looked_for,
        words=_WORDS,
        symbols=_SYMBOLS,
    )


def _light(section: Section) -> str:
    if section.warnings:
        return "warned"
    return "plain" if section.gauge is None else section.gauge.light


def _bar(gauge: Gauge) -> dict[str, float | str]:
    """A gauge's places on its bar, in percent of the bar, and its figures in words."""

    def place(value: float) -> float:
        share = (value - gauge.least) / (gauge.most - gauge.least or 1.0)
        return round(100 * min(max(0.0, share), 1.0), 2)  # of what is no number: where it begins

    value, low, high = (_figure(v, gauge.unit) for v in (gauge.value, gauge.low, gauge.high))
    return {
        **{name: place(getattr(gauge, name)) for name in ("value", "low", "high", "baseline")},
        "text": f"{gauge.label}: {value} (95%: {low} to {high})",
        "baseline_text": f"{gauge.baseline_label} {_figure(gauge.baseline, gauge.unit)}",
    }


def _figure(value: float, unit: str) -> str:
    return f"{value:.0%}" if unit == "%" else f"{value:.3g} {unit}".strip()


def _source(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"


def _filmstrip(report: Report) -> Picture | None:
    by_name = {section.name: section for section in report.sections}
    for name in _FILMSTRIPS:
        for picture in by_name[name].pictures if name in by_name else ():
            if picture.caption.startswith(("A held-out", "Moments")):
                return picture
    return None


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
        with whole_file(folder / name) as draft:
            draft.write_bytes(picture.png)
        pictures.append({"file": name, "caption": picture.caption})
    gauge = section.gauge
    kept = {
        "name": section.name,
        "title": section.title,
        "verdict": section.verdict,
        "warnings": list(section.warnings),
        "tables": [asdict(table) for table in section.tables],
        "pictures": pictures,
        "values": finite(dict(section.values)),
        "gauge": gauge and {name: _word(value) for name, value in asdict(gauge).items()},
    }
    write_text(folder / f"{section.name}.json", json.dumps(kept, indent=2, allow_nan=False) + "\n")


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
    gauge = kept["gauge"]
    known = {
        "warnings": tuple(kept["warnings"]),
        "tables": tuple(tables),
        "pictures": tuple(pictures),
        "gauge": None if gauge is None else Gauge(**{n: _number(v) for n, v in gauge.items()}),
    }
    return Section(**{**kept, **known})


def _word(value: Any) -> Any:
    """A figure as a JSON value; what is infinite (a PSNR without error) as the word for it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf", "nan") else value
