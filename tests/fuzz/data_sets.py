"""Data sets of others, and of our own, with damage in them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from chronosim.formats.exporting import export_dataset
from chronosim.settings import parts
from tests.formats.test_hdf5 import aloha
from tests.formats.test_rlds import dataset
from tests.fuzz import command_lines
from tests.fuzz.damage import damage
from tests.fuzz.watch import Case

FORMATS = ("diffusion-policy", "robomimic", "lerobot", "minari")
READ = {"aloha": ("format.camera=cam_high",), "rlds": ()}
"""Formats that are read alone, and what must be said of them."""
OWN = (
    ("episodes", "ls", "e"),
    ("episodes", "show", "e/episodes/0000000", "output=out"),
    ("episodes", "stats", "e"),
    ("episodes", "verify", "e"),
    ("episodes", "repair", "e"),
    ("episodes", "compact", "e"),
    ("episodes", "replay", "e"),
    ("episodes", "export", "e", "format=diffusion-policy", "output=out"),
    ("episodes", "export", "e", "format=lerobot", "output=out"),
    ("episodes", "import", "e", "format=folder", "output=out"),
    ("rollout", "model=echo", "episodes=2", "horizon=2", "pictures=0", "output=e"),
    ("whatif", "model=echo", "steps=1", "from=e/episodes/0000000", "output=out"),
    ("guard", "e", "episodes=4", "output=out.npz"),
)


def begin(folder: Path) -> Path:
    """Makes a data set of ours, exports it to each format, and makes those that are read alone."""
    command_lines.begin(folder)
    for name in ("closed", "loop", "dangling", "endless", "bomb.yaml", "deep.json", "huge.yaml"):
        path = folder / name
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in FORMATS:
        exporter = parts.load("export", name)
        export_dataset(folder / "e" / "episodes", folder / name, exporter, progress=False)
    aloha(folder / "aloha", jpeg=True)
    dataset(folder / "rlds")
    return folder


def cases(seed: int, count: int) -> Iterator[Case]:
    """Draws a data set, where it is damaged, and what is done with it."""
    for index in range(count):
        rng = random.Random(f"{seed}.{index}")
        name = f"data set {seed}.{index}"
        if rng.random() < 0.3:
            yield Case(name, rng.choice(OWN), partial(_spoil, "e", rng), changes=True)
            continue
        kind = rng.choice((*FORMATS, *READ, "folder"))
        where = "pictures" if kind == "folder" else kind
        words = ("episodes", "import", where, "output=out", f"format={kind}")
        more = rng.choice(((), (), ("source_fps=2",), ("skip_bad=true",), ("rows_per_step=2",)))
        yield Case(name, (*words, *READ.get(kind, ()), *more), partial(_spoil, where, rng))


def _spoil(where: str, rng: random.Random, folder: Path) -> None:
    damage(folder / where, rng)
