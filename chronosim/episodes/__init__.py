"""Episodes on disk: one Zarr v3 group each, readable after every step."""

from chronosim.episodes.reader import EpisodeReader, list_episodes
from chronosim.episodes.step import Step
from chronosim.episodes.writer import EpisodeWriter

__all__ = ["EpisodeReader", "EpisodeWriter", "Step", "list_episodes"]
