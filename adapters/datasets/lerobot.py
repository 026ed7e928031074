"""Writes LeRobotDataset v3.0, as LeRobot's own code reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chronosim.adapters.datasets.exporting import alike
from chronosim.adapters.datasets.last import LAST, check_last, with_last_row
from chronosim.adapters.datasets.lerobot_tables import LeRobotTables
from chronosim.adapters.datasets.recording import Recording
from chronosim.errors import InvalidAction, InvalidConfig

__all__ = ["LeRobotExporter"]

_HOLDS = {
    "frames",
    "states",
    "texts",
    "rewards",
    "whether it terminated",
    "whether it was truncated",
    "seeds",
    "where it comes from",
}


@dataclass(frozen=True, slots=True)
class LeRobotExporter:
    """LeRobotDataset v3.0: Parquet tables, and frames as PNG in them or as H.264 beside them.

    Attributes:
        camera: The frames are `observation.images.<camera>`.
        video: Whether frames are videos, one for each episode, rather than images.
        lossless: Whether a video keeps every pixel (in RGB) rather than YUV 4:2:0.
        task: Words of every row's task; None: those of its step.
        robot: LeRobot's `robot_type`.
        last_observation: `drop`: as LeRobot's recorder does; `keep`: as one more row, the one that
            an import could not use, or else one that repeats the last action.

    Raises:
        InvalidConfig: `last_observation` is something else, or the camera's name has a slash.
    """

    camera: str = "front"
    video: bool = False
    lossless: bool = False
    task: str | None = None
    robot: str = "chronosim"
    last_observation: str = "drop"

    def __post_init__(self) -> None:
        check_last(self.last_observation)
        if not self.camera or "/" in self.camera:
            raise InvalidConfig(f"LeRobot's names have no slash in them: {self.camera!r}")

    @property
    def holds(self) -> set[str]:
        """What it has a place for."""
        held = _HOLDS - ({"texts"} if self.task else set())
        held |= {LAST} if self.last_observation == "keep" else set()
        return held | ({"every pixel as it was"} if self.lossless or not self.video else set())

    def write(self, recordings: Iterable[Recording], folder: Path) -> None:
        """Writes recordings into an empty folder.

        Raises:
            InvalidAction: The actions are not vectors of numbers.
            InvalidConfig: The episodes know no clock, which LeRobot needs.
            InvalidEpisode: The episodes are not alike.
        """
        tables = LeRobotTables(
            folder, camera=self.camera, video=self.video, lossless=self.lossless, task=self.task
        )
        for recording in alike(recordings):
            _check(recording)
            tables.add(with_last_row(recording, self.last_observation))
        tables.close(robot=self.robot, notes={"last_observation": self.last_observation})


def _check(recording: Recording) -> None:
    if recording.fps is None:
        raise InvalidConfig(
            f"LeRobot needs a rate, but {recording.name} does not say how long an action is held: "
            "give seconds_per_step"
        )
    actions = recording.actions
    if actions.dtype.kind not in "biuf" or actions.ndim > 2 or actions.shape[1:] == (0,):
        raise InvalidAction(
            f"LeRobot's actions are vectors of numbers, but those of {recording.name} are "
            f"{actions.dtype} of shape {actions.shape[1:]}"
        )
