import subprocess
import sys
from pathlib import Path

import pytest

from chronosim import cli
from chronosim.cli import COMMANDS, main
from chronosim.commands.settings import compose_config, make_part, with_seed
from chronosim.errors import InvalidConfig


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr that an error must be."""
    [line] = capsys.readouterr().err.splitlines()
    return line


def examples(command: str) -> list[str]:
    lines = (line.strip() for line in cli._docstring(command).splitlines())
    return [line for line in lines if line.startswith("chronosim ")]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert any(
            line.split()[:1] == [command] and line.endswith(".") for line in out.splitlines()
        )
    assert main([]) == 2
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert len(examples(command)) == 3
    for example in examples(command):
        assert example in out
    settings = Path(__file__).parents[1] / "scenarios" / "conf" / f"{command}.yaml"
    for line in settings.read_text().splitlines():
        assert line in out
    own = [line for line in settings.read_text().splitlines() if line[:1].isalpha()]
    assert all("#" in line for line in own if line != "defaults:"), "each setting has its comment"


@pytest.mark.parametrize(
    "example", [line for command in COMMANDS for line in examples(command)], ids=str
)
def test_the_examples_of_the_help_can_be_given(example: str) -> None:
    import shlex

    _, command, *overrides = shlex.split(example)
    assert compose_config(command, overrides) is not None


def test_help_is_fast_and_imports_no_torch() -> None:
    code = (
        "import sys; from chronosim.cli import main; main(['--help']); main(['train', '--help']);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "chronosim 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["drive"], "there is no command 'drive'; there are: demo, predict, rollout"),
        (["rollout", "model=big"], "there is no model 'big'; there are: "),
        (["rollout", "policy=a,b"], "there is no policy 'a,b'; there are: "),
        (
            ["rollout", "epsodes=3"],
            "rollout has no setting 'epsodes': see chronosim rollout --help",
        ),
        (["rollout", "policy.speed=3"], "rollout has no setting 'policy.speed'"),
        (["rollout", "episodes"], "a setting is given as key=value, not 'episodes'"),
        (["rollout", "=3"], "a setting is given as key=value, not '=3'"),
        (["rollout", "episodes=four"], "episodes must be a whole number of at least 1, not 'four'"),
        (["rollout", "episodes=0"], "episodes must be a whole number of at least 1, not 0"),
        (["rollout", "episodes=true"], "episodes must be a whole number of at least 1, not True"),
        (["rollout", "seed=${nothing}"], "nothing"),
        (["rollout", "model=echo", "model.time=0"], "EchoModel answers with 1 frame or more"),
        (["rollout", "model=echo", "+model.colour=1"], "model cannot be made of these settings"),
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

    monkeypatch.setattr(cli, "_run", interrupted)
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
