"""Structural similarity: whether frames have the same structure, whatever a pixel's exact value."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor

from chronosim.errors import InvalidFrame
from chronosim.types import Frames

_WINDOW, _SIGMA = 11, 1.5  # pixels, of the Gaussian that an average is taken under
_LUMINANCE, _CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # keep quotients of small values calm
# Exponents of the finest four of the paper's five scales, made to sum to 1: at the fifth, a frame
# of 96 x 96 is smaller than the window.
_EXPONENTS = torch.tensor([0.0448, 0.2856, 0.3001, 0.2363], dtype=torch.float64)
_EXPONENTS /= _EXPONENTS.sum()

SMALLEST = (_WINDOW - 1) * 2 ** (len(_EXPONENTS) - 1) + 1
"""Pixels that a side must have for the coarsest of the four scales to hold a window: 81."""


def structural_similarity(predicted: Frames, true: Frames) -> Float64[np.ndarray, " n"]:
    """Gives SSIM: 1 for equal frames, near 0 for unrelated ones; it can be slightly negative.

    Only windows that lie inside the frame count, as in the paper; colours are judged one by one.

    Args:
        predicted: uint8 (n, height, width, 3), at least 11 pixels a side.
        true: Of the same shape.

    Raises:
        InvalidFrame: They are smaller than the window.

    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity",
        IEEE TIP 2004: Gaussian window of 11 pixels, sigma 1.5, K 0.01 and 0.03.
    """
    _check_size(predicted, _WINDOW, "SSIM")
    structure, _ = _compare(_planes(predicted), _planes(true))
    return structure.reshape(len(predicted), 3).mean(1).numpy()


def multiscale_similarity(predicted: Frames, true: Frames) -> Float64[np.ndarray, " n"]:
    """Gives MS-SSIM of four scales: contrasts at each, brightness at the coarsest; 0 to 1.

    Args:
        predicted: uint8 (n, height, width, 3), at least 81 pixels a side.
        true: Of the same shape.

    Raises:
        InvalidFrame: They are smaller than that.

    Source: Wang et al., "Multiscale structural similarity for image quality assessment", Asilomar
        2003; as usual, a negative similarity at a scale counts as 0.
    """
    _check_size(predicted, SMALLEST, "MS-SSIM of four scales")
    ours, theirs = _planes(predicted), _planes(true)
    scales = []
    for scale in range(len(_EXPONENTS)):
        structure, contrast = _compare(ours, theirs)
        last = scale == len(_EXPONENTS) - 1
        scales.append((structure if last else contrast).clamp(min=0))
        ours, theirs = _halve(ours), _halve(theirs)
    product = (torch.stack(scales, -1) ** _EXPONENTS).prod(-1)
    return product.reshape(len(predicted), 3).mean(1).numpy()


def _compare(
    a: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:  # of planes (n, 1, height, width); the two are (n,)
    """The mean similarity of each pair of planes, and without its brightness term."""
    mean_a, mean_b = _blur(a), _blur(b)
    covariance = _blur(a * b) - mean_a * mean_b
    variances = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    contrast = (2 * covariance + _CONTRAST) / (variances + _CONTRAST)
    brightness = (2 * mean_a * mean_b + _LUMINANCE) / (mean_a**2 + mean_b**2 + _LUMINANCE)
    return (brightness * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def _blur(planes: Tensor) -> Tensor:
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    window /= window.sum()
    return F.conv2d(F.conv2d(planes, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))


def _halve(planes: Tensor) -> Tensor:
    height, width = planes.shape[-2:]
    return F.avg_pool2d(planes, 2, padding=(height % 2, width % 2))


def _planes(frames: Frames) -> Tensor:
    """Each colour of each frame by itself: float64 (3 n, 1, height, width)."""
    stacked = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
    return stacked.double().flatten(0, 1).unsqueeze(1)


def _check_size(frames: Frames, least: int, what: str) -> None:
    if min(frames.shape[1:3]) < least:
        height, width = frames.shape[1:3]
        raise InvalidFrame(
            f"{what} needs frames of at least {least} pixels a side, not {height} x {width}"
        )
