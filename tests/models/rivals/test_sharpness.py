from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from chronosim.metrics.pixels import sharpness
from chronosim.models.rivals.if_edit import sharpest


def test_it_is_the_variance_of_the_laplacian(kit: SimpleNamespace) -> None:
    frame = kit.frame(0, 32, 48)
    grey = frame @ np.array([0.299, 0.587, 0.114])
    laplacian = cv2.Laplacian(grey, cv2.CV_64F)[1:-1, 1:-1]
    assert sharpness(frame) == pytest.approx(laplacian.var())
    assert abs(laplacian.mean()) < 0.02 * laplacian.std(), "a mean of signed values says nothing"


def test_blurred_frames_are_less_sharp(kit: SimpleNamespace) -> None:
    frame = kit.frame(0)
    blurred = [np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma)) for sigma in (0.5, 1, 2)]
    values = [sharpness(each) for each in (frame, *blurred)]
    assert values == sorted(values, reverse=True)
    assert sharpness(np.full((8, 8, 3), 77, np.uint8)) == 0
    assert sharpness(frame[:2]) == 0


def test_the_sharpest_is_a_copy_and_of_equals_the_last(kit: SimpleNamespace) -> None:
    sharp, dull = kit.frame(0), np.zeros((32, 32, 3), np.uint8)
    frames = np.stack([dull, sharp, dull])
    found = sharpest(frames)
    assert np.array_equal(found, sharp)
    assert not np.shares_memory(found, frames)
    other = np.ascontiguousarray(sharp[::-1])
    assert np.array_equal(sharpest(np.stack([sharp, other])), other)
