"""Damage to files: bytes, JSON, HDF5, and what stands in a file's place."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fuzz.watch import MARK

DEEP = "[" * 100_000
VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**63, 2**64, 10**8, 10**30, 0.5, -0.0),
    *(1e308, float("nan"), float("inf"), float("-inf"), "", "0", "text", "|O", "<f8", "|u1", ">U9"),
    *([], {}, [None], [0], [-1], [2**40], [1, 2, 3], [[[]]], {"a": 1}, {"": None}, [0.0] * 16),
    *(
        "../../outside",
        "/etc/passwd",
        "/dev/zero",
        "~root",
        "http://127.0.0.1:9/x",
        "a\0b",
        "\ud800",
    ),
    *("x" * 300, "\x1b[31mred", "os.system", "builtins.eval", "pickle", "{0.__class__}", "%n" * 9),
)


class Bomb:
    """Whoever unpickles it leaves a mark."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (MARK,))


def damage(folder: Path, rng: random.Random) -> None:
    """Damages one file below a folder, sometimes two."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        files = sorted(
            path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
        )
        if not files:
            return
        told = [path for path in files if _is_json(path) or path.suffix in (".csv", ".txt")]
        file = rng.choice(told if told and rng.random() < 0.6 else files)
        if _is_json(file) and rng.random() < 0.8:
            _damage_json(file, rng)
        elif file.suffix == ".hdf5" and rng.random() < 0.8:
            with suppress(OSError):  # an earlier damage may have ended the file
                _damage_hdf5(file, rng)
        else:
            rng.choice(_ANY)(file, rng)


def _is_json(path: Path) -> bool:
    return path.suffix in (".json", ".jsonl") or path.name in (".zarray", ".zattrs", ".zgroup")


def _damage_json(file: Path, rng: random.Random) -> None:
    """Puts a value somewhere where another was, or takes a key away."""
    text = file.read_text(errors="replace")  # an earlier damage may have struck it
    lines = text.splitlines() if file.suffix == ".jsonl" else [text]
    at = rng.randrange(len(lines))
    try:
        value = json.loads(lines[at])
    except ValueError:
        return
    holders = [one for one in _holders(value) if one]
    if not holders or rng.random() < 0.05:
        value = rng.choice(VALUES)
    else:
        holder = rng.choice(holders)
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if rng.random() < 0.2:
            del holder[key]
        elif rng.random() < 0.1 and isinstance(holder, dict):
            holder[rng.choice(("_target_", "auto_map", "filters", "quantization_config"))] = (
                rng.choice(VALUES)
            )
        else:
            holder[key] = rng.choice(VALUES)
    lines[at] = json.dumps(value)
    put(file, "\n".join(lines).encode("utf-8", "surrogatepass"))


def _holders(value: Any) -> list[Any]:
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(one for child in inner for one in _holders(child))]


def _damage_hdf5(file: Path, rng: random.Random) -> None:
    names: list[str] = []
    with h5py.File(file, "r+") as opened:
        opened.visit(names.append)
        if not names:  # an earlier damage took them all
            return
        name = rng.choice(names)
        held = opened[name]
        keys = list(held.attrs)
        kind = rng.randrange(6)
        if kind < 2 and keys:
            key = rng.choice(keys)
            told = [
                one
                for one in VALUES
                if isinstance(one, str | int | float) and one not in ("a\0b", "\ud800")
            ]
            value = rng.choice(
                [one for one in told if not isinstance(one, int) or abs(one) < 2**63]
            )
            held.attrs[key] = value
            return
        del opened[name]
        if kind == 2:
            opened[name] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == 3:
            opened[name] = h5py.SoftLink(f"/{name}")
        elif kind == 4:
            opened.create_dataset(name, data=rng.choice(_ARRAYS))
        elif kind == 5:
            opened.create_dataset(name, shape=(2**40,), dtype="u1", chunks=(2**20,))


_ARRAYS = (
    np.zeros((0,)),
    np.zeros((3, 0), np.float32),
    np.zeros((2, 2), np.complex64),
    np.full((4, 3), np.nan, np.float32),
    np.array(b"bytes"),
    np.zeros((1, 1, 1, 1, 1), np.uint8),
    np.zeros((5, 4, 4, 3), np.float64),
    np.array(7),
    np.zeros(3, np.dtype([("a", "f4"), ("b", "i8")])),
)


def put(file: Path, content: bytes) -> None:
    """Writes a file anew: it may be shared with other copies."""
    file.unlink()
    file.write_bytes(content)


def _cut(file: Path, rng: random.Random) -> None:
    content = file.read_bytes()
    put(file, content[: rng.randrange(len(content) + 1)])


def _flip(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(rng.choice((1, 8, 64))):
        if content:
            content[rng.randrange(min(len(content), rng.choice((64, 512, 10**9))))] = rng.randrange(
                256
            )
    put(file, bytes(content))


def _replace(file: Path, rng: random.Random) -> None:
    choices = (
        b"",
        b"\0" * 999,
        DEEP.encode(),
        b"{}",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        pickle.dumps(Bomb()),
    )
    put(file, rng.choice(choices))


def _swell(file: Path, _: random.Random) -> None:
    content = file.read_bytes()
    put(file, content)
    os.truncate(file, 2**33)  # a hole: no disk is needed


def _trap(file: Path, rng: random.Random) -> None:
    """Something else in a file's place."""
    file.unlink()
    kind = rng.randrange(6)
    if kind == 0:
        os.mkfifo(file)
    elif kind == 1:
        file.mkdir()
    elif kind == 2:
        file.symlink_to("/dev/zero")
    elif kind == 3:
        file.symlink_to(file.name)
    elif kind == 4:
        file.symlink_to("/etc/passwd")  # and kind 5: it is gone


def _words(file: Path, rng: random.Random) -> None:
    """Puts words among a text's, if it is one."""
    content = file.read_bytes()
    at = rng.randrange(len(content) + 1)
    put(file, content[:at] + str(rng.choice(VALUES)).encode("utf-8", "replace") + content[at:])


def _drop(file: Path, _: random.Random) -> None:
    if file.parent.is_dir():
        shutil.rmtree(file.parent)


_ANY: tuple[Callable[[Path, random.Random], None], ...] = (
    *(_cut, _cut, _flip, _flip, _replace, _swell, _trap, _trap, _words, _drop),
)
