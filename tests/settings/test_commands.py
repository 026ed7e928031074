"""The typed settings of commands: held against their YAML, and what cannot be is one sentence."""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import pytest
from omegaconf import OmegaConf

from chronosim.cli.main import COMMANDS as NAMES
from chronosim.cli.main import main
from chronosim.errors import InvalidConfig
from chronosim.settings.commands import COMMANDS
from chronosim.settings.compose import choices, compose_config, compose_settings, settings_text
from chronosim.settings.parts import locate, make
from chronosim.settings.safe_yaml import parse_yaml
from chronosim.settings.typed import (
    Part,
    Range,
    Seed,
    Size,
    describe,
    parameters,
    plain,
    read,
    suits,
)

# What a command cannot be composed without.
NEEDED = {
    "episodes export": ["a", "output=b"],
    "episodes import": ["a", "output=b"],
    "guard": ["a"],
    "judge": ["a"],
    **{
        command: ["a"]
        for command in COMMANDS
        if command.startswith(("episodes", "scenarios")) and command[9:] not in ("export", "import")
    },
}


def own(command: str) -> set[str]:
    """The settings that a command's YAML lists, and the groups it chooses from."""
    listed = {line.split(":")[0] for line in settings_text(command).splitlines()}
    return {name for name in listed if name.isidentifier()} - {"defaults"} | {*choices(command)}


def test_every_command_has_its_types() -> None:
    assert set(COMMANDS) == set(NAMES)


@pytest.mark.parametrize("command", COMMANDS)
def test_yaml_and_types_agree(command: str) -> None:
    typed = {name.rstrip("_") for name in get_type_hints(COMMANDS[command])} - {"composed"}
    assert typed == own(command)
    settings = compose_settings(command, NEEDED.get(command, []))  # every default suits its type
    for name, value in plain(compose_config(command, NEEDED.get(command, []))).items():
        inner = getattr(settings, name, None)
        if is_dataclass(inner) and not isinstance(inner, Part):
            assert {field.name for field in fields(inner)} == set(value), name


def misread(command: str, kinds: set[type], values: list[Any]) -> Iterator[tuple[str, str]]:
    """What is said of values given to each setting of some types; the command runs nothing."""
    config = compose_config(command, NEEDED.get(command, []))
    for field, hint in get_type_hints(COMMANDS[command]).items():
        if kinds & {hint, *get_args(hint)}:
            for value in values:
                other = deepcopy(config)
                OmegaConf.update(other, name := field.rstrip("_"), value, merge=False)
                with pytest.raises(InvalidConfig) as caught:
                    read(COMMANDS[command], other)
                yield name, str(caught.value)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_switch_takes_true_or_false_and_nothing_else(command: str) -> None:
    values = ["no", "off", "f", "false", 0, 1, math.nan, "", [True]]
    for name, said in misread(command, {bool}, values):
        assert said.startswith(f"{name} must be true or false")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_number_is_a_number(command: str) -> None:
    values = ["3", "many", True, -1, math.nan, math.inf, [0], {"a": 1}]
    for name, said in misread(command, {int, float}, values):
        assert said.startswith(f"{name} must be ")


@pytest.mark.parametrize("given", ["trust=no", "trust=off", "trust=f", "trust='false'", "trust=0"])
def test_a_switch_is_refused_as_it_is_typed(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "replay", "nowhere", given]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "trust must be true or false, not" in line


@pytest.mark.parametrize("seed", ["-1", str(2**63), "1.5", "'7'", "null", "true", "9" * 5000])
def test_a_seed_fits_the_log(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", f"seed={seed}"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "seed must be a whole number from 0 to 2**63 - 1" in line or "cannot be read" in line


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("predict", "model=3"),
        ("predict", "model=null"),
        ("predict", "model=[nano,echo]"),
        ("predict", "model={a: 1}"),
        ("predict", "scenario=true"),
        ("episodes export", "format=4"),
        ("rollout", "policy=1.5"),
    ],
)
def test_a_group_takes_a_name(command: str, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), *NEEDED.get(command, []), given]) == 2
    [line] = capsys.readouterr().err.splitlines()
    name, _, value = given.partition("=")
    assert f"{name} must be one of " in line
    assert f", not {value}" in line


def test_words_may_look_like_numbers() -> None:
    settings: Any = compose_settings("predict", ["output=7", "frame=1.10", "text=null"])
    assert (settings.output, settings.frame, settings.text) == ("7", "1.10", None)
    settings = compose_settings("predict", ["size=[96, 48]", "start={speed: 3}", "frame=true"])
    assert (settings.size, settings.start, settings.frame) == ((96, 48), {"speed": 3}, "true")


