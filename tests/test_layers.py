"""Who may import whom: the folders are layers, and this is the one place that says which."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import product
from pathlib import Path

import pytest

from chronosim.models.serving.service import Service
from chronosim.testing import EchoModel

ROOT = Path(__file__).parents[1]
ADAPTERS = ("formats", "policies", "prompters", "simulators")

# From the ground up; a layer may import itself and those below it.
LAYERS = (
    ("errors", "progress"),
    ("files", "processes"),
    ("types",),
    ("protocols", "frames", "seeds"),
    ("settings",),
    ("world", "episodes", "pictures", "models", "metrics", "testing"),
    ("scenarios",),
    ("envs", *ADAPTERS),
    ("rollouts", "training", "evaluation", "whatif", "bench"),
    ("cli",),
    ("commands", "studio"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Side by side, and never meeting; metrics ask models (CLIP, a judge), and no model asks a metric.
STRANGERS = {*product(["envs"], ADAPTERS), *product(ADAPTERS, ["envs"]), ("models", "metrics")}


def modules() -> Iterator[tuple[str, Path]]:
    """Each module's layer and file, `chronosim/__init__.py` (which names the public) left out."""
    for package in ("chronosim", "envs", "adapters", "scenarios"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if package == "chronosim" and (parts[1] == "__init__" or (ROOT / parts[1]).is_dir()):
                continue  # the links inside chronosim are the folders beside it
            yield package if package in ("envs", "scenarios") else parts[1], path


def imported(path: Path) -> Iterator[str]:
    """The layers that a file imports; `""` for names of `chronosim` itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "chronosim":
            names = [f"chronosim.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root == "chronosim":
                yield rest.partition(".")[0]


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer for layer, _ in modules()} == set(RANK)


@pytest.mark.parametrize(
    ("layer", "path"),
    [pytest.param(*found, id=str(found[1].relative_to(ROOT))) for found in modules()],
)
def test_a_layer_imports_only_what_lies_below_it(layer: str, path: Path) -> None:
    for other in imported(path):
        assert other in RANK, f"{path.name} imports {other!r} from the package's own __init__"
        assert RANK[other] <= RANK[layer], f"{layer} may not import {other}"
        assert (layer, other) not in STRANGERS, f"{layer} and {other} never import each other"


def test_nobody_lets_hydra_make_objects() -> None:
    for _, path in modules():
        assert "hydra.utils" not in path.read_text("utf-8"), path


LIGHT = """
import sys
import gymnasium as gym
import chronosim

settings = dict(item.split("=") for item in sys.argv[1:])
env = gym.make("chronosim/CarRacing-v0", **settings)
env.reset(seed=0)
assert env.step([0.0, 0.1, 0.0])[4]["text"]
heavy = {"torch", "diffusers", "transformers", "cv2", "av", "hydra"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("model", ["echo", "remote"])
def test_an_environment_loads_no_more_than_its_model_needs(model: str) -> None:
    with Service(EchoModel(), port=0) as service:
        given = [f"model={model}", *([f"url={service.url}"] if model == "remote" else [])]
        run = subprocess.run(
            [sys.executable, "-c", LIGHT, *given], capture_output=True, text=True, timeout=120
        )
    assert run.returncode == 0, run.stderr


def dotted(path: Path) -> str:
    """The name that a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    inside = parts[1:] if parts[0] in ("adapters", "chronosim") else parts
    return ".".join(("chronosim", *inside)).removesuffix(".__init__")


def test_no_module_imports_itself_by_way_of_others() -> None:
    """In a circle it hangs on who comes first whether an import works at all."""
    files = {dotted(path): path for _, path in modules()}
    needs: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                needs[name] |= {alias.name for alias in node.names} & set(files)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found = {f"{node.module}.{alias.name}" for alias in node.names} & set(files)
                needs[name] |= found or {node.module} & set(files)
    TopologicalSorter(needs).prepare()  # a CycleError names the modules


def test_importing_chronosim_is_light() -> None:
    """No torch, and under a second of work; the best of three, for machines that are busy."""
    code = (
        "import time, sys; began = time.process_time(); import chronosim; "
        "print(time.process_time() - began); "
        "heavy = {'torch', 'diffusers', 'transformers', 'cv2', 'av'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 1.0
