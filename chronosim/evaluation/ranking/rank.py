"""Does the world model rank policies as the reference simulator does?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from chronosim.evaluation.ranking.agreement import Agreement, agree, pearson
from chronosim.evaluation.ranking.tournament import Contest, Scoreboard, hold
from chronosim.evaluation.report.plots import new_figure, to_png
from chronosim.evaluation.report.section import Gauge, Picture, Section, Table, finite
from chronosim.world import World

_FEW = 5  # policies better than random, below which they are not looked at alone
_FLATTERED = 0.15  # score by which the model may think better of the worst policies


def rank(contest: Contest, world: World, *, seed: int = 0) -> Section:
    """Plays policies from the same true frames on both sides, and compares their scores.

    Every policy reads the observation alone, so the same one acts in the reference simulator and in
    the world model. What is finished is kept in the contest's folder; the same call goes on.

    Args:
        contest: Who plays what, and where.
        world: The model, and the reference's prompter.
        seed: Of the model's noise.

    Raises:
        InvalidConfig: What is kept is of other settings.
        ChronosimError: As the simulators, the policies and the model.
    """
    return ranking_section(
        hold(contest, world, seed=seed),
        source=contest.reference.simulator().source,
        horizon=contest.ranking.horizon,
        first_seed=contest.first_seed,
    )


def ranking_section(board: Scoreboard, *, source: str, horizon: int, first_seed: int) -> Section:
    """Compares two sides' scores, and says what they carry.

    Args:
        board: All scores.
        source: Name of the reference simulator.
        horizon: Held actions in an episode.
        first_seed: Of the starts.
    """
    names = tuple(one.name for one in board.contestants)
    makes = [one.make for one in board.contestants]
    every = agree(reference=board.reference, model=board.model, makes=makes)
    chosen = _better_than_random(board)
    better = _among(board, chosen) if len(chosen) >= _FEW else None
    own = agree(reference=_scaled(board.own), model=board.model, makes=makes)
    ruler = float(pearson(reference=board.own.mean(axis=1), model=board.reference.mean(axis=1)))
    claim = judge(every, better, source=source, names=names)
    where = f"{horizon} held actions from {every.starts} true frames (seeds from {first_seed:,} on)"
    return Section(
        name="ranking",
        title="Policy ranking",
        verdict=str(claim),
        warnings=_warnings(board, claim),
        tables=(
            _agreement_table(every, better, own, ruler=ruler, source=source, where=where),
            _policies_table(board, source=source, where=where),
        ),
        pictures=(
            Picture(
                _draw_scores(board, source),
                f"Each policy's mean score over {every.starts} starts in {source} and in the world "
                "model, with 95% intervals; on the dashed line both say the same.",
            ),
        ),
        values=finite(
            {
                "policies": {
                    one.name: {
                        "make": one.make,
                        "reference": board.reference[row].tolist(),
                        "own_reward": board.own[row].tolist(),
                        "model": board.model[row].tolist(),
                    }
                    for row, one in enumerate(board.contestants)
                },
                "horizon": horizon,
                "first_seed": first_seed,
                "all": asdict(every),
                "better_than_random": None if better is None else asdict(better),
                "own_reward": asdict(own),
                "score_against_own_reward": ruler,
                "claim": asdict(claim) | {"carried": claim.carried},
            }
        ),
        gauge=_gauge(every),
    )


def _better_than_random(board: Scoreboard) -> list[int]:
    """Rows whose reference score is above that of every policy of the make random."""
    scores = board.reference.mean(axis=1)
    rows = [row for row, one in enumerate(board.contestants) if one.make == "random"]
    if not rows:
        return []
    limit = scores[rows].max()
    return [row for row, score in enumerate(scores) if score > limit]


def _among(board: Scoreboard, rows: list[int]) -> Agreement:
    return agree(
        reference=board.reference[rows],
        model=board.model[rows],
        makes=[board.contestants[row].make for row in rows],
    )


def _scaled(own: np.ndarray) -> np.ndarray:
    """Own rewards scaled so that the policies' means go from 0 to 1: MMRV has their unit."""
    means = own.mean(axis=1)
    width = float(means.max() - means.min())
    return np.asarray((own - means.min()) / (width if width > 0 else 1.0))


