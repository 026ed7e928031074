"""What any model takes on any GPU, by its settings alone: ChronoEdit, its rivals, its enhancers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from chronosim.errors import InvalidConfig, ModelNotFound
from chronosim.models.engine.denoising import build_scheduler
from chronosim.models.loading.architecture import (
    CHRONOEDIT_14B,
    Architecture,
    autoencoder_flops,
    forward_flops,
)
from chronosim.models.loading.cards import (
    Outlook,
    Way,
    Work,
    explain_anywhere,
    explain_on,
    find_card,
    say,
)
from chronosim.models.loading.placement import GIB, SPARE, Stage, working_memory
from chronosim.models.loading.plan import explain, plan_model
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.rivals.if_edit import IfEditSettings, kept_latents
from chronosim.settings import parts

Size = tuple[int, int]
_CHRONOEDIT = "chronosim.models.load"


@dataclass(frozen=True, slots=True)
class _Network:
    """A network: weights, bytes for each of them, and bytes beside them while it computes."""

    parameters: int
    number: int
    working: int = 0

    @property
    def size(self) -> int:
        return self.parameters * self.number


def explain_model(
    target: str, values: Mapping[str, Any], *, gpu: str | None = None, size: Size | None = None
) -> str:
    """Describes what a model needs, before anything of it is loaded or fetched.

    Args:
        target: The function or class that makes it, as its YAML names it.
        values: Its settings.
        gpu: A key of `CARDS`; None: this machine, and all of them for comparison.
        size: The frames' height and width in pixels; None: what the model's authors use.

    Raises:
        InvalidConfig: A setting that cannot work, or a model that has no weights of its own.
        ModelNotFound: Its shape is unknown before it is here.
    """
    if target == _CHRONOEDIT:
        return explain(_plan(values, gpu), size)
    outlook = _outlook(target, values, size)
    if gpu is not None:
        return explain_on(outlook, find_card(gpu))
    return "\n".join([*outlook.head, *explain_anywhere(outlook), *outlook.notes])


def _plan(values: Mapping[str, Any], gpu: str | None) -> Any:
    here = torch.cuda.is_available()
    wants = values.get("offload") or str(values.get("device")).startswith("cuda")
    if gpu is None and wants and not here:
        gpu = "any"  # what keeps weights off a GPU, or asks for one, is meant for one
    return plan_model(**values, gpu=gpu)


def _outlook(target: str, values: Mapping[str, Any], size: Size | None) -> Outlook:
    if target == _CHRONOEDIT:
        return plan_model(**values, gpu="any").outlook(size)
    if target == "chronosim.models.load_if_edit":
        return _if_edit(dict(values), size or (480, 832))
    if target == "chronosim.models.load_editor":
        return _editor(values, size)
    if target == "chronosim.models.load_guarded":
        return _inner(values, size)
    if target == "chronosim.models.load_replicas":
        asked = _inner({**values, "model": values["of"]}, size)
        head = [f"replicas    {values.get('replicas', 2)}, each of which takes:", *asked.head]
        return replace(asked, head=head)
    if target == "chronosim.models.load_enhanced":
        return _enhanced(values, size)
    raise InvalidConfig(
        "explain is for a ChronoEdit, by a preset's name or a folder, for a rival and for an "
        f"enhanced model, not for {target}"
    )


def _ways(networks: Mapping[str, _Network], work: Work, *, prefix: str = "model.") -> list[Way]:
    """As diffusers' pipelines load: all through main memory; then all, or one at a time, moves."""
    whole = sum(network.size for network in networks.values())
    staged = Stage("loading", SPARE, whole)
    together = [
        Stage(f"{name} computes", whole + network.working + SPARE, 0)
        for name, network in networks.items()
    ]
    alone = [
        Stage(f"{name} computes", network.size + network.working + SPARE, whole)
        for name, network in networks.items()
    ]
    loaded = replace(staged, device=whole + SPARE)
    return [
        Way(say({"offload": False}, prefix), [loaded, *together], work),
        # diffusers copies back what leaves, so that all weights go both ways.
        Way(say({"offload": True}, prefix), [staged, *alone], replace(work, moved=2 * whole)),
    ]


def _rival(
    location: str, networks: Mapping[str, _Network], work: Work, size: Size, *, offload: bool
) -> Outlook:
    ways = _ways(networks, work)
    head = [f"model       {location}"]
    head += [
        f"  {name:<20}{network.parameters / 1e9:5.2f} billion weights, {network.size / GIB:.1f} GiB"
        for name, network in networks.items()
    ]
    total = sum(network.size for network in networks.values()) / GIB
    head.append(f"download    about {total:.1f} GiB where published in these formats, LoRAs apart")
    return Outlook(head, ways[int(offload)], ways, size)


