from __future__ import annotations

from collections.abc import Iterator

import pytest

from chronosim.errors import InvalidConfig
from chronosim.evaluation.truth import draw_each


def test_what_gives_nothing_is_passed_over_and_nothing_is_drawn_in_vain() -> None:
    drawn = []

    def draw(seed: int) -> int | None:
        drawn.append(seed)
        return seed if seed % 3 == 0 else None

    found: Iterator[int] = draw_each(draw, 3, first_seed=4, workers=1)
    assert list(found) == [6, 9, 12]
    assert drawn == list(range(4, 13))


def test_processes_keep_the_order() -> None:
    assert list(draw_each(abs, 9, first_seed=5, workers=2)) == list(range(5, 14))


def test_it_does_not_search_for_ever() -> None:
    with pytest.raises(
        InvalidConfig, match=r"100 episodes in a row gave nothing .* smaller apart="
    ):
        list(draw_each(lambda seed: None, 1, first_seed=0, workers=1))
