"""What an evaluation found out: its sections as Markdown, as JSON, and as one page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chronosim.evaluation.reporting.finite import finite
from chronosim.evaluation.reporting.section import Section

__all__ = ["Report"]


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
