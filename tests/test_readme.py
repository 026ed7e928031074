"""The README's code is run, its commands are composed, and its links lead somewhere."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.cli.main import COMMANDS, main, read_command
from chronosim.settings.compose import compose_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {page: page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")}


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines(program: str, text: str = README) -> list[list[str]]:
    """The command lines of one program, their comments taken off, split as a shell would."""
    split = (
        shlex.split(line, comments=True)
        for block in blocks("sh", text)
        for line in block.splitlines()
    )
    return [words for words in split if words and words[0] == program]


@pytest.mark.slow
def test_the_python_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    trajectory = names["info"]["trajectory"]
    assert trajectory.dtype == np.uint8
    assert trajectory.shape[1:] == (96, 96, 3)
    for future in ("twin", "other"):
        assert names[future].step(names["action"])[0]["image"].shape == (96, 96, 3)
    assert len(blocks("python")) == 5


@pytest.mark.parametrize(
    "words", [words for text in (README, *PAGES.values()) for words in lines("chronosim", text)]
)
def test_the_commands_can_be_given(words: list[str]) -> None:
    command, given = read_command([word for word in words[1:] if word != "--force"])
    assert compose_config(command, given) is not None


def test_every_command_is_shown() -> None:
    firsts = [command.split()[0] for command in COMMANDS]
    shown = [words[1] for words in lines("chronosim")]
    assert list(dict.fromkeys(shown)) == list(dict.fromkeys(firsts))
    texts = "\n".join((README, *PAGES.values()))
    assert all(f"chronosim {command} " in texts for command in COMMANDS)


@pytest.mark.slow
def test_the_page_of_episodes_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["rollout", "model=echo", "horizon=9", f"output={tmp_path}"]) == 0
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks("python", PAGES[ROOT / "docs" / "episodes.md"]):
        exec(compile(block, "episodes.md", "exec"), names)
    assert names["damage"] == []
    assert len(names["frames"]) == len(names["actions"]) + 1
    assert sorted(names["order"]) == list(range(len(names["data"])))


def test_the_page_of_worlds_shows_the_file_it_names() -> None:
    [shown] = blocks("yaml", PAGES[ROOT / "docs" / "worlds.md"])
    assert shown in (ROOT / "examples/mine/simulator/pendulum.yaml").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["demo", "predict", "rollout"])
def test_the_commands_run(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [given] = [words[2:] for words in lines("chronosim") if words[1] == command]
    small = ["model=echo", f"output={tmp_path / 'out'}"]
    small += [] if command == "predict" else ["horizon=2"]
    assert main([command, *given, *small]) == 0
    assert str(tmp_path / "out") in capsys.readouterr().out


def test_the_targets_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for words in lines("make"):
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), words


def test_the_links_lead_somewhere() -> None:
    for page, text in {ROOT / "README.md": README, **PAGES}.items():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), target


def test_the_places_for_new_things_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(
        re.findall(r"`((?:adapters|chronosim|docs|envs|examples|scenarios|tests)/[^`]*)`", text)
    )
    assert len(named) > 30
    assert not [path for path in named if not (ROOT / path).exists()]
    assert len(text.splitlines()) <= 80, "one page"


def test_the_map_names_what_is_there() -> None:
    [tree] = blocks("text")
    folder = ROOT
    for line in tree.splitlines():
        name = line.split()[0]
        folder = ROOT / name if not line.startswith(" ") else folder
        path = folder if not line.startswith(" ") else folder / name
        assert path.exists(), path


@pytest.mark.slow
def test_the_page_of_models_runs() -> None:
    names: dict[str, Any] = {}
    for block in blocks("python", PAGES[ROOT / "docs" / "models.md"]):
        exec(compile(block, "models.md", "exec"), names)
    assert names["trajectory"].shape == names["prediction"].trajectory.shape
