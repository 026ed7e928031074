"""Finished results of policies, kept in a run's folder so that a run broken off can go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chronosim.errors import InvalidConfig
from chronosim.evaluation.ranking.playing import Played

__all__ = ["Ledger"]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Results of one side, a JSON file for each policy.

    Attributes:
        folder: Where they are.
        first_seed: Of the starts.
        starts: How many there are.
        horizon: Held actions in an episode.
    """

    folder: Path
    first_seed: int
    starts: int
    horizon: int

    def read(self, name: str) -> list[Played] | None:
        """Gives a policy's results; None where there are none yet.

        Raises:
            InvalidConfig: They cannot be read, or are of other starts or another horizon.
        """
        path = self.folder / f"{name}.json"
        if not path.is_file():
            return None
        try:
            kept: Any = json.loads(path.read_text(encoding="utf-8"))
            played = [Played(**episode) for episode in kept.pop("episodes")]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidConfig(
                f"the kept results {path} cannot be read ({error}): remove the file, and they are "
                "made anew"
            ) from error
        if kept != self._settings:
            raise InvalidConfig(
                f"the kept results {path} are of {kept}, not of {self._settings}: use the same "
                "settings to go on, or another output="
            )
        return played

    def write(self, name: str, played: Sequence[Played]) -> None:
        """Keeps a policy's results."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = self._settings | {"episodes": [asdict(episode) for episode in played]}
        draft = self.folder / f".{name}.json"  # a run may be killed here too
        draft.write_text(json.dumps(kept) + "\n", encoding="utf-8")
        draft.replace(self.folder / f"{name}.json")

    @property
    def _settings(self) -> dict[str, int]:
        return {
            "first_seed": self.first_seed,
            "starts": self.starts,
            "horizon": self.horizon,
        }
