"""What users may rely on: a change here is a change for them, and belongs in the changelog."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import gymnasium as gym
import pytest

import chronosim
from chronosim import errors

PUBLIC = {
    "chronosim": [
        "EditPrompt",
        "EpisodeReader",
        "EpisodeWriter",
        "Observation",
        "Policy",
        "Prediction",
        "Prompter",
        "Scenario",
        "Step",
        "World",
        "WorldModel",
        "__version__",
        "errors",
        "fork",
    ],
    "chronosim.settings": ["companion", "load", "names"],
    "chronosim.errors": [
        "Cancelled",
        "ChronosimError",
        "ChronosimWarning",
        "EnhancementFailed",
        "EpisodeExists",
        "EpisodeNotFound",
        "EpisodeWriteError",
        "InvalidAction",
        "InvalidConfig",
        "InvalidEpisode",
        "InvalidFrame",
        "InvalidModel",
        "InvalidPrompt",
        "JudgementFailed",
        "MissingDependency",
        "ModelBusy",
        "ModelNotFound",
        "RemoteFailed",
        "ResetNeeded",
        "WorkerLost",
    ],
    "chronosim.episodes": [
        "Damage",
        "EpisodeDataset",
        "EpisodeReader",
        "EpisodeSummary",
        "EpisodeWriter",
        "Repair",
        "Step",
        "compact",
        "list_episodes",
        "repair",
        "summarize",
        "summarize_dataset",
        "verify",
    ],
    "chronosim.frames": [
        "encode_png",
        "fit_frame",
        "middle_of",
        "read_frame",
        "resize_frame",
        "sharpness",
        "write_frame",
    ],
    "chronosim.protocols": ["Policy", "Prompter", "Scenario", "WorldModel"],
    "chronosim.testing": [
        "EchoModel",
        "ReplayModel",
        "check_policy",
        "check_prompter",
        "check_scenario",
        "check_world_model",
    ],
    "chronosim.progress": ["after_each_denoising_step"],
    "chronosim.types": [
        "Chunk",
        "EditPrompt",
        "Frame",
        "Frames",
        "Guard",
        "Observation",
        "Prediction",
        "State",
        "Step",
        "Trajectory",
    ],
    "chronosim.whatif": [
        "Branch",
        "Divergence",
        "Grower",
        "LoggedMoment",
        "Plan",
        "Search",
        "Tree",
        "WhatIfResult",
        "default_plans",
        "draw_tree",
        "load_tree",
        "measure",
        "read_moment",
        "read_plans",
        "run",
        "write_film",
        "write_report",
    ],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_these(module: str) -> None:
    found = import_module(module)
    assert sorted(found.__all__) == PUBLIC[module]
    assert all(hasattr(found, name) for name in found.__all__)


ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
STUBBED = [
    package
    for package in SETTINGS["tool"]["setuptools"]["packages"]
    if (ROOT / package.replace(".", "/") / "__init__.pyi").exists()
]
PROMISED = {*PUBLIC, *STUBBED}


def taught() -> Iterator[tuple[str, str, str]]:
    """Each name that README, pages and examples import: where, of which module, which."""
    sources = {path: path.read_text() for path in (ROOT / "examples").glob("**/*.py")}
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]:
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.M | re.S)
        sources[page] = "\n".join(blocks)
    for path, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("chronosim"):
                for alias in node.names:
                    yield str(path.relative_to(ROOT)), node.module or "", alias.name


def test_what_is_taught_is_promised() -> None:
    astray = [
        (path, module, name)
        for path, module, name in taught()
        if not (module in PROMISED and name in import_module(module).__all__)
        and f"{module}.{name}" not in PROMISED
    ]
    assert not astray, "import it by a short name, or promise it: the package's __init__.pyi"


@pytest.mark.slow
@pytest.mark.parametrize("package", STUBBED)
def test_a_promised_name_is_there_whatever_was_imported_before(package: str) -> None:
    found = import_module(package)
    modules = {path.stem for folder in found.__path__ for path in Path(folder).glob("*.py")}
    assert not modules & set(found.__all__), "the import of that module would replace the name"
    assert all(hasattr(found, name) for name in found.__all__)


def test_every_error_is_ours_and_a_builtin() -> None:
    leaves = [getattr(errors, name) for name in errors.__all__ if not name.startswith("Chronosim")]
    for leaf in leaves:
        assert issubclass(leaf, chronosim.errors.ChronosimError)
        assert leaf.__mro__[2].__module__ == "builtins"
        assert leaf.__name__ in (errors.__doc__ or ""), "the tree in the docstring has them all"


def test_importing_chronosim_registers_its_environments() -> None:
    assert {name for name in gym.registry if name.startswith("chronosim/")} == {
        "chronosim/CarRacing-v0",
        "chronosim/PushT-v0",
        "chronosim/World-v0",
    }
