"""What every test shares: one thread, no network, and shapes and types checked at every call."""

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import jaxtyping
import numpy as np
import psutil
import pytest
from beartype import BeartypeConf, FrozenDict, beartype

# Before torch is imported: tests run beside one another, and a hub must never be asked.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

# Shapes and types in signatures are checked while the tests run, and only then. jaxtyping finds its
# checker by the name of a module; this one takes an int, or numpy's float32, where a float is asked
# for, as Python does and beartype by itself does not.
NUMBERS: FrozenDict[Any, Any] = FrozenDict({float: float | int | np.floating})
checker = ModuleType("chronosim_checker")
checker.__dict__["check"] = beartype(conf=BeartypeConf(hint_overrides=NUMBERS))
sys.modules[checker.__name__] = checker
jaxtyping.install_import_hook("chronosim", f"{checker.__name__}.check")


WORKER_MEMORY = 1.5e9  # bytes; torch, diffusers, and nano at work


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A worker for each core, as far as memory goes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, int(psutil.virtual_memory().available / WORKER_MEMORY)))


@pytest.fixture
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns off the shape checks of the tests, so that bad input meets chronosim's own checks."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@contextmanager
def _limited(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        # At once, not after the test: pytest's own report may go to a file, and would be refused.
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """Lets no file grow beyond a size, inside a with: the system itself refuses the write."""
    return _limited
