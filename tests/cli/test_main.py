import errno
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from chronosim.cli.main import COMMANDS, _docstring, main, read_command
from chronosim.errors import InvalidConfig
from chronosim.settings.compose import (
    choices,
    compose_config,
    config_groups,
    settings_text,
)
from chronosim.settings.parts import make_part, with_seed


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr that an error must be."""
    [line] = capsys.readouterr().err.splitlines()
    return line


def examples(command: str) -> list[str]:
    lines = (line.strip() for line in _docstring(command).splitlines())
    return [line for line in lines if line.startswith("chronosim ")]


def lists(out: str, name: str) -> bool:
    """Whether a help text has a line for a command, and the line is a sentence."""
    return any(line.split()[:1] == [name] and line.endswith(".") for line in out.splitlines())


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(lists(out, command.split()[0]) for command in COMMANDS)
    assert main([]) == 2
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("group", ["scenarios", "episodes", "bench"])
def test_a_group_lists_its_commands(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([group, "--help"]) == 0
    out = capsys.readouterr().out
    inside = [command.split()[1] for command in COMMANDS if command.startswith(f"{group} ")]
    assert all(lists(out, name) for name in inside)
    assert f"chronosim {group} <command> --help" in out
    assert main([group]) == 2
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert len(examples(command)) == 3
    for example in examples(command):
        assert example in out
    settings = settings_text(command)
    for line in settings.splitlines():
        assert line in out
    own = [line for line in settings.splitlines() if line[:1].isalpha()]
    assert all("#" in line for line in own if line != "defaults:"), "each setting has its comment"


@pytest.mark.parametrize(
    ("chosen", "setting"),
    [
        (["episodes", "import", "format=lerobot"], "camera: null  # which"),
        (["episodes", "import", "format=robomimic", "prompter=driving"], "seconds_per_step: 0.36"),
        (["episodes", "export", "format=minari"], "kind: hdf5"),
        (["rollout", "policy=own"], "_target_: ???"),
    ],
)
def test_the_help_shows_the_settings_of_a_choice(
    chosen: list[str], setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*chosen, "--help"]) == 0
    out = capsys.readouterr().out
    key = chosen[-1].partition("=")[0]
    assert setting in out.partition(f"Settings of {chosen[-1]} (give as {key}.key=value):")[2]
    assert "chronosim.formats" not in out


@pytest.mark.parametrize("path", ["w/a=b", "./a=b", "a=b"])
def test_a_path_may_have_an_equals_sign(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(path).mkdir(parents=True)
    assert compose_config("episodes import", [path, "output=out"]).path == path
    given = [f"path={path}", "output=w/c=d"]
    assert dict(compose_config("episodes import", given))["output"] == "w/c=d"
    with pytest.raises(InvalidConfig, match="has no setting 'c'"):
        compose_config("episodes import", ["c=d", "output=out"])


@pytest.mark.parametrize(
    "example", [line for command in COMMANDS for line in examples(command)], ids=str
)
def test_the_examples_of_the_help_can_be_given(example: str) -> None:
    words = ["force=true" if word == "--force" else word for word in shlex.split(example)]
    command, given = read_command(words[1:])
    assert compose_config(command, given) is not None


def test_help_is_fast_and_imports_no_torch() -> None:
    code = (
        "import sys; from chronosim.cli import main; main(['--help']); main(['train', '--help']);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "chronosim 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["drive"], "there is no command 'drive'; there are: demo, predict, rollout"),
        (["episodes", "ld"], "there is no command 'episodes ld'; there are: ls, show, stats"),
        (["episodes", "ls"], "episodes ls needs a path: chronosim episodes ls PATH"),
        (["episodes", "ls", "a", "b"], "episodes ls takes one path, not 2: a b"),
        (["episodes", "ls", "a", "--force"], "episodes ls has no setting 'force'"),
        (["episodes", "export", "a"], "episodes export needs output=...: see chronosim episodes"),
        (["episodes", "export", "a", "format=x"], "there is no export 'x'; there are: "),
        (["rollout", "model=big"], "there is no model 'big'; there are: "),
        (["rollout", "policy=a,b"], "there is no policy 'a,b'; there are: "),
        (
            ["rollout", "epsodes=3"],
            "rollout has no setting 'epsodes': see chronosim rollout --help",
        ),
        (["rollout", "policy.speed=3"], "rollout has no setting 'policy.speed'"),
        (["rollout", "hydra.run.dir=a"], "rollout has no setting 'hydra.run.dir'"),
        (["rollout", "episodes"], "a setting is given as key=value, not 'episodes'"),
        (["rollout", "=3"], "a setting is given as key=value, not '=3'"),
        (["rollout", "episodes=four"], "episodes must be a whole number of at least 1, not 'four'"),
        (["rollout", "episodes=0"], "episodes must be a whole number of at least 1, not 0"),
        (["rollout", "episodes=true"], "episodes must be a whole number of at least 1, not true"),
        (["rollout", "seed=${nothing}"], "nothing"),
        (["rollout", "model=echo", "model.time=0"], "EchoModel answers with 1 frame or more"),
        (["rollout", "model=echo", "+model.colour=1"], "model: colour is no setting of"),
        (["rollout", "output=a\0b"], "rollout output must be words without NUL, not"),
        (["scenarios", "ls", "~seed"], "there is no scenario (.yaml) in ~seed"),
        (["rollout", "--config-dir", "nowhere"], "there is no config folder nowhere"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    line = sentence(capsys)
    assert line.startswith("chronosim: ")
    assert said in line
    assert not list(tmp_path.iterdir()), "nothing half-written"


def test_the_traceback_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidConfig):
        main(["drive", "--traceback"])
    monkeypatch.setenv("CHRONOSIM_TRACEBACK", "1")
    with pytest.raises(InvalidConfig):
        main(["drive"])


def test_an_interrupted_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    # By its module: "chronosim.cli.main" is also the function.
    monkeypatch.setattr(sys.modules[main.__module__], "_run", interrupted)
    assert main(["demo"]) == 130
    assert "what was finished is on disk" in sentence(capsys)


@pytest.mark.parametrize(
    "words",
    [
        "It's raining, and the road is wet: careful (very)!",
        "a, b",
        "Steer 20% left with 0% brake.",
        "[unclosed",
        "a = b",
        'say "stop"',
    ],
)
def test_words_need_no_second_pair_of_quotes(words: str) -> None:
    assert compose_config("predict", [f"text={words}"]).text == words


@pytest.mark.parametrize("path", ["a b", "it's, here", "[0]", "7", "null", "back\\slash\\", "~/x"])
def test_a_path_may_stand_alone_whatever_it_is_called(path: str) -> None:
    assert compose_config("episodes ls", [path, "sort=size"]).path == path
    assert list(compose_config("episodes play", [path, "two"]).paths) == [path, "two"]


def test_choices_are_those_of_the_defaults_and_of_what_they_bring() -> None:
    assert list(choices("rollout")) == ["model", "scenario", "prompter", "policy"]
    assert {"driving", "pushing"} <= set(choices("rollout")["prompter"])
    assert list(choices("episodes export")) == ["format"]
    assert "mp4" in choices("episodes export")["format"]
    assert choices("episodes ls") == {}


def test_a_choice_may_go_by_the_name_of_its_setting() -> None:
    config = compose_config("episodes export", ["a", "format=mp4", "format.crf=3", "output=b"])
    assert config.format.crf == 3
    assert "export" not in config


def test_lists_and_dicts_stay_what_they_are() -> None:
    config = compose_config("predict", ["action=[0.5, 0, 0]", "start={speed: 3}"])
    assert list(config.action) == [0.5, 0, 0]
    assert config.start.speed == 3


def test_a_folder_of_the_users_own_joins_the_choices(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(
        "_target_: chronosim.testing.EchoModel\ntime: 3\n"
    )
    config = compose_config("rollout", ["model=mine"], tmp_path)
    assert make_part(config, "model").identity["time"] == 3
    assert compose_config("rollout", ["model=echo"], tmp_path).model.time == 1


def test_a_part_follows_the_seed_of_its_episode() -> None:
    config = compose_config("rollout", ["policy=driver-mix", "seed=4"])
    assert make_part(config, "policy").seed == 4
    assert make_part(with_seed(config, 5), "policy").seed == 5
    assert make_part(config, "policy").seed == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_no_setting_is_named_like_a_group(command: str) -> None:
    # Hydra would take `setting=3` for a choice of the group's, and refuse it.
    own = set(OmegaConf.create(settings_text(command)))
    assert not own & set(config_groups()) - set(choices(command))


def as_process(
    words: str, *, python: str = "", expect: int, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """Runs a command line in a shell, as only a process of its own can show it."""
    code = "import sys; from chronosim.cli import main; sys.exit(main())"
    line = f"{shlex.quote(sys.executable)} {python} -c {shlex.quote(code)} {words}"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, **settings
    )
    assert ran.returncode == expect, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("--help | true", 141, ""),
        ("--help > /dev/full", 2, "No space left on device"),
        ("--help >&-", 0, ""),
        ("episodes ls nowhere 2>&-", 2, ""),
    ],
)
def test_whatever_happens_to_the_output_is_one_line_at_most(
    words: str, status: int, said: str
) -> None:
    [line] = as_process(words, expect=status).stderr.splitlines() or [""]
    assert line.endswith(said) if said else not line


def test_a_folder_that_is_gone_is_no_place_to_work_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["rollout", "model=echo"]) == 2
    assert "the folder that you are in is gone or closed to you" in sentence(capsys)
    assert main(["--help"]) == 0


def test_python_without_assertions_is_refused_where_zarr_needs_them(tmp_path: Path) -> None:
    ran = as_process(
        "rollout model=echo episodes=1 horizon=1 output=out", python="-O", expect=2, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert "zarr cannot keep episodes under python -O" in ran.stderr.splitlines()[-1]


def test_what_nobody_foresaw_is_one_line_and_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a\nfault")

    monkeypatch.setattr(sys.modules[main.__module__], "_run", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["studio", "token=a-secret-of-mine"]) == 70
    line = sentence(capsys)
    [report] = tmp_path.iterdir()
    assert line.endswith(f"(ZeroDivisionError: a fault): the full report is in {report}")
    assert "Traceback" in report.read_text()
    assert "secret" not in report.read_text()


def test_an_interrupt_is_one_wherever_it_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stumbles(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("of a library that did not expect it")

    monkeypatch.setattr(sys.modules[main.__module__], "_run", stumbles)
    assert main(["demo"]) == 130
    assert "interrupted" in sentence(capsys)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 999), "cannot be used: File name"),
        (OSError(errno.ENOSPC, "No space left on device"), "the system refuses: No space left"),
        (MemoryError(), "this takes more memory than there is"),
        (InvalidConfig("an \x1b[31mevil\nname"), "chronosim: an \\x1b[31mevil name"),
    ],
    ids=str,
)
def test_what_the_system_refuses_is_a_sentence(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules[main.__module__], "_run", refused)
    assert main(["demo"]) == 2
    line = sentence(capsys)
    assert said in line
    assert len(line) < 500
