"""Episodes on disk: one Zarr v3 group each, readable after every step."""

from chronosim.episodes.compaction import compact
from chronosim.episodes.dataset import EpisodeDataset
from chronosim.episodes.place import list_episodes
from chronosim.episodes.reader import EpisodeReader
from chronosim.episodes.repair import Repair, repair
from chronosim.episodes.summary import EpisodeSummary, summarize, summarize_dataset
from chronosim.episodes.verify import Damage, verify
from chronosim.episodes.writer import EpisodeWriter
from chronosim.types import Step

__all__ = [
    "Damage",
    "EpisodeDataset",
    "EpisodeReader",
    "EpisodeSummary",
    "EpisodeWriter",
    "Repair",
    "Step",
    "compact",
    "list_episodes",
    "repair",
    "summarize",
    "summarize_dataset",
    "verify",
]
