"""A report as one HTML page that needs nothing else: pictures and style are inside."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from chronosim.evaluation.reporting.report import Report
from chronosim.evaluation.reporting.section import Gauge, Picture, Section

__all__ = ["render"]

_PAGE = files("chronosim.evaluation.reporting") / "page"
_FILMSTRIPS = ("fidelity", "outcomes")  # whose first picture is on the first screen
_WORDS = {
    "good": "better than the baseline, the whole interval",
    "unsure": "not told apart from the baseline",
    "bad": "no better than the baseline",
    "warned": "a defect was found",
    "plain": "nothing to beat",
}
_SYMBOLS = {"good": "✓", "unsure": "?", "bad": "✕", "warned": "!", "plain": "·"}


@dataclass(frozen=True, slots=True)
class _Bar:
    """A gauge's places on its bar, in percent of the bar, and its figures in words."""

    value: float
    low: float
    high: float
    baseline: float
    text: str
    baseline_text: str


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


def _bar(gauge: Gauge) -> _Bar:
    def place(value: float) -> float:
        share = (value - gauge.least) / (gauge.most - gauge.least or 1.0)
        return round(100 * min(max(0.0, share), 1.0), 2)  # of what is no number: where it begins

    value, low, high = (_figure(v, gauge.unit) for v in (gauge.value, gauge.low, gauge.high))
    return _Bar(
        value=place(gauge.value),
        low=place(gauge.low),
        high=place(gauge.high),
        baseline=place(gauge.baseline),
        text=f"{gauge.label}: {value} (95%: {low} to {high})",
        baseline_text=f"{gauge.baseline_label} {_figure(gauge.baseline, gauge.unit)}",
    )


def _figure(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value:.0%}"
    return f"{value:.3g} {unit}".strip()


def _source(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"


def _filmstrip(report: Report) -> Picture | None:
    by_name = {section.name: section for section in report.sections}
    for name in _FILMSTRIPS:
        for picture in by_name[name].pictures if name in by_name else ():
            if picture.caption.startswith(("A held-out", "Moments")):
                return picture
    return None
