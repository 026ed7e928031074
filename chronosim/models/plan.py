"""What a model will load and need, found out before anything is loaded or downloaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from chronosim.errors import InvalidConfig
from chronosim.models.architecture import Architecture
from chronosim.models.memory import (
    GIB,
    Footprint,
    cheaper_settings,
    estimate_memory,
    free_memory,
)
from chronosim.models.places import find_dtype
from chronosim.models.presets import Lora, Preset
from chronosim.models.sampling import Sampling
from chronosim.models.settings import ModelSettings

__all__ = ["Plan"]

_SMALLEST = (480, 832)  # the smallest frames that Wan2.1 was trained at, and so ChronoEdit
_USUAL = (720, 1280)  # what ChronoEdit's own scripts fit to


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A model that could be loaded.

    Attributes:
        name: What it was asked for as.
        preset: Whose settings apply.
        location: Its folder, or its id on the hub.
        sampling: The sampler's settings.
        settings: How it is loaded.
        loras: Added to its weights.
        device: Where it computes.
        dtype: Of the transformer and the text encoder.
        folder: Where its files are; None: not on this machine yet.
        checkpoint: The file for the transformer; None: none was asked for, or it is not here yet.
        model: Its shape; None where nothing of it is here and it is not published by NVIDIA.
    """

    name: str
    preset: Preset
    location: str | Path
    sampling: Sampling
    settings: ModelSettings
    loras: tuple[Lora, ...]
    device: torch.device
    dtype: torch.dtype
    folder: Path | None
    checkpoint: Path | None
    model: Architecture | None

    @property
    def size(self) -> tuple[int, int]:
        """The frame size to reckon with where none is named: height and width in pixels."""
        return self.preset.frame_size or _USUAL

    @property
    def rows(self) -> int:
        """Rows computed at once."""
        return self.settings.micro_batch or (1 if self.device.type == "cpu" else 4)

    def memory(
        self, size: tuple[int, int], settings: ModelSettings | None = None
    ) -> Footprint | None:
        """Estimates the memory it takes for frames of (height, width); None: nothing is known."""
        if self.model is None:
            return None
        chosen = settings or self.settings
        return estimate_memory(
            self.model,
            chosen,
            size,
            dtype=find_dtype(chosen.dtype, self.device),
            latents=self.model.latents if self.sampling.reasoned_steps else 2,
            rows=chosen.micro_batch or self.rows,
            on_cpu=self.device.type == "cpu",
            guided=self.sampling.guided,
            transformer=self.checkpoint,
        )

    def check_memory(self) -> None:
        """Refuses what cannot fit, even for the smallest frames and one row.

        Raises:
            InvalidConfig: There is too little memory; the sentence says what would fit.
        """
        size = self.preset.frame_size or _SMALLEST
        alone = replace(self.settings, micro_batch=1)
        need = self.memory(size, alone)
        if need is None:
            return
        short = self.shortage(need)
        if short is not None:
            raise InvalidConfig(f"{self.name} {short}; {self.advice(size, alone)}")

    def shortage(self, need: Footprint) -> str | None:
        """Says what is missing of a footprint, in the middle of a sentence; None: it fits."""
        free = free_memory(self.device)
        if need.device > free:
            return (
                f"needs about {need.device / GIB:.1f} GiB on {self.device}, "
                f"of which {free / GIB:.1f} are free"
            )
        waiting = 0 if self.device.type == "cpu" else need.host
        if waiting and waiting > free_memory(torch.device("cpu")):
            free = free_memory(torch.device("cpu"))
            return (
                f"needs about {need.host / GIB:.1f} GiB of main memory for what is offloaded, "
                f"of which {free / GIB:.1f} are free"
            )
        return None

    def advice(self, size: tuple[int, int], settings: ModelSettings | None = None) -> str:
        """Says what would fit: the fastest way into less memory, or another preset."""
        given = settings or self.settings
        on_cpu = self.device.type == "cpu"
        for how, cheaper in cheaper_settings(given, on_cpu=on_cpu):
            need = self.memory(size, cheaper)
            if need is not None and self.shortage(need) is None:
                return f"{how} would fit in {need.device / GIB:.1f} GiB"
        return "nothing that makes it smaller would fit: take nano, or a machine with more memory"
