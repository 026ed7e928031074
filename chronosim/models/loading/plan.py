"""What a model would load and need, found out before anything is loaded or downloaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants

from chronosim.errors import InvalidConfig, ModelNotFound
from chronosim.models.engine.denoising import read_scheduler
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.architecture import (
    CHRONOEDIT_14B,
    PARTS,
    PUBLISHED_BYTES,
    Architecture,
    Cost,
    estimate_cost,
    read_architecture,
)
from chronosim.models.loading.cards import (
    Card,
    Outlook,
    Way,
    Work,
    count_flops,
    explain_anywhere,
    explain_on,
    find_card,
    say,
    smallest_card,
)
from chronosim.models.loading.lora_scale import read_scales
from chronosim.models.loading.placement import (
    GIB,
    Footprint,
    cheaper_settings,
    estimate_memory,
    free_memory,
    part_words,
)
from chronosim.models.loading.places import find_device, find_dtype
from chronosim.models.loading.presets import PRESETS, Lora, Preset
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.sources import find_file, find_folder, find_lora, read_json


def plan_model(name: str | Path, *, gpu: str | None = None, **settings: Any) -> LoadPlan:
    """Finds out what a model will load and need; nothing is loaded or downloaded.

    Args:
        name: A key of `PRESETS`, a local folder in diffusers' format, or a hub id (owner/name).
        gpu: A key of `CARDS`: plans for that GPU, which need not be here; "any": for the smallest
            that holds it; None: for this machine.
        **settings: Fields of `ModelSettings` and of `Sampling`.

    Raises:
        InvalidConfig: An unknown name, device, dtype or setting, or one that the preset excludes.
        ModelNotFound: A local folder or file that is not there.
        InvalidModel: The configs, or a weight file's header, are not ChronoEdit's.
    """
    given, changes = _split(settings)
    chosen = _choose(name, given.preset)
    location: str | Path = name
    if name in PRESETS:
        location = _shipped(chosen) if chosen.shipped else chosen.location
    device = find_device(given.device) if gpu is None else torch.device("cuda")
    dtype = find_dtype(given.dtype, device)
    _check_device(given, device)
    if given.slicing is None:  # a small model's frames are decoded together, as they are fast
        given = replace(given, slicing=chosen.frame_size is None)
    folder = find_folder(location, given)
    if folder is not None and not chosen.shipped:
        named = str(name) if name in PRESETS else given.preset
        changes = _own_scheduler(folder, named, changes) | changes
    sampling = _change(str(name), chosen, changes)
    source = given.transformer
    checkpoint = None if source is None else find_file(source, given, folder)
    loras = given.read_loras()
    plan = LoadPlan(
        name=str(name),
        preset=chosen,
        location=location,
        sampling=sampling,
        settings=given,
        loras=chosen.loras if loras is None else loras,
        device=device,
        dtype=dtype,
        folder=folder,
        checkpoint=checkpoint,
        model=_architecture(location, folder, checkpoint),
    )
    if gpu is None:
        return plan
    name = smallest_card(plan.outlook()) if gpu == "any" else gpu
    return replace(plan, card=find_card(name))


def _split(settings: Mapping[str, Any]) -> tuple[ModelSettings, dict[str, Any]]:
    loading = [field.name for field in fields(ModelSettings)]
    sampling = [field.name for field in fields(Sampling)]
    for name in settings:
        if name not in (*loading, *sampling):
            known = ", ".join((*sampling, *loading))
            raise InvalidConfig(f"a model has no setting {name!r}; it has {known}")
    ours = {name: value for name, value in settings.items() if name in loading}
    changes = {n: v for n, v in settings.items() if n in sampling and v is not None}
    return ModelSettings(**ours), changes


def _choose(model: str | Path, preset: str | None) -> Preset:
    """The preset whose settings apply."""
    if model in PRESETS:
        if preset not in (None, model):
            raise InvalidConfig(
                f"{str(model)!r} is a preset itself: name another one ({preset!r}) only with "
                "a folder or a hub id"
            )
        preset = str(model)
    elif "/" not in str(model) and not Path(model).exists():
        raise InvalidConfig(
            f"there is no model {str(model)!r}: give one of {', '.join(PRESETS)}, "
            "a local folder, or a hub id such as nvidia/ChronoEdit-14B-Diffusers"
        )
    chosen = PRESETS[preset or "chronoedit-14b"]
    if chosen.unpublished is not None:
        raise InvalidConfig(chosen.unpublished)
    return chosen


def _own_scheduler(folder: Path, preset: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a folder's own scheduler asks for; a preset that is named has its own settings."""
    path = folder / "scheduler" / "scheduler_config.json"
    if "scheduler" in changes or not path.is_file():
        return {}
    config = read_json(path)
    own = read_scheduler(config)
    ours = "unipc" if preset is None else PRESETS[preset].sampling.scheduler
    if own is not None and preset is None:
        return own
    if own is not None and own["scheduler"] == ours:
        return {}
    way = "" if own is None else f"scheduler=euler flow_shift={own['flow_shift']} samples so, "
    raise InvalidConfig(
        f"{path} describes a {config.get('_class_name')} that {preset or 'chronosim'} does not "
        f"sample by: {way}scheduler={ours} as the preset does"
    )


