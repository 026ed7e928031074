import numpy as np
import pytest

from chronosim.pictures.chart import beside, heading, histogram, stack

BAR, MEAN, PAPER = (104, 134, 178), (196, 92, 72), (250, 250, 248)


def heights(picture: np.ndarray) -> np.ndarray:
    """Pixels of bar in each column."""
    return np.asarray((picture == BAR).all(-1).sum(0))


def test_bars_are_as_high_as_numbers_are_frequent() -> None:
    picture = histogram([1, 2, 2, 2, 2, 9], "steps", width=648, height=240)
    high = heights(picture)
    ones, twos, nines = (high[24 + 600 * n // 9 + 20] for n in (0, 1, 8))
    assert twos > 3 * ones > 0
    assert ones == nines
    assert not high[24 + 600 * 5 // 9]


def test_the_mean_is_a_line() -> None:
    picture = histogram(np.linspace(0, 1, 400), "return", width=648)
    columns = np.flatnonzero((picture[60:] == MEAN).all(-1).sum(0) > 100)
    assert columns.tolist() == pytest.approx([324, 324], abs=2)


@pytest.mark.parametrize("values", [[], [3.5], [2, 2, 2], [0.1] * 4, [-1e9, 1e9], [0, 1]])
def test_any_numbers_can_be_drawn(values: list[float]) -> None:
    picture = histogram(values, "any", width=300, height=200)
    assert picture.shape == (200, 300, 3)
    assert (heights(picture) > 0).any() == bool(values)
    assert heights(picture).astype(bool).mean() < 0.8, "one number is no wall"


def test_what_is_not_finite_is_not_drawn() -> None:
    picture = histogram([0, np.nan, 1, np.inf], "any")
    assert np.array_equal(picture, histogram([0, 1], "any"))
    assert np.array_equal(histogram([np.nan], "any"), histogram([], "any"))


def test_pictures_are_set_on_paper() -> None:
    small, large = np.zeros((10, 20, 3), np.uint8), np.full((30, 40, 3), 9, np.uint8)
    across, down = beside([small, large]), stack([small, large])
    assert (across.shape, down.shape) == ((30, 60, 3), (40, 40, 3))
    assert (across[10:, :20] == PAPER).all()
    assert (down[:10, 20:] == PAPER).all()
    assert (across[:, 20:] == 9).all()


def test_a_heading_has_a_line_for_each_of_its_words() -> None:
    one, two = heading(["Twelve episodes"], 300), heading(["Twelve episodes", "of echo"], 300)
    assert one.shape[1] == two.shape[1] == 300
    assert len(two) > len(one)
    assert one.min() < 80
