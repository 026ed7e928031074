"""Gives a world model by a preset's name, from a local folder, or from the model hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.models.engine.parallel import join_processes
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.plan import plan_model
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.weights import load_components
from chronosim.settings.typed import Fields


def load(
    name: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    check_memory: bool = True,
    **settings: Annotated[Any, Fields((ModelSettings, Sampling))],
) -> ChronoEdit:
    """Loads a world model by a preset's name, from a local folder, or from the model hub.

    Args:
        name: A key of `PRESETS`, a local folder in diffusers' format, or a hub id (owner/name).
        progress: Called with the denoising steps done and all of the call's.
        check_memory: Whether to refuse, before anything is loaded, what is estimated not to fit.
        **settings: Fields of `ModelSettings` (`device="cuda"`, `offload="model"`, `loras=[...]`
            ...) and of `Sampling` (`denoising_steps=8` ...).

    Raises:
        InvalidConfig: An unknown name, device, dtype or setting, or too little memory; parallel
            without torchrun.
        ModelNotFound: The weights, or one of their files, are missing.
        InvalidModel: The files are there but are no ChronoEdit that can work.
        MissingDependency: A quantiser, or the reader of a file, is not installed.
    """
    if settings.get("parallel") == "ulysses":
        join_processes()  # before a device is chosen: each process has its own
    plan = plan_model(name, **settings)
    if check_memory:
        plan.check_memory()
    components = load_components(plan.location, plan.settings, plan.loras)
    if plan.folder is None:  # its own scheduler is known now
        plan = plan_model(name, **settings)
    return ChronoEdit(
        components,
        plan.sampling,
        name=plan.name,
        revision=plan.settings.revision,
        frame_size=plan.preset.frame_size,
        micro_batch=plan.settings.micro_batch,
        batched_guidance=plan.settings.batched_guidance,
        progress=progress,
    )