def _change(name: str, preset: Preset, changes: dict[str, Any]) -> Sampling:
    sampling = replace(preset.sampling, **changes)
    if preset.distilled and sampling.guided:
        raise InvalidConfig(
            f"{name} has its guidance built in: it must stay at {preset.sampling.guidance:g}, "
            f"not {sampling.guidance:g} (chronoedit-14b takes one)"
        )
    return sampling


def _check_device(settings: ModelSettings, device: torch.device) -> None:
    if device.type == "cpu" and settings.offload is not None:
        raise InvalidConfig(
            f"offload={settings.offload} keeps weights off a GPU, but this model computes on the "
            "cpu: drop it, or take device=cuda"
        )


def _shipped(preset: Preset) -> Path:
    return Path(str(resources.files("chronosim.models"))) / preset.location


def _architecture(
    location: str | Path, folder: Path | None, checkpoint: Path | None
) -> Architecture | None:
    if folder is not None:
        return read_architecture(folder, checkpoint)
    published = {preset.location for preset in PRESETS.values() if not preset.shipped}
    return CHRONOEDIT_14B if location in published else None


_SMALLEST = (480, 832)  # the smallest frames that Wan2.1 was trained at, and so ChronoEdit
_USUAL = (720, 1280)  # what ChronoEdit's own scripts fit to


@dataclass(frozen=True, slots=True, eq=False)
class LoadPlan:
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
        card: The GPU that it is planned for; None: this machine.
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
    card: Card | None = None

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
        if self.card is not None:
            missing = need.device > self.card.memory
            return f"needs about {need.device / GIB:.1f} GiB on the GPU" if missing else None
        free = free_memory(self.device)
        if need.device > free:
            return (
                f"needs about {need.device / GIB:.1f} GiB on {self.device}, "
                f"of which {free / GIB:.1f} are free"
            )
        free = free_memory(torch.device("cpu"))
        if need.host > free:
            return (
                f"needs about {need.host / GIB:.1f} GiB of main memory, while it is loaded and "
                f"while weights wait, of which {free / GIB:.1f} are free"
            )
        return None

    def advice(self, size: tuple[int, int], settings: ModelSettings | None = None) -> str:
        """Says what would fit: the fastest way into less memory, or another preset."""
        given = settings or self.settings
        on_cpu = self.device.type == "cpu"
        for how, cheaper in cheaper_settings(given, on_cpu=on_cpu):
            need = self.memory(size, cheaper)
            if need is not None and self.shortage(need) is None:
                return f"{say(how, '')} would fit in {need.device / GIB:.1f} GiB"
        return "nothing that makes it smaller would fit: take nano, or a machine with more memory"

    def outlook(self, size: tuple[int, int] | None = None) -> Outlook:
        """Gives what it would take on any GPU.

        Args:
            size: The frames' height and width in pixels; None: the preset's own, or 720 x 1280.

        Raises:
            ModelNotFound: Nothing of the model is here, and its shape is not a published one.
        """
        size = size or self.size
        need = self.memory(size)
        if self.model is None or need is None:
            raise ModelNotFound(
                f"nothing is known of {self.location} before it is here: get it with "
                f"`hf download {self.location}`"
            )
        there = replace(self, device=torch.device("cuda"))
        alone = replace(
            self.settings, offload=None, storage=None, pinned=True, tiling=False, micro_batch=1
        )
        ways: list[tuple[Mapping[str, Any], ModelSettings]] = [({}, alone)]
        ways += cheaper_settings(alone, on_cpu=False)
        return Outlook(
            [*_model(self), *_files(self, need)],
            there._way(size, {}, self.settings),
            [there._way(size, how, settings) for how, settings in ways],
            size,
        )

    def _way(self, size: tuple[int, int], how: Mapping[str, Any], settings: ModelSettings) -> Way:
        need = self.memory(size, settings)
        assert need is not None
        assert self.model is not None
        cost, weights = estimate_cost(self.model, self.sampling, size), need.weights
        exact, moved, streamed = settings.vae_dtype in (None, "float32"), 0.0, 0.0
        if settings.offload == "model":
            moved = sum(weights.values())
        elif settings.offload == "group":
            blocks = self.model.block_parameters / self.model.parameters["transformer"]
            streamed = cost.forwards * weights["transformer"] * blocks
            if not settings.pinned:
                moved, streamed = streamed, 0.0
            moved += weights["text_encoder"]
        return Way(
            say(how),
            need.stages,
            Work(
                flops=cost.prediction + (0 if exact else cost.autoencoder),
                exact_flops=cost.autoencoder if exact else 0,
                moved=moved,
                streamed=streamed,
            ),
        )