def test_a_part_is_made_when_it_is_asked_for() -> None:
    settings: Any = compose_settings("check", ["model=echo", "model.time=2"])
    assert isinstance(settings.model, Part)
    assert settings.model.values == {"time": 2}
    assert settings.model.make(time=3).time == 3
    assert settings.model.accepts("time")
    assert not settings.model.accepts("preset")
    assert compose_settings("check", []).model.accepts("preset")  # type: ignore[attr-defined]


def test_a_part_follows_its_seed() -> None:
    settings: Any = compose_settings("predict", ["seed=4"])
    config = compose_config("rollout", ["policy=driver-mix", "seed=4"])
    part = Part("policy", config)
    assert [part.make().seed, part.seeded(5).make().seed, part.make().seed] == [4, 5, 4]
    assert settings.seed == 4


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (3, float, True),
        (True, int, False),
        (1, bool, False),
        (math.nan, float, False),
        (math.inf, float, True),
        (math.inf, Annotated[float, Range(0)], False),
        (0.0, Annotated[float, Range(0, above=True)], False),
        (2**63 - 1, Seed, True),
        (2**63, Seed, False),
        ([2, 3], Size, True),
        ([2, 0], Size, False),
        ([2], Size, False),
        ("a", Literal["a", "b"], True),
        (1, Literal["a", True], False),
        ("${seed}", int, True),
        ({"_target_": "x.Y"}, int, False),
        ({"_target_": "x.Y"}, Path, False),
        ({"_target_": "x.Y"}, dict, True),
        ("words", Path, True),
    ],
)
def test_what_suits_a_type(value: Any, hint: Any, fits: bool) -> None:
    assert suits(value, hint) is fits


def test_types_in_plain_words() -> None:
    assert describe(Seed) == "a whole number from 0 to 2**63 - 1"
    assert describe(Size | None) == "[height, width] in pixels, or null"
    assert describe(Literal["a", "b", "c"]) == "a, b or c"
    assert describe(list[Annotated[int, Range(1)]]) == "a list of whole numbers of at least 1"


def test_a_loader_has_the_settings_of_what_it_loads() -> None:
    known = parameters(locate("chronosim.models.load"))
    assert {"name", "tiling", "preset", "denoising_steps", "decode_trajectory"} <= set(known)
    with pytest.raises(InvalidConfig, match="model: tiling must be true or false, or null, not 'o"):
        make({"_target_": "chronosim.models.load", "name": "nano", "tiling": "off"}, "model")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"_target_": "chronosim.testing.EchoModel", "_args_": [3]}, "_args_, which means nothing"),
        ({"_target_": "chronosim.testing.EchoModel", "_recursive_": False}, "has a _recursive_"),
        ({"_target_": "chronosim.testing.EchoModel", "_partial_": "no"}, "true or false"),
        ({"_target_": "chronosim.testing"}, "names no class"),
        ({"_target_": "nosuch_package.Thing"}, "there is no nosuch_package.Thing to import"),
        ({"_target_": "chronosim.testing.Nothing"}, "there is no chronosim.testing.Nothing to"),
        ({"_target_": "os system"}, "names no class"),
        ({"time": 3}, "must name its class"),
        ([3], "must name its class"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(settings: Any, said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        make(settings, "model")


def test_a_function_may_be_given_for_later() -> None:
    later = make({"_target_": "chronosim.testing.EchoModel", "_partial_": True, "time": 2}, "model")
    assert later().time == 2


def test_a_class_of_the_working_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path])
    (tmp_path / "lying_here.py").write_text("def act(observation, gain=1.0):\n    return gain\n")
    monkeypatch.chdir(tmp_path)
    part = {"_target_": "lying_here.act", "_partial_": True, "gain": 2.0}
    assert make(part, "policy")(None) == 2.0


GROWING = "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
DOUBLING = "".join(f"a{i}: ${{a{i - 1}}}${{a{i - 1}}}\n" for i in range(1, 40))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x {b: *x}", "circle"),
        ("a: ${b}\nb: ${a}", "circle"),
        ("a:\n  b: ${.c}\n  c: ${.b}", "circle"),
        ("a: " + "[" * 5000, "too deep"),
        ("a: " + "{a: " * 40 + "1" + "}" * 40, "too deep"),
        ("a0: &a0 [x, x]\n" + GROWING, "much"),
        ("a0: xx\n" + DOUBLING, "much"),
        ("a: [" + "1, " * 30_000 + "]", "too much"),
        ("a: '" + "x" * 300_000 + "'", "larger"),
        ("a: ${b.${c}}", "in another"),
        ("a: " + "9" * 5000, "cannot be read"),
        ("a: !!python/object/apply:os.system [ls]", "cannot be read"),
        ("a: \x00", "cannot be read"),
        ("- a", "named settings"),
    ],
)
def test_yaml_of_others_is_read_with_suspicion(text: str, said: str) -> None:
    with pytest.raises(InvalidConfig, match=said) as caught:
        parse_yaml(text, "mine.yaml")
    assert "\n" not in str(caught.value)
