"""The command line: `chronosim <command> key=value ...`."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from textwrap import dedent, indent

from chronosim.errors import ChronosimError

__all__ = ["COMMANDS", "main"]

COMMANDS = ("demo", "predict", "rollout", "record", "train", "evaluate")
"""The commands, in the order a newcomer meets them; each is a module of chronosim.commands."""

_USAGE = """\
usage: chronosim <command> [key=value ...]

commands:
{commands}

  chronosim <command> --help     what it does, its settings, three examples
  --config-dir DIR               a folder with config groups of your own (model/, scenario/ ...)
  --traceback                    show where an error came from (or set CHRONOSIM_TRACEBACK=1)
  --version                      the version"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: What follows `chronosim`; None: what the process was given.

    Returns:
        The exit status: 0; 2 after an error that chronosim knows; 130 if interrupted.
    """
    parser = _parser()
    given = parser.parse_intermixed_args(arguments)
    if given.version:
        print(f"chronosim {version('chronosim')}")
        return 0
    if given.command is None:
        print(_usage())
        return 0 if given.help else 2
    try:
        _check_command(given.command)
        if given.help:
            print(_command_help(given.command))
        else:
            _run(given.command, given.overrides, given.config_dir)
    except ChronosimError as error:
        if given.traceback or os.environ.get("CHRONOSIM_TRACEBACK"):
            raise
        print(f"chronosim: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("chronosim: interrupted; what was finished is on disk", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chronosim", add_help=False, allow_abbrev=False)
    parser.usage = "chronosim <command> [key=value ...]"
    parser.add_argument("command", nargs="?")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--config-dir", type=Path)
    for flag in ("--traceback", "--version"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    return parser


def _run(command: str, overrides: Sequence[str], extra: Path | None) -> None:
    # Here, so that --help is fast: Hydra, and torch behind some commands, take seconds to load.
    from chronosim.commands.settings import compose_config

    config = compose_config(command, overrides, extra)
    import_module(f"chronosim.commands.{command}").run(config)


def _check_command(command: str) -> None:
    if command not in COMMANDS:
        from chronosim.errors import InvalidConfig

        raise InvalidConfig(f"there is no command {command!r}; there are: {', '.join(COMMANDS)}")


def _usage() -> str:
    lines = (f"  {name:<10}{_docstring(name).splitlines()[0]}" for name in COMMANDS)
    return _USAGE.format(commands="\n".join(lines))


def _command_help(command: str) -> str:
    """What the command does, its examples, its settings with their comments, its choices."""
    from chronosim.commands.settings import config_groups

    settings = (files("chronosim.scenarios") / "conf" / f"{command}.yaml").read_text()
    used = [name for name in config_groups() if f"- {name}:" in settings]
    groups = "\n".join(f"  {name}={'|'.join(config_groups()[name])}" for name in used)
    return (
        f"{_docstring(command)}\n\nSettings (give as key=value):\n"
        f"{indent(settings.strip(), '  ')}\n\nChoices:\n{groups}"
    )


def _docstring(command: str) -> str:
    """Reads a command's docstring without importing it, since it may import torch."""
    source = (files("chronosim.commands") / f"{command}.py").read_text(encoding="utf-8")
    return dedent(ast.get_docstring(ast.parse(source)) or "")
