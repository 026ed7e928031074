"""How much arithmetic a prediction is, from the shape of a model alone."""

from __future__ import annotations

from dataclasses import dataclass

from chronosim.models.architecture import Architecture
from chronosim.models.sampling import Sampling

__all__ = ["Cost", "estimate_cost"]

_TEXT_TOKENS = 128  # of a long instruction; the engine folds the rest of the 512 away


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating-point operations, a multiplication and an addition counted as two.

    Attributes:
        plain: Of one denoising step without reasoning.
        reasoning: Of one in which the reasoning tokens take part.
        prediction: Of all denoising steps of a prediction.
    """

    plain: int
    reasoning: int
    prediction: int


def estimate_cost(model: Architecture, sampling: Sampling, size: tuple[int, int]) -> Cost:
    """Estimates the transformer's work; encoders and autoencoder come on top, once a prediction.

    Args:
        model: Its shape.
        sampling: Steps, and whether each is guided (two forwards).
        size: The frame's height and width, in pixels.
    """
    forwards = 2 if sampling.guided else 1
    plain = forwards * _forward(model, model.tokens(size, 2))
    reasoning = forwards * _forward(model, model.tokens(size, model.latents))
    reasoned = sampling.reasoned_steps
    rest = sampling.denoising_steps - reasoned
    return Cost(plain, reasoning, reasoned * reasoning + rest * plain)


def _forward(model: Architecture, tokens: int) -> int:
    """One forward of the transformer; keys and values of text and frame are computed once before.

    In a block: four projections and the products of self-attention, two projections and the
    products of cross-attention, and the feed-forward layer.
    """
    width, context = model.width, _TEXT_TOKENS + model.vision_tokens
    projections = 2 * tokens * 6 * width * width
    products = 4 * tokens * (tokens + context) * width
    feed_forward = 4 * tokens * width * model.feed_forward
    patches = 2 * tokens * model.patch**2 * width * (model.inputs + model.outputs)
    return model.layers * (projections + products + feed_forward) + patches
