"""Whether an episode is all that its maker meant it to be."""

from __future__ import annotations

from chronosim.episodes.reader import EpisodeReader
from chronosim.errors import InvalidEpisode

__all__ = ["check_whole"]


def check_whole(reader: EpisodeReader) -> None:
    """Refuses what a repair finished: who makes an episode goes on until it ends or is cut.

    Raises:
        InvalidEpisode: It was repaired, or is finished without an end.
    """
    ended = reader.steps > 0 and any(
        bool(reader.column(name)[-1]) for name in ("terminated", "truncated")
    )
    if (reader.finished and not ended) or "repaired" in reader.about:
        raise InvalidEpisode(
            f"{reader.path} was broken off or damaged, and then repaired: move it away, and its "
            "episode is made anew, or use another output="
        )