# Shapes from the published configs; weights counted by building the networks on the meta device.
_TEXT = CHRONOEDIT_14B.parameters["text_encoder"]
_A14B = replace(CHRONOEDIT_14B, vision_tokens=0)
_TI2V = replace(
    CHRONOEDIT_14B,
    layers=30,
    width=3072,
    feed_forward=14336,
    inputs=48,
    outputs=48,
    vision_tokens=0,
    latent_side=16,
    vae_width=256,
    vae_patch=2,
)
_WAN: Mapping[str, tuple[Architecture, int, int, int]] = MappingProxyType(
    {
        # Its shape, experts, weights of each, weights of the autoencoder.
        "Wan-AI/Wan2.2-I2V-A14B-Diffusers": (_A14B, 2, 14_288_901_184, 126_892_531),
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers": (_TI2V, 1, 4_999_787_712, 704_688_668),
    }
)


def _if_edit(values: dict[str, Any], size: Size) -> Outlook:
    location, offload = str(values.pop("location")), bool(values.pop("offload", False))
    for name in ("loras", "device", "dtype", "revision"):
        values.pop(name, None)
    settings = IfEditSettings(**values)
    if location not in _WAN:
        raise ModelNotFound(
            f"nothing is known of {location} before it is here; known are {', '.join(_WAN)}"
        )
    model, experts, weights, vae = _WAN[location]
    latents = (settings.frames - 1) // 4 + 1
    work = working_memory(
        model, ModelSettings(), size, number=2, latents=latents, rows=1, guided=False
    )
    networks = {"text encoder": _Network(_TEXT, 2)}
    for expert in range(experts):
        name = "transformer" if experts == 1 else f"expert {expert + 1}"
        networks[name] = _Network(weights, 2, work["transformer"])
    networks["autoencoder"] = _Network(vae, 4, work["vae"])
    flops, exact = _film(settings, model, latents, size)
    return _rival(location, networks, Work(flops=flops, exact_flops=exact), size, offload=offload)


def _film(
    settings: IfEditSettings, model: Architecture, latents: int, size: Size
) -> tuple[float, float]:
    """FLOPs of the film and of the still one, and of the autoencoder."""
    config = UniPCMultistepScheduler(use_flow_sigmas=True).config
    scheduler = build_scheduler(config, settings.sampling)
    scheduler.set_timesteps(settings.denoising_steps)
    below = int((scheduler.timesteps < settings.drop_below * 1000).sum())
    kept = len(kept_latents(latents, settings.keep_every if settings.drop_below else 1))
    still = (settings.still_frames - 1) // 4 + 1 if settings.refine else 0
    forwards = 2 if settings.sampling.guided else 1
    steps = (
        (settings.denoising_steps - below) * forward_flops(model, model.tokens(size, latents)),
        below * forward_flops(model, model.tokens(size, kept)),
        settings.denoising_steps * forward_flops(model, model.tokens(size, still)),
    )
    pixels = size[0] * size[1] / model.vae_patch**2 * (model.vae_width / 96) ** 2
    exact = autoencoder_flops(pixels, settings.frames, kept)
    exact += autoencoder_flops(pixels, settings.still_frames if still else 0, still)
    return forwards * sum(steps), exact


def _editor(values: Mapping[str, Any], size: Size | None) -> Outlook:
    location, settings = str(values["location"]), dict(values.get("settings") or {})
    offload = bool(values.get("offload"))
    known = {"Qwen/Qwen-Image-Edit": _qwen_image, "timbrooks/instruct-pix2pix": _pix2pix}
    if location not in known:
        raise ModelNotFound(
            f"nothing is known of {location} before it is here; known are {', '.join(known)}"
        )
    networks, work, size = known[location](settings, size)
    return _rival(location, networks, work, size, offload=offload)


