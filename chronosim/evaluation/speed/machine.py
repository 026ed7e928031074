"""What figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["describe_machine", "list_versions"]

_LIBRARIES = ("chronosim", "torch", "diffusers", "transformers", "gymnasium", "numpy")


def describe_machine() -> dict[str, Any]:
    """Gives the processor, how many the process may use, system and Python, as JSON values."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def list_versions() -> dict[str, str]:
    """Gives the versions of chronosim and of the libraries that shape its answers."""
    return {name: version(name) for name in _LIBRARIES}


def _processor() -> str:
    """The processor's name; Python itself knows it only on some systems."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