def _warnings(board: Scoreboard, claim: Claim) -> tuple[str, ...]:
    found = [] if claim.carried else ["policies cannot be ranked in it"]
    real, ours = board.reference.mean(axis=1), board.model.mean(axis=1)
    worst = np.argsort(real)[: max(len(real) // 3, 1)]
    best = np.argsort(real)[-max(len(real) // 3, 1) :]
    if (ours - real)[worst].mean() > _FLATTERED:
        found.append("bad policies are flattered")
    if (real - ours)[best].mean() > _FLATTERED:
        found.append("good policies fail in it")
    return tuple(found)


def _gauge(every: Agreement) -> Gauge | None:
    r = every.pearson
    if math.isnan(r.value):
        return None
    low, high = (0.0 if math.isnan(end) else end for end in (r.low, r.high))
    return Gauge("ranks policies (Pearson)", r.value, low, high, 0.0, "chance", -1.0, 1.0)


_POLICIES, _MAKES, _STARTS = 10, 3, 10  # fewer carry no claim
# policies better than random, below which nothing is said of their order
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


def _agreement_table(
    every: Agreement,
    better: Agreement | None,
    own: Agreement,
    *,
    ruler: float,
    source: str,
    where: str,
) -> Table:
    """All policies, those better than random (None: too few), the simulator's own reward.

    `ruler` is the Pearson of that reward and the scenario's score, both in the simulator.
    """
    columns = {"all": every} | ({} if better is None else {"better than random": better})
    columns[f"all, by {source}'s own reward"] = own
    cells = [_figures(agreement) for agreement in columns.values()]
    return Table(
        ("agreement", *columns),
        tuple((name, *(column[name] for column in cells)) for name in cells[0]),
        f"{where}. In brackets 95% intervals over resampled policies and starts. MMRV: what is "
        "lost at worst by believing the model's order, in units of the score (own rewards scaled "
        "to 0 to 1 over the policies), 0 is best. Scores and own rewards of the simulator itself "
        f"correlate by {ruler:.2f}: no model's scores can tell its own rewards much better.",
    )


def _policies_table(board: Scoreboard, *, source: str, where: str) -> Table:
    """The policies, the best in the reference first."""
    real, ours = board.reference.mean(axis=1), board.model.mean(axis=1)
    places = np.argsort(np.argsort(-ours, kind="stable"), kind="stable") + 1
    rows = tuple(
        (
            f"{rank}",
            board.contestants[row].name,
            board.contestants[row].make,
            _spread(board.reference[row]),
            f"{board.own[row].mean():.1f}",
            _spread(board.model[row]),
            f"{places[row]}",
            f"{ours[row] - real[row]:+.2f}",
        )
        for rank, row in enumerate(np.argsort(-real, kind="stable"), start=1)
    )
    header = (
        "rank", "policy", "make", f"score in {source}", "its own reward", "score in the model",
        "rank there", "difference",
    )  # fmt: skip
    return Table(
        header,
        rows,
        "Score: mean of the scenario's reward over the steps, read off the frames on both sides, "
        f"± a standard error over starts. {where}.",
    )


def _figures(agreement: Agreement) -> dict[str, str]:
    a = agreement
    return {
        "policies, of makes": f"{a.policies}, {a.makes}",
        "Pearson": str(a.pearson),
        "Pearson, Fisher's interval": str(a.fisher),
        "Pearson, whole makes resampled": str(a.by_make),
        "Spearman": str(a.spearman),
        "MMRV": str(a.mmrv),
        "MMRV by chance": f"{a.chance.mmrv:.2f} (1 in 20 below {a.chance.mmrv_low:.2f})",
        "p by permutation": f"{a.chance.p:.2g} (at least {a.chance.floor:.2g})",
        "a perfect model's Pearson": f"{a.noise.pearson:.2f} (1 in 20 below "
        f"{a.noise.pearson_low:.2f})",
        "a perfect model's MMRV": f"{a.noise.mmrv:.3f} (1 in 20 above {a.noise.mmrv_high:.3f})",
        "one policy left out moves Pearson by": _moved(a.swing),
        "one make left out moves it by": f"{_moved(a.make_swing)} {a.swing_make}".strip(),
        "different scores, there and here": f"{a.distinct[0]}, {a.distinct[1]}",
        "standard error of a score, there and here": f"{a.standard_error[0]:.3f}, "
        f"{a.standard_error[1]:.3f}",
    }


def _moved(swing: float) -> str:
    return "-" if math.isnan(swing) else f"{swing:.2f}"


def _spread(scores: np.ndarray) -> str:
    return f"{scores.mean():.2f} ± {scores.std(ddof=1) / math.sqrt(len(scores)):.2f}"


_MARKS = "osD^vP*X<>h"


def _draw_scores(board: Scoreboard, source: str) -> bytes:
    """Draws the world model's scores against the reference's, a mark for each make: a PNG file."""
    figure = new_figure(8, 6)
    axes = figure.add_subplot()
    half = 1.96 / math.sqrt(board.reference.shape[1])
    makes = list(dict.fromkeys(one.make for one in board.contestants))
    for index, make in enumerate(makes):
        rows = [row for row, one in enumerate(board.contestants) if one.make == make]
        axes.errorbar(
            board.reference[rows].mean(axis=1),
            board.model[rows].mean(axis=1),
            xerr=half * board.reference[rows].std(axis=1, ddof=1),
            yerr=half * board.model[rows].std(axis=1, ddof=1),
            fmt=_MARKS[index % len(_MARKS)],
            elinewidth=0.8,
            alpha=0.85,
            label=make,
        )
    named: list[np.ndarray] = []
    for row, one in enumerate(board.contestants):
        place = np.array([board.reference[row].mean(), board.model[row].mean()])
        # Names on top of one another could not be read; the table has them all.
        if all(np.abs((place - other) / (0.12, 0.025)).max() > 1 for other in named):
            named.append(place)
            axes.annotate(
                one.name, tuple(place), xytext=(5, 4), textcoords="offset points", fontsize=7
            )
    ends = [float(np.min([board.reference.mean(axis=1), board.model.mean(axis=1)])), 1.0]
    axes.axline((ends[0], ends[0]), slope=1, color="grey", linestyle="--", linewidth=1)
    axes.set(xlabel=f"score in {source}", ylabel="score in the world model")
    axes.grid(alpha=0.2)
    axes.legend(title="make", fontsize=8)
    return to_png(figure)
