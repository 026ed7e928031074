"""diffusers' own ChronoEdit pipeline as a world model, and the prompts that both are timed on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import chain
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from diffusers.models.transformers.transformer_chronoedit import WanAttnProcessor
from jaxtyping import UInt8
from PIL import Image
from torch import nn

from chronosim.bench.timing import Contender
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.models.engine.components import Components
from chronosim.models.engine.denoising import build_scheduler
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.quiet import no_warnings
from chronosim.protocols import Prompter
from chronosim.simulators.reference import ReferenceSimulator
from chronosim.types import EditPrompt, Observation, Prediction, Trajectory

_hf: Any = diffusers  # untyped


class StockChronoEdit:
    """`ChronoEditPipeline` on the weights of an engine, as diffusers ships it.

    It takes one frame at a time: different frames in one call raise in diffusers 0.42. It gives
    frames in between only where every denoising step reasons.

    Args:
        components: Whose weights it shares; its modules are copies, as diffusers made them.
        sampling: Steps, guidance, flow shift and scheduler; reasoning is all or none.

    Attributes:
        transformer: Its own copy.
    """

    def __init__(self, components: Components, sampling: Sampling) -> None:
        self.sampling = sampling
        self._latents = components.latents
        self.transformer = twin(components.transformer)
        with no_warnings():  # of another image processor than ours, on being imported only now
            pipeline = _hf.ChronoEditPipeline
        self._pipeline: Any = pipeline(
            components.tokenizer,
            twin(components.text_encoder),
            twin(components.image_encoder),
            components.image_processor,
            self.transformer,
            twin(components.vae),
            build_scheduler(components.scheduler.config, sampling),
        )
        self._pipeline.set_progress_bar_config(disable=True)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Names the pipeline and its version."""
        return {"name": "diffusers' ChronoEditPipeline", "version": version("diffusers")}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt, one after the other."""
        return [self._predict(prompt) for prompt in prompts]

    def _predict(self, prompt: EditPrompt) -> Prediction:
        reasons = self.sampling.reasoned_steps > 0
        [frames] = self._pipeline(
            image=Image.fromarray(prompt.frame),
            prompt=prompt.text,
            height=prompt.frame.shape[0],
            width=prompt.frame.shape[1],
            num_frames=4 * (self._latents - 1) + 1,
            num_inference_steps=self.sampling.denoising_steps,
            guidance_scale=self.sampling.guidance,
            generator=torch.Generator().manual_seed(prompt.seed),
            enable_temporal_reasoning=reasons,
            num_temporal_reasoning_steps=self.sampling.reasoned_steps,
        ).frames
        video = (frames * 255).round().astype(np.uint8)
        # The observed frame again, the frames in between, and the outcome four times.
        return Prediction(np.concatenate([video[1:-4], video[-1:]]) if reasons else video[-1:])


def twin(network: Any) -> Any:
    """Copies a network without its weights, which both share, and as the libraries made it.

    Args:
        network: Perhaps with our attention, our convolutions, or compiled.
    """
    tensors = chain(network.parameters(), network.buffers())
    copied = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    processor: Any = WanAttnProcessor  # untyped
    for block in getattr(copied, "blocks", ()):
        for attention in (block.attn1, block.attn2):
            attention.unfuse_projections()
            attention.set_processor(processor())
    for module in copied.modules():
        module._compiled_call_impl = None
        if isinstance(module, WanCausalConv3d):
            module.__class__ = WanCausalConv3d
    assert isinstance(copied, nn.Module)
    return copied


def pit(model: ChronoEdit, few: int, *, stock: bool = True) -> list[Contender]:
    """Pits an engine's ways to an outcome, and to a preview, against the stock pipeline's.

    Args:
        model: The engine; the others share its weights and sample as it does.
        few: Reasoning steps of the quick preview, at most the denoising steps.
        stock: Whether the stock pipeline takes part.

    Returns:
        For each kind the engine's ways, then the stock pipeline.

    Raises:
        InvalidConfig: `few` is out of range.
    """
    parts = model.components

    def forget() -> None:  # the stock pipeline remembers nothing, so ours must not either
        for memo in (parts.texts, parts.frames, parts.conditions):
            memo.clear()

    alone = replace(model.sampling, reasoning_steps=0)
    full = replace(model.sampling, reasoning_steps="all", decode_trajectory=True)
    early = replace(full, reasoning_steps=few)
    drop = f"{few} of {full.denoising_steps} steps reason"
    ours = [
        ("outcome: chronosim", "outcome", alone),
        ("preview: chronosim, full reasoning", "preview", full),
        (f"preview: chronosim, {drop}", "preview", early),
    ]
    own = parts.transformer
    found = [Contender(n, model.resampled(s), kind, s, own, forget=forget) for n, kind, s in ours]
    if stock:
        for at, kind, sampling in ((1, "outcome", alone), (4, "preview", full)):
            name = f"{kind}: stock" + (", full reasoning" if kind == "preview" else "")
            theirs = StockChronoEdit(parts, sampling)
            one = Contender(name, theirs, kind, sampling, theirs.transformer, stock=True)
            found.insert(at, one)
    return found


_SETTLE = 3  # held actions before the first step that counts: an episode begins standing still
_BLOCK = 8  # pixels of a block


def draw_drive(
    simulator: ReferenceSimulator,
    prompter: Prompter,
    policy: Callable[[Observation], Any],
    number: int,
    seed: int,
) -> tuple[list[EditPrompt], list[Trajectory]]:
    """Drives on in the reference simulator, through as many episodes as it takes.

    Args:
        simulator: Shows what truly happens.
        prompter: Words the actions.
        policy: Who drives.
        number: Of steps.
        seed: Of the first episode, and of the prompts' noise.

    Returns:
        What a model is asked at each step, and what truly came of it.
    """
    prompts: list[EditPrompt] = []
    truth: list[Trajectory] = []
    episode = seed
    while len(prompts) < number:
        frame, values = simulator.reset(episode)
        observation, ended, taken = Observation(frame, prompter.begin(values)), False, 0
        while not ended and len(prompts) < number:
            action = policy(observation)
            text, state = prompter(observation, action)
            happened, _, ended = simulator.step(action)
            assert happened is not None  # it was drawn
            if taken >= _SETTLE:
                prompts.append(EditPrompt(observation.frame, text, seed + len(prompts)))
                truth.append(happened.trajectory)
            taken += 1
            observation = Observation(happened.frame, state, taken)
        episode += 1
    return prompts, truth


def random_frames(
    number: int, size: tuple[int, int], seed: int
) -> list[UInt8[np.ndarray, "height width 3"]]:
    """Draws frames of coloured blocks."""
    rng = np.random.default_rng(seed)
    rows, columns = (-(-side // _BLOCK) for side in size)
    blocks = rng.integers(0, 256, (number, rows, columns, 3), np.uint8)
    large = blocks.repeat(_BLOCK, axis=1).repeat(_BLOCK, axis=2)
    return list(large[:, : size[0], : size[1]].copy())
