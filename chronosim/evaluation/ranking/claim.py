"""What the numbers carry, in words; and what they do not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chronosim.evaluation.ranking.agreement import Agreement

__all__ = ["Claim", "judge"]

_POLICIES, _MAKES, _STARTS = 10, 3, 10  # fewer carry no claim
_FEW = 5  # policies better than random, below which nothing is said of their order
_SWING = 0.10  # by which one policy may move the correlation
_P = 0.05
_NOISE = 0.8  # correlation that a perfect model shows at least, 19 times of 20


@dataclass(frozen=True, slots=True)
class Claim:
    """Whether a world model ranks policies as its reference does, as far as the numbers carry.

    Attributes:
        sentence: What may be said.
        refused: Why more may not; empty where the claim is carried.
        reservations: What has to be said along with it.
    """

    sentence: str
    refused: tuple[str, ...]
    reservations: tuple[str, ...]

    @property
    def carried(self) -> bool:
        """Whether the numbers carry the claim."""
        return not self.refused

    def __str__(self) -> str:
        """The sentence, then the reasons against it or the reservations."""
        return " ".join((self.sentence, *self.refused, *self.reservations))


def judge(
    every: Agreement, better: Agreement | None, *, source: str, names: tuple[str, ...]
) -> Claim:
    """Says what the figures carry.

    Args:
        every: Over all policies.
        better: Over those better than random alone; None: too few of them.
        source: Name of the reference simulator.
        names: Of the policies, in the order of the scores.

    Returns:
        The claim. Refused below 10 policies, 3 makes or 10 starts; where the resampled correlation,
        or the one by makes, may be 0; where p is above 0.05 or so few policies cannot show less;
        where the reference itself could not repeat its order with as many episodes; where ranks are
        violated as much as by chance.

    Source: an audit of 22 published claims of this kind (July 2026) checks the number of
    independent policies, an interval, the permutation floor and a swing of 0.10; the other limits
    are ours.
    """
    refused = tuple(_against(every, source))
    figures = (
        f"Pearson {every.pearson}, Spearman {every.spearman.value:.2f}, MMRV {every.mmrv}, over "
        f"{every.policies} policies of {every.makes} makes and {every.starts} starts each; by "
        f"chance MMRV {every.chance.mmrv:.2f}, with a perfect model {every.noise.mmrv:.2f}"
    )
    if refused:
        sentence = f"It is not shown that policies rank here as in {source} ({figures})."
        return Claim(sentence, refused, ())
    sentence = f"Policies rank here much as in {source}: {figures}."
    return Claim(sentence, (), tuple(_reservations(every, better, names)))


def _against(every: Agreement, source: str) -> list[str]:
    found = []
    if every.policies < _POLICIES:
        found.append(f"{every.policies} policies are too few: at least {_POLICIES}.")
    if every.makes < _MAKES:
        found.append(
            f"They are of {every.makes} make{'s' * (every.makes != 1)}, and policies of one make "
            f"err alike: at least {_MAKES} are needed."
        )
    if every.starts < _STARTS:
        found.append(f"{every.starts} starts are too few: at least {_STARTS}.")
    if math.isnan(every.pearson.value):
        return [*found, "All policies score alike, here or there: there is no order to compare."]
    if not every.pearson.low > 0:
        found.append(f"The interval of the correlation reaches {every.pearson.low:.2f}.")
    elif not every.by_make.low > 0:
        found.append(
            f"With whole makes resampled, the correlation's interval reaches "
            f"{every.by_make.low:.2f}."
        )
    if every.chance.p > _P:
        found.append(
            f"By chance the correlation is as large with p = {every.chance.p:.2g} (no less than "
            f"{every.chance.floor:.2g} can be shown with so few policies)."
        )
    if every.mmrv.value >= every.chance.mmrv_low:
        found.append(
            f"Ranks are violated as much as by chance (MMRV {every.mmrv.value:.2f}; 1 in 20 random "
            f"orders is below {every.chance.mmrv_low:.2f})."
        )
    if not every.noise.pearson_low >= _NOISE:
        found.append(
            f"{every.starts} starts are within the noise: {source} itself, measured twice so, may "
            f"correlate by no more than {every.noise.pearson_low:.2f} with itself."
        )
    return found


def _reservations(every: Agreement, better: Agreement | None, names: tuple[str, ...]) -> list[str]:
    found = []
    if better is None:
        found.append(
            f"Fewer than {_FEW} policies are better than random: nothing is said of these."
        )
    elif not better.pearson.low > 0:
        found.append(
            f"Among the {better.policies} policies better than random the order is not shown "
            f"(Pearson {better.pearson}): it tells good from bad, not the good from one another."
        )
    if every.swing > _SWING:
        found.append(
            f"Much rests on {names[every.swing_policy]}: without it the correlation moves by "
            f"{every.swing:.2f}."
        )
    if every.mmrv.value <= every.noise.mmrv_high:
        found.append("No better model could be told from it with so few episodes.")
    return found
