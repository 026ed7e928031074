import numpy as np
import pytest
from jaxtyping import TypeCheckError

from chronosim.frames import fit_frame


def test_shapes_in_signatures_are_checked_while_the_tests_run() -> None:
    with pytest.raises(TypeCheckError, match="frame"):
        fit_frame(np.zeros((3, 3, 4), np.uint8), (2, 2))