def _qwen_image(
    settings: Mapping[str, Any], size: Size | None
) -> tuple[dict[str, _Network], Work, Size]:
    """Sixty blocks of two streams: the words', and that of the outcome beside the frame."""
    size = size or (1024, 1024)
    layers, width, words = 60, 3072, 700  # words: of the frame in the text encoder, and the text's
    tokens = size[0] * size[1] // 256 + 4096  # the frame comes in at 1024 x 1024
    stream = 12 * width * width  # projections and feed-forward
    forward = layers * (2 * (tokens + words) * stream + 4 * (tokens + words) ** 2 * width)
    guided = float(settings.get("true_cfg_scale") or 1) > 1 and settings.get("negative_prompt")
    steps = int(settings.get("num_inference_steps") or 50) * (2 if guided else 1)
    pixels = size[0] * size[1]
    alive = (tokens + words) * (2 * 2 * 4 * width + 12 * width)
    networks = {
        "text encoder": _Network(8_292_166_656, 2, GIB),
        "transformer": _Network(20_430_401_088, 2, alive),
        "autoencoder": _Network(126_892_531, 4, pixels * 19_800),
    }
    work = Work(flops=steps * forward, exact_flops=autoencoder_flops(pixels, 1, 1))
    return networks, work, size


def _pix2pix(
    settings: Mapping[str, Any], size: Size | None
) -> tuple[dict[str, _Network], Work, Size]:
    """Three forwards a step, in one batch: 2.41 TFLOP at 512 x 512, counted on the meta device."""
    size = size or (512, 512)
    pixels = size[0] * size[1]
    steps = int(settings.get("num_inference_steps") or 100)
    networks = {
        "text encoder": _Network(123_060_480, 2),
        "network": _Network(859_532_484, 2, pixels * 3 * 1000),
        "autoencoder": _Network(83_653_863, 4, pixels * 10_000),
        "safety checker": _Network(304_000_000, 2),
    }
    work = Work(flops=steps * 2.41e12 * pixels / 512**2, exact_flops=pixels * 14.4e6)
    return networks, work, size


# Weights, and those read for a word: of a mixture of experts the three billion that are active.
_WRITERS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "Qwen/Qwen3-VL-8B-Instruct": (8_767_123_696, 8_767_123_696),
        "Qwen/Qwen3-VL-30B-A3B-Instruct": (31_070_754_032, 3_900_000_000),
        "Qwen/Qwen2.5-VL-7B-Instruct": (8_292_166_656, 8_292_166_656),
    }
)
_WRITING = 1.5 * GIB  # beside the weights: what a frame and some hundred words leave; assumed
_WORDS = 130  # tokens of a prompt of 80 to 100 words


def _inner(values: Mapping[str, Any], size: Size | None) -> Outlook:
    """That of the model that another one is around."""
    name = str(values.get("model", "chronoedit-14b"))
    known = name in parts.names("model")
    inner = parts.describe("model", name) if known else {"_target_": _CHRONOEDIT, "name": name}
    target = str(inner.pop("_target_"))
    inner |= dict(values.get("settings") or {})
    return _outlook(target, inner, size)


def _enhanced(values: Mapping[str, Any], size: Size | None) -> Outlook:
    asked = _inner(values, size)
    writer = dict(values.get("writer") or {})
    if not str(writer.get("_target_", "")).endswith("load_writer"):
        head = [*asked.head, f"enhancer    {writer.get('model')}, at {writer.get('url')}"]
        return replace(asked, head=head)
    called = str(writer.get("name", "Qwen/Qwen3-VL-30B-A3B-Instruct"))
    if called not in _WRITERS:
        raise ModelNotFound(
            f"nothing is known of {called} before it is here; known are {', '.join(_WRITERS)}"
        )
    weights, read = (2 * count for count in _WRITERS[called])
    head = [
        *asked.head,
        f"enhancer    {called}, {weights / GIB:.1f} GiB to download; on the GPU while it writes",
    ]
    return replace(
        asked,
        head=head,
        chosen=_told(asked.chosen, weights, read),
        ways=[_told(way, weights, read) for way in asked.ways],
    )


def _told(way: Way, weights: int, read: int) -> Way:
    """A way with an enhancer before it: main memory keeps it, and the GPU while it writes."""
    stages = [replace(stage, host=stage.host + weights) for stage in way.stages]
    idle = [stage for stage in stages if stage.name.startswith("loading")][-1]
    writing = idle.device + weights + round(_WRITING)
    if way.stages[-1].host:
        writing += GIB // 2  # the autoencoder, which stays until another network's turn
    settings = ", ".join(
        setting.removeprefix("model.").replace("=", ": ") for setting in way.settings.split()
    )
    return Way(
        f"'model.settings={{{settings}}}'" if settings else "",
        [
            Stage("loading the enhancer", SPARE, weights),
            *stages,
            Stage("the enhancer writes", writing, stages[-1].host),
        ],
        replace(way.work, words=_WORDS, read=read, moved=way.work.moved + weights),
    )