def explain(plan: LoadPlan, size: tuple[int, int] | None = None) -> str:
    """Describes a plan; all figures are estimates, read off configs and file headers.

    Args:
        plan: From `plan_model`.
        size: The frames' height and width in pixels; None: the preset's own, or 720 x 1280.

    Returns:
        Lines of text: for this machine, and what other GPUs would make of it; or for the plan's.

    Raises:
        ModelNotFound: Nothing of the model is here, and its shape is not a published one.
    """
    size = size or plan.size
    outlook = plan.outlook(size)
    where = plan.device if plan.card is None else f"a GPU that need not be here ({plan.card.name})"
    dtype = str(plan.dtype).removeprefix("torch.")
    computes = f"computes    on {where}, {dtype}, {plan.rows} rows at once"
    outlook = replace(outlook, head=[*outlook.head, computes])
    if plan.card is not None:
        return explain_on(outlook, plan.card)
    need = plan.memory(size)
    assert need is not None
    assert plan.model is not None
    cost = estimate_cost(plan.model, plan.sampling, size)
    lines = [*outlook.head, *_memory(plan, need, size), *_arithmetic(plan, cost)]
    return "\n".join([*lines, *([] if plan.preset.shipped else explain_anywhere(outlook))])


def _model(plan: LoadPlan) -> Iterator[str]:
    sampling = plan.sampling
    guidance = f"guidance {sampling.guidance:g}" if sampling.guided else "no guidance"
    yield f"model       {plan.name}"
    yield (
        f"sampling    {sampling.denoising_steps} denoising steps, "
        f"{sampling.reasoned_steps} of them with reasoning, {guidance}, "
        f"flow shift {sampling.flow_shift:g}, {sampling.scheduler}"
    )


def _files(plan: LoadPlan, need: Footprint) -> Iterator[str]:
    settings = plan.settings
    if plan.folder is not None:
        yield f"files       {plan.folder}"
    else:
        cache = settings.cache or constants.HF_HUB_CACHE
        endpoint = settings.endpoint or constants.ENDPOINT
        yield f"files       {plan.location}, to download from {endpoint}; it is not in {cache}"
        if plan.model is not None:
            yield f"  about {_download(plan, plan.model):.1f} GiB as published, LoRAs not counted"
    for part in PARTS:
        own = part == "transformer" and settings.transformer is not None
        place = f"  {settings.transformer}" if own else ""
        yield f"  {part:<20}{_gib(need.weights[part])} of weights once loaded{place}"
    for lora in plan.loras:
        found = find_lora(lora.location, settings, plan.folder)
        state = "to download" if found is None else f"{_size(found)}, {found}; {_scale(found)}"
        yield f"  LoRA x {lora.weight:<13g}{lora.location} ({state})"


def _download(plan: LoadPlan, model: Architecture) -> float:
    own = {"transformer"} if plan.settings.transformer is not None else set()
    size = sum(PUBLISHED_BYTES[part] * model.parameters[part] for part in {*PARTS} - own)
    return size / GIB


def _scale(lora: Path) -> str:
    scales = read_scales(lora)
    ends = dict.fromkeys([*scales.values[:1], *scales.values[-1:]])  # of one value only that
    return f"scale {' to '.join(f'{end:g}' for end in ends) or 1} ({scales.source})"


def _memory(plan: LoadPlan, need: Footprint, size: tuple[int, int]) -> Iterator[str]:
    free = free_memory(plan.device)
    most = max(need.working, key=lambda part: need.working[part])
    yield (
        f"memory      about {need.device / GIB:.1f} GiB on {plan.device} at {size[0]} x {size[1]}, "
        f"{need.working[most] / GIB:.1f} of it while the {part_words(most)} computes; "
        f"{free / GIB:.1f} are free"
    )
    if need.host:
        ram = free_memory(torch.device("cpu"))
        yield (
            f"            about {need.host / GIB:.1f} GiB of main memory while it is loaded and "
            f"while weights wait there; {ram / GIB:.1f} are free"
        )
    if plan.shortage(need) is not None:
        yield f"            too little: {plan.advice(size)}"


def _arithmetic(plan: LoadPlan, cost: Cost) -> Iterator[str]:
    yield f"arithmetic  {count_flops(cost.plain)} a denoising step"
    yield (
        f"            {count_flops(cost.reasoning)} one with reasoning: each adds "
        f"{count_flops(cost.reasoning - cost.plain)}, as much as "
        f"{cost.reasoning / cost.plain - 1:.1f} more steps"
    )
    number = plan.settings.vae_dtype or "float32"
    yield (
        f"            {count_flops(cost.prediction)} a prediction, "
        f"and {count_flops(cost.autoencoder)} of the autoencoder in {number}"
    )


def _gib(size: int) -> str:
    return f"{size / GIB:6.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:6.2f} MiB"


def _size(path: Path) -> str:
    return _gib(path.stat().st_size).strip()
