import json
import re
from html.parser import HTMLParser

import pytest

from chronosim.bench.timing import describe_machine, list_versions
from chronosim.evaluation.report.report import Report, render
from chronosim.evaluation.report.section import Gauge, Picture, Section, Table

STRIP = Picture(b"\x89PNG strip", "A held-out episode.")


def section(name: str, **given: object) -> Section:
    values: dict[str, object] = {"findings": {"colours drift": {"found": False}}, "psnr": 23.5}
    settings = {"title": f"About {name}", "verdict": f"{name} < good & well.", "values": values}
    return Section(name=name, **{**settings, **given})  # type: ignore[arg-type]


@pytest.fixture
def report() -> Report:
    gauge = Gauge("follows", 0.72, 0.63, 0.8, 0.2, "guessing", 0.0, 1.0, "%")
    table = Table(("outcome", "all"), (("model", "23.5"),), "At <many> moments.")
    return Report(
        model="nano",
        tested="Tested against Slider: 200 moments.",
        sections=(
            section("outcomes", gauge=gauge, tables=(table,)),
            section("fidelity", pictures=(Picture(b"\x89PNG curve", "Curves."), STRIP)),
        ),
        settings={"windows": 200},
        identity={"name": "nano"},
        versions=list_versions(),
        machine=describe_machine(),
        made="today",
    )


class Page(HTMLParser):
    """What a browser would fetch, and whether tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [v for k, v in attrs if k in ("src", "href") and v is not None]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(report: Report) -> None:
    text = render(report)
    page = Page(text)
    assert not page.open, "every tag is closed"
    assert page.fetched
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.fetched)
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_first_screen_says_what_was_found(report: Report) -> None:
    first = render(report).split('<section class="part"')[0]
    assert "How far can nano be believed?" in first
    assert "200 moments" in first
    assert "outcomes &lt; good &amp; well." in first, "and what a part says is no markup"
    assert "follows: 72% (95%: 63% to 80%)" in first
    assert "guessing 20%" in first
    assert "left:20.0%" in first
    assert "A held-out episode." in first, "the filmstrip, not the curves"
    assert "No defect was found." in first
    assert "Looked for: colours drift" in first


def test_defects_are_alarming(report: Report) -> None:
    broken = section("fidelity", warnings=("colours drift", "actions are ignored"))
    twice = section("defects", warnings=("actions are ignored",))
    spoilt = Report(
        **{
            **{name: getattr(report, name) for name in Report.__slots__},
            "sections": (report.sections[0], broken, twice),
        }
    )
    first = render(spoilt).split('<section class="part"')[0]
    assert first.count("<li>actions are ignored</li>") == 1
    assert "No defect was found" not in first
    assert '<a class="card warned" href="#fidelity">' in first
    assert spoilt.values()["warnings"] == ["colours drift", "actions are ignored"]
    assert "- **Warning: colours drift**" in spoilt.markdown()


def test_every_figure_is_json(report: Report) -> None:
    values = report.values()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["outcomes"]["psnr"] == 23.5
    assert values["settings"] == {"windows": 200}
    assert {"chronosim", "torch"} <= set(values["versions"])
    assert values["machine"]["processor"]


def test_the_tables_are_markdown(report: Report) -> None:
    text = report.markdown()
    assert "## About outcomes\n\noutcomes < good & well.\n\nAt <many> moments." in text
    assert "| model   | 23.5 |" in text
