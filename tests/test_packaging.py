"""What an installation holds: the packages on disk, their data, and nothing else at its top."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NINE = {
    "torch",
    "diffusers",
    "transformers",
    "gymnasium",
    "numpy",
    "opencv-python",
    "zarr",
    "hydra-core",
    "pillow",
}
# Files and folders at the root that a source distribution holds.
SHIPPED = (
    *("pyproject.toml", "MANIFEST.in", "constraints.txt", "Makefile", "LICENSE"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("chronosim", "adapters", "envs", "scenarios", "docs", "examples", "tests"),
)
# Packages inside chronosim that are links to folders at the root, and to which.
LINKS = {
    "envs": "envs",
    "formats": "adapters/formats",
    "policies": "adapters/policies",
    "prompters": "adapters/prompters",
    "scenarios": "scenarios",
    "simulators": "adapters/simulators",
}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build from: building leaves a folder that would go stale."""
    copied = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__")
    for path in (ROOT / name for name in SHIPPED):
        if path.is_dir():
            shutil.copytree(path, copied / path.name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(path, copied)
    return copied


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    built = [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(built, check=True)
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a source distribution, its own folder left out."""
    folder = tmp_path_factory.mktemp("sdist")
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    [path] = folder.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def folders() -> dict[str, Path]:
    """Every package on disk by its dotted name, those behind links by the links' names."""
    roots = {"chronosim": ROOT / "chronosim"}
    roots |= {f"chronosim.{name}": ROOT / target for name, target in LINKS.items()}
    found = {}
    for dotted, root in roots.items():
        for marker in root.rglob("__init__.py"):
            inside = marker.parent.relative_to(root).parts
            if dotted == "chronosim" and inside and inside[0] in LINKS:
                continue
            found[".".join((dotted, *inside))] = marker.parent
    return found


def test_every_package_on_disk_is_listed(project: dict[str, Any]) -> None:
    assert project["tool"]["setuptools"]["packages"] == sorted(folders())


def test_the_links_are_there() -> None:
    for name, target in LINKS.items():
        assert (ROOT / "chronosim" / name).samefile(ROOT / target)


def test_setuptools_is_told_of_the_links(project: dict[str, Any]) -> None:
    mapped = {f"chronosim.{name}": target for name, target in LINKS.items()}
    assert project["tool"]["setuptools"]["package-dir"] == {"chronosim": "chronosim", **mapped}


def test_the_wheel_has_nothing_but_chronosim_at_its_top(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert tops == {"chronosim", "chronosim-0.1.0.dist-info"}


def test_the_wheel_holds_every_module_and_its_stub(wheel: set[str]) -> None:
    modules = {
        "/".join((*dotted.split("."), path.name))
        for dotted, folder in folders().items()
        for path in [*folder.glob("*.py"), *folder.glob("*.pyi")]
    }
    assert {name for name in wheel if name.endswith((".py", ".pyi"))} == modules
    assert "chronosim/prompters/__init__.pyi" in modules, "the short names are read from stubs"


def test_the_wheel_holds_the_data(wheel: set[str]) -> None:
    scenarios, nano = ROOT / "scenarios", ROOT / "chronosim" / "models" / "nano"
    data = {
        f"chronosim/scenarios/{path.relative_to(scenarios).as_posix()}"
        for path in [*scenarios.rglob("*.yaml"), *scenarios.rglob("*.npz")]
    }
    data |= {
        f"chronosim/models/nano/{path.relative_to(nano).as_posix()}"
        for path in nano.rglob("*")
        if path.is_file()
    }
    static = ROOT / "chronosim" / "studio" / "static"
    data |= {f"chronosim/studio/static/{path.name}" for path in static.iterdir()}
    assert data | {"chronosim/py.typed"} <= wheel
    assert {"chronosim/models/nano/model_index.json", "chronosim/scenarios/conf/demo.yaml"} <= data
    assert any(name.endswith(".npz") for name in data)
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_sdist_holds_what_the_wheel_is_built_from_and_what_tests_it(sdist: set[str]) -> None:
    roots = [ROOT / name for name in SHIPPED]
    kept = {path for root in roots for path in (root.rglob("*") if root.is_dir() else [root])}
    files = {
        path.relative_to(ROOT).as_posix()
        for path in kept
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= sdist, sorted(files - sdist)[:9]
    assert {"tests/conftest.py", "tests/envs/test_chrono_env.py", "examples/01_predict.py"} <= files


def test_the_base_install_holds_the_nine(project: dict[str, Any]) -> None:
    named = {name(requirement): requirement for requirement in project["project"]["dependencies"]}
    assert set(named) >= NINE
    assert named["opencv-python"].endswith("<5")
    assert "torchvision" not in named, "its wheels break transformers beside a CPU torch"


def test_the_constraints_pin_all_that_is_asked_for(project: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    asked = project["project"]["dependencies"] + [
        requirement
        for extra in project["project"]["optional-dependencies"].values()
        for requirement in extra
    ]
    missing = {name(requirement) for requirement in asked} - set(pins) - {"chronosim"}
    assert not missing
    assert "+" not in pins["torch"], "a build tag cannot be had on every machine"
    assert "torchvision" not in pins


def test_no_file_names_a_registry() -> None:
    for path in ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run"):
        assert not re.search(r"index-url|https?://", (ROOT / path).read_text()), path


def test_the_tests_that_hold_the_threat_model_are_there() -> None:
    said = (ROOT / "SECURITY.md").read_text()
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", said):
        assert f"def {name}(" in tests, name
    for path in re.findall(r"`(tests/[\w/]+\.py)`", said):
        assert (ROOT / path).is_file(), path


def name(requirement: str) -> str:
    """The bare name of a requirement, lower case."""
    found = re.match(r"[A-Za-z0-9-]+", requirement)
    assert found
    return found[0].lower()
