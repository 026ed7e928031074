"""A fixed sample of `python -m tests.fuzz`: no trace, no code run, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import command_lines
from tests.fuzz.watch import Case, try_case

SAMPLE = 16

# What broke once, or would be the first to.
KNOWN = (
    ("whatif", "model=echo", "output=a\0b"),
    ("scenarios", "ls", "~seed"),
    ("whatif", "model=echo", "plans=/dev/full"),
    ("rollout", "model=true"),
    ("rollout", "scenario=${oc.create:{a: 1}}"),
    ("rollout", "model=echo", f"output={'a' * 250}"),
    ("rollout", "model=echo", f"output={'a' * 5000}"),
    ("rollout", "model=echo", "guard=inf"),
    ("rollout", "model=echo", "output=dangling"),
    ("rollout", "model=echo", "seed=18446744073709551616"),
    ("episodes", "import", "pictures", "output=out", "format=folder", "fps=24fps"),
    ("episodes", "ls", "closed"),
    ("episodes", "ls", "\udcff"),
    ("episodes", "export", "e", "output=closed/in", "format=mp4"),
    ("scenarios", "check", "bomb.yaml"),
    ("scenarios", "check", "rec.yaml"),
    ("scenarios", "check", "pipe"),
    ("scenarios", "ls", "."),
    ("predict", "model=echo", "prompter=null"),
    ("predict", "model=echo", "frame=endless"),
)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return command_lines.begin(tmp_path_factory.mktemp("fuzz") / "begun")


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("words", KNOWN, ids=range(len(KNOWN)))
def test_what_broke_once_is_a_sentence(words: tuple[str, ...], begun: Path) -> None:
    case = Case("known", words, command_lines.spoil)
    assert not try_case(case, begun, seconds=60)


@pytest.mark.usefixtures("as_users_run_it")
def test_command_lines(begun: Path) -> None:
    quick = (
        case
        for case in command_lines.cases(7, 10 * SAMPLE)
        if case.words[0] in ("episodes", "scenarios", "rollout", "predict")
    )
    for case in [*quick][:SAMPLE]:
        assert not try_case(case, begun, seconds=60), (case.name, case.words)
