"""What a model would load, how much memory and arithmetic it takes: a plan in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from huggingface_hub import constants

from chronosim.errors import ModelNotFound
from chronosim.models.architecture import PARTS
from chronosim.models.cost import Cost, estimate_cost
from chronosim.models.memory import GIB, Footprint, free_memory
from chronosim.models.plan import Plan
from chronosim.models.sources import find_file

__all__ = ["explain"]


def explain(plan: Plan, size: tuple[int, int] | None = None) -> str:
    """Describes a plan; all sizes are estimates, read off configs and file headers.

    Args:
        plan: From `plan_model`.
        size: The frames' height and width in pixels; None: the preset's own, or 720 x 1280.

    Returns:
        Lines of text.

    Raises:
        ModelNotFound: Nothing of the model is here, and its shape is not a published one.
    """
    size = size or plan.size
    need = plan.memory(size)
    if plan.model is None or need is None:
        raise ModelNotFound(
            f"nothing is known of {plan.location} before it is here: get it with "
            f"`hf download {plan.location}`"
        )
    cost = estimate_cost(plan.model, plan.sampling, size)
    return "\n".join(
        [
            *_model(plan),
            *_files(plan, need),
            *_memory(plan, need, size),
            *_arithmetic(plan, cost),
        ]
    )


def _model(plan: Plan) -> Iterator[str]:
    sampling, dtype = plan.sampling, str(plan.dtype).removeprefix("torch.")
    guidance = f"guidance {sampling.guidance:g}" if sampling.guided else "no guidance"
    yield f"model       {plan.name}"
    yield (
        f"sampling    {sampling.denoising_steps} denoising steps, "
        f"{sampling.reasoned_steps} of them with reasoning, {guidance}, "
        f"flow shift {sampling.flow_shift:g}, {sampling.scheduler}"
    )
    yield f"computes    on {plan.device}, {dtype}, {plan.rows} rows at once"


def _files(plan: Plan, need: Footprint) -> Iterator[str]:
    settings = plan.settings
    if plan.folder is not None:
        yield f"files       {plan.folder}"
    else:
        cache = settings.cache or constants.HF_HUB_CACHE
        endpoint = settings.endpoint or constants.ENDPOINT
        yield f"files       {plan.location}, to download from {endpoint}; it is not in {cache}"
    for part in PARTS:
        own = part == "transformer" and settings.transformer is not None
        place = f"  {settings.transformer}" if own else ""
        yield f"  {part:<20}{_gib(need.weights[part])} of weights once loaded{place}"
    for lora in plan.loras:
        found = find_file(lora.location, settings, plan.folder)
        state = "to download" if found is None else f"{_size(found)}, {found}"
        yield f"  LoRA x {lora.weight:<13g}{lora.location} ({state})"


def _memory(plan: Plan, need: Footprint, size: tuple[int, int]) -> Iterator[str]:
    free = free_memory(plan.device)
    most = max(need.working, key=lambda part: need.working[part])
    yield (
        f"memory      about {need.device / GIB:.1f} GiB on {plan.device} at {size[0]} x {size[1]}, "
        f"{need.working[most] / GIB:.1f} of it while the {_words(most)} computes; "
        f"{free / GIB:.1f} are free"
    )
    if need.host:
        ram = free_memory(torch.device("cpu"))
        yield (
            f"            about {need.host / GIB:.1f} GiB wait in main memory; "
            f"{ram / GIB:.1f} are free"
        )
    if plan.shortage(need) is not None:
        yield f"            too little: {plan.advice(size)}"


def _arithmetic(plan: Plan, cost: Cost) -> Iterator[str]:
    yield f"arithmetic  {_flops(cost.plain)} a denoising step"
    yield (
        f"            {_flops(cost.reasoning)} one with reasoning: each adds "
        f"{_flops(cost.reasoning - cost.plain)}, as much as "
        f"{cost.reasoning / cost.plain - 1:.1f} more steps"
    )
    yield (
        f"            {_flops(cost.prediction)} a prediction, encoders and autoencoder not counted"
    )


def _flops(value: int) -> str:
    for unit, size in (("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if value >= size:
            return f"{value / size:,.3g} {unit}"
    return f"{value / 1e6:,.3g} MFLOP"


def _gib(size: int) -> str:
    return f"{size / GIB:6.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:6.2f} MiB"


def _size(path: Path) -> str:
    return _gib(path.stat().st_size).strip()


def _words(part: str) -> str:
    return {"vae": "autoencoder"}.get(part, part.replace("_", " "))
