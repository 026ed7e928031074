import math

import numpy as np
import pytest

from chronosim.metrics.pixels import finite_psnr, psnr, squared_error


def test_known_values() -> None:
    black, grey = np.zeros((4, 4), np.uint8), np.full((4, 4), 25, np.uint8)
    assert squared_error(black, grey) == 625
    assert psnr(squared_error(black, grey)) == pytest.approx(20.17, abs=0.01)
    assert psnr(255**2) == 0
    assert psnr(0) == math.inf
    np.testing.assert_allclose(finite_psnr(np.array([625.0, 0.0])), [20.17, 108.13], atol=0.01)


def test_differences_do_not_wrap_around() -> None:
    assert squared_error(np.array([3], np.uint8), np.array([5], np.uint8)) == 4
