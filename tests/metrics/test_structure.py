"""SSIM and MS-SSIM beside pytorch-msssim, the library that the field takes them from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from chronosim.errors import InvalidFrame
from chronosim.metrics.structure import SMALLEST, multiscale_similarity, structural_similarity

Draw = Callable[..., Any]
FOUR = [0.0448, 0.2856, 0.3001, 0.2363]


def planes(frames: Any) -> torch.Tensor:
    return torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()).double()


@pytest.mark.parametrize("noise", [4, 40])
def test_ssim_is_that_of_the_reference_library(draw: Draw, noise: float) -> None:
    import pytorch_msssim

    true, near = draw(4), draw(4, noise=noise)
    wanted = pytorch_msssim.ssim(planes(near), planes(true), data_range=255, size_average=False)
    np.testing.assert_allclose(structural_similarity(near, true), wanted.numpy(), atol=1e-6)


def test_ms_ssim_is_that_of_the_reference_library(draw: Draw) -> None:
    import pytorch_msssim

    true, near = draw(3, side=168), draw(3, side=168, noise=20)  # it refuses 160 pixels and fewer
    wanted = pytorch_msssim.ms_ssim(
        planes(near),
        planes(true),
        data_range=255,
        size_average=False,
        weights=[weight / sum(FOUR) for weight in FOUR],
    )
    np.testing.assert_allclose(multiscale_similarity(near, true), wanted.numpy(), atol=1e-6)


@pytest.mark.parametrize("measure", [structural_similarity, multiscale_similarity])
def test_equal_frames_are_alike_and_others_less(draw: Draw, measure: Any) -> None:
    true = draw(2)
    assert measure(true, true) == pytest.approx(1)
    values = [measure(draw(2, noise=noise), true).mean() for noise in (5, 20, 80)]
    assert values == sorted(values, reverse=True)
    assert measure(draw(2, seed=9), true).max() < 0.6


def test_frames_too_small_are_refused() -> None:
    small = np.zeros((1, SMALLEST - 1, SMALLEST, 3), np.uint8)
    multiscale_similarity(
        np.zeros((1, SMALLEST, SMALLEST, 3), np.uint8), small[:, :1].repeat(81, 1)
    )
    with pytest.raises(InvalidFrame, match=r"MS-SSIM of four scales .* at least 81 .* 80 x 81"):
        multiscale_similarity(small, small)
    tiny = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(InvalidFrame, match="SSIM needs frames of at least 11"):
        structural_similarity(tiny, tiny)
