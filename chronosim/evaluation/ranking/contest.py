"""Which policies are to be ranked, where they begin, and what they play for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from chronosim.errors import InvalidConfig
from chronosim.evaluation.ranking.cloning import learn
from chronosim.evaluation.ranking.contestants import Contestant, check_contestants
from chronosim.evaluation.ranking.ledger import Ledger
from chronosim.evaluation.ranking.playing import Game
from chronosim.evaluation.ranking.starts import Start, draw_starts
from chronosim.evaluation.truth.outcomes_only import outcomes_only
from chronosim.evaluation.truth.reference import Policy, Reference
from chronosim.protocols import Scenario

__all__ = ["Contest"]

_RECORDED = 40  # held actions in each episode that clones learn from


@dataclass(frozen=True, slots=True)
class Contest:
    """Policies that begin on the same true frames on both sides.

    Attributes:
        contestants: The policies; those of the make "random" say what is better than random.
        reference: The simulator, its prompter, and in its policy who acts in the recordings that
            clones learn from.
        scenario: Reads a step's score off the frames on both sides.
        folder: For what is finished: policies learned, results.
        first_seed: Of the starts. Clones learn from seeds a million further on.
        starts: Episodes of each policy on each side.
        horizon: Held actions in an episode.
        lead_in: Who acts before the starts; see `draw_starts`.
        longest: For how many held actions at most.
        workers: Processes that run the reference simulator.

    Raises:
        InvalidConfig: Fewer than 3 contestants, 2 starts or 1 step; names that are not unique.
    """

    contestants: Sequence[Contestant]
    reference: Reference
    scenario: Scenario
    folder: Path
    first_seed: int
    starts: int = 50
    horizon: int = 12
    lead_in: Policy | None = None
    longest: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if len(self.contestants) < 3 or self.starts < 2 or self.horizon < 1:
            raise InvalidConfig(
                "policies are ranked from 3 contestants, 2 starts and a horizon of 1 on, not from "
                f"{len(self.contestants)}, {self.starts} and {self.horizon}"
            )
        check_contestants(self.contestants)

    @property
    def game(self) -> Game:
        """What each of them plays."""
        simulator = outcomes_only(self.reference).simulator
        return Game(simulator, self.reference.prompter, self.scenario, self.horizon)

    def train(self) -> list[Contestant]:
        """Gives the contestants, all able to act: clones learn first, or are found in the folder.

        Raises:
            ChronosimError: As the simulator and the policies.
        """
        return learn(
            self.contestants,
            reference=outcomes_only(self.reference),
            folder=self.folder / "policies",
            steps=_RECORDED,
            first_seed=self.first_seed + 1_000_000,
            workers=self.workers,
        )

    def draw(self, number: int | None = None) -> list[Start]:
        """Draws the first `number` of the starts; None: all of them.

        Raises:
            ChronosimError: As the simulator and who leads in.
        """
        number = self.starts if number is None else number
        drawn = draw_starts(
            number,
            reference=outcomes_only(self.reference),
            lead_in=self.lead_in,
            longest=self.longest,
            first_seed=self.first_seed,
            workers=self.workers,
        )
        return list(tqdm(drawn, "drawing starts", number, unit="start"))

    def ledger(self, side: str, starts: int | None = None) -> Ledger:
        """Where results are kept: of "reference", "model", or another side of fewer starts."""
        number = self.starts if starts is None else starts
        return Ledger(self.folder / side, self.first_seed, number, self.horizon)
