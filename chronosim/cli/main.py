"""The command line: `chronosim <command> key=value ...`."""

from __future__ import annotations

import argparse
import ast
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from keyword import iskeyword
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from chronosim.cli.failures import end_badly, open_streams
from chronosim.errors import ChronosimWarning, InvalidConfig

COMMANDS = (
    "demo",
    "predict",
    "rollout",
    "whatif",
    "studio",
    "record",
    "train",
    "evaluate",
    "judge",
    "guard",
    "check",
    "serve",
    "scenarios ls",
    "scenarios show",
    "scenarios check",
    "episodes ls",
    "episodes show",
    "episodes stats",
    "episodes play",
    "episodes replay",
    "episodes verify",
    "episodes repair",
    "episodes compact",
    "episodes export",
    "episodes import",
    "bench model",
    "bench episodes",
    "bench formats",
)
"""The commands, in the order a newcomer meets them; each is a module of chronosim.commands.

A command of two words is a module in a package; the first word alone lists the second ones.
"""

_USAGE = """\
usage: chronosim <command> [key=value ...]

commands:
{commands}

  chronosim <command> --help     what it does, its settings, three examples
  --config-dir DIR               a folder with config groups of your own (model/, scenario/ ...)
  -m, --multirun                 one run for each combination: policy=a,b seed=range(0,3)
  --force                        short for force=true, where a command may overwrite
  --traceback                    show where an error came from (or set CHRONOSIM_TRACEBACK=1)
  --version                      the version"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: What follows `chronosim`; None: what the process was given.

    Returns:
        The exit status: 0; 1 where a check found something; and as `end_badly`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    open_streams()
    given = _parser().parse_intermixed_args(words)
    try:
        status = _command(given)
        sys.stdout.flush()  # here, where it is caught: the disk may be full, or the reader gone
    except (Exception, KeyboardInterrupt) as error:
        if given.traceback or os.environ.get("CHRONOSIM_TRACEBACK"):
            raise
        return end_badly(error, words)
    return status


def _command(given: argparse.Namespace) -> int:
    if given.version:
        print(f"chronosim {version('chronosim')}")
        return 0
    command, rest = read_command(given.words)
    if command not in COMMANDS:
        print(_group_help(command) if command else _usage())
        return 0 if given.help else 2
    if given.help:
        print(_command_help(command, rest))
        return 0
    _check_here()
    # zarr opens members at once: where one fails, nobody reads the errors of the others.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    settings = [*rest, *["force=true"] * given.force]
    run = _sweep if given.multirun else _run
    with warnings.catch_warnings():
        warnings.showwarning = partial(_show, warnings.showwarning)
        return run(command, settings, given.config_dir)


def _check_here() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise InvalidConfig(
            f"the folder that you are in is gone or closed to you ({error.strerror}): change to "
            "another"
        ) from error


def _show(usual: Callable[..., None], warning: Warning | str, *where: Any, **more: Any) -> None:
    """Prints a warning of ours as a sentence, without the line of code that gave it."""
    if not isinstance(warning, ChronosimWarning):
        usual(warning, *where, **more)
    elif os.environ.get("RANK", "0") == "0":
        print(f"chronosim: {warning}", file=sys.stderr)


def read_command(words: Sequence[str]) -> tuple[str, list[str]]:
    """Splits what was typed into a command and what follows it.

    Args:
        words: What follows `chronosim`, without the flags.

    Returns:
        A command; or the first word of some, or "", where nothing follows it.

    Raises:
        InvalidConfig: There is no such command.
    """
    first, *rest = words or [""]
    if first in ("", *COMMANDS):
        return first, rest
    seconds = _seconds(first)
    if seconds and not rest:
        return first, rest
    if seconds and rest[0] in seconds:
        return f"{first} {rest[0]}", rest[1:]
    wrong, known = (f"{first} {rest[0]}", seconds) if seconds else (first, _firsts())
    raise InvalidConfig(f"there is no command {wrong!r}; there are: {', '.join(known)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chronosim", add_help=False, allow_abbrev=False)
    parser.usage = "chronosim <command> [key=value ...]"
    parser.add_argument("words", nargs="*")
    parser.add_argument("--config-dir", type=Path)
    parser.add_argument("-m", "--multirun", action="store_true")
    for flag in ("--force", "--traceback", "--version"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    return parser


def _run(command: str, given: Sequence[str], extra: Path | None) -> int:
    # Here, so that --help is fast: Hydra, and torch behind some commands, take seconds to load.
    from chronosim.settings.compose import compose_settings

    settings = compose_settings(command, given, extra)
    status = import_module(".".join(("chronosim.commands", *_parts(command)))).run(settings)
    return int(status or 0)


def _sweep(command: str, given: Sequence[str], extra: Path | None) -> int:
    from chronosim.cli.sweep import jobs, sweep

    return sweep(jobs(command, given), lambda settings: _run(command, settings, extra))


def _parts(command: str) -> list[str]:
    """Where a command's module is, below chronosim.commands; `import` is one no module can be."""
    return [f"{word}_" if iskeyword(word) else word for word in command.split()]


def _firsts() -> list[str]:
    return list(dict.fromkeys(command.split()[0] for command in COMMANDS))


def _seconds(first: str) -> list[str]:
    return [command.split()[1] for command in COMMANDS if command.startswith(f"{first} ")]


def _usage() -> str:
    lines = (f"  {name:<10}{_docstring(name).splitlines()[0]}" for name in _firsts())
    return _USAGE.format(commands="\n".join(lines))


def _group_help(first: str) -> str:
    """What a group of commands is for, and the commands in it."""
    lines = (
        f"  {name:<10}{_docstring(f'{first} {name}').splitlines()[0]}" for name in _seconds(first)
    )
    return (
        f"{_docstring(first)}\n\nusage: chronosim {first} <command> [key=value ...]\n\n"
        "commands:\n" + "\n".join(lines) + f"\n\n  chronosim {first} <command> --help     "
        "what it does, its settings, three examples"
    )


def _command_help(command: str, given: Sequence[str]) -> str:
    """What the command does, its examples, its settings with their comments, its choices."""
    from chronosim.settings.compose import choice_texts, choices, settings_text

    groups = "".join(
        f"\n  {name}={'|'.join(options)}" for name, options in choices(command).items()
    )
    own = choice_texts(command, given)
    chosen = "".join(
        f"\n\nSettings of {word} (give as {word.partition('=')[0]}.key=value):\n"
        f"{indent(text.strip(), '  ')}"
        for word, text in own.items()
    )
    more = f"\n\n  chronosim {command} {{}} --help     the settings of a choice"
    example = next((f"{name}={options[0]}" for name, options in choices(command).items()), "")
    return (
        f"{_docstring(command)}\n\nSettings (give as key=value):\n"
        f"{indent(settings_text(command).strip(), '  ')}"
        + (f"\n\nChoices:{groups}" if groups else "")
        + (chosen or (more.format(example) if example else ""))
    )


def _docstring(command: str) -> str:
    """Reads a command's docstring without importing it, since it may import torch."""
    commands, path = files("chronosim.commands"), "/".join(_parts(command))
    group = (commands / path).is_dir()
    file = commands / (f"{path}/__init__.py" if group else f"{path}.py")
    return dedent(ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "")
