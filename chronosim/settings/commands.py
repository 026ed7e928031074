"""The settings of each command, typed. Their defaults and what they mean stand in its YAML.

A field is called as its setting is, with `_` behind a word of Python's own (`from_`). What a
command makes an object of is a `Part`. A test holds this file against the YAML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from chronosim.settings.typed import Amount, Count, Part, Range, Said, Seed, Settings, Size, Words

Values = Annotated[Mapping[str, float], Said("named numbers, e.g. {speed: 12}")]
"""What a prompter is told of a frame."""
Whole = Annotated[int, Range(0)]
Port = Annotated[int, Range(0, 65535)]
Lines = Annotated[int, Range(2)]
Above = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]
Path = Words


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchEpisodes(Settings):
    """Of `chronosim bench episodes`."""

    steps: Count
    windows: Count
    seed: Seed
    folder: Path | None
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchFormats(Settings):
    """Of `chronosim bench formats`."""

    formats: Sequence[Words] | None
    episodes: Count
    steps: Count
    rows: Count
    seed: Seed
    folder: Path | None
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchModel(Settings):
    """Of `chronosim bench model`."""

    model: Part
    simulator: Part
    prompter: Part
    policy: Part
    shape: Literal["true14b"] | None
    ways: bool | None
    stock: bool
    denoising_steps: Count | None
    guidance: Amount | None
    reasoning_steps: Count
    num_envs: Annotated[tuple[Count, ...], Said("a list of whole numbers from 1 up")]
    predictions: Count
    frame_size: Size | None
    text: Words
    threads: Count | None
    seed: Seed
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Settings):
    """Of `chronosim check`."""

    model: Part
    scenario: Part
    prompter: Part
    policy: Part | None
    prompts: Annotated[int, Range(2)]
    seed: Seed
    tolerance: Amount
    steps: Whole
    growth: Amount
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo(Settings):
    """Of `chronosim demo`."""

    model: Part
    scenario: Part
    prompter: Part
    policy: Part
    seed: Seed
    horizon: Count
    least: Count
    attempts: Count
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesCompact(Settings):
    """Of `chronosim episodes compact`."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesExport(Settings):
    """Of `chronosim episodes export`."""

    path: Path
    output: Path
    format: Part
    rows: Literal["steps", "frames"]
    seconds_per_step: Above | None
    skip_bad: bool
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesImport(Settings):
    """Of `chronosim episodes import`."""

    path: Path
    output: Path
    format: Part
    prompter: Part | None
    frame_size: Size | None
    source_fps: Above | None
    fps: Above | None
    rows_per_step: Count
    action: Literal["first", "chunk", "mean", "sum"]
    text: Words | None
    synthetic: bool
    skip_bad: bool
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesLs(Settings):
    """Of `chronosim episodes ls`."""

    path: Path
    sort: Literal["name", "steps", "return", "size"]
    lines: Lines | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesPlay(Settings):
    """Of `chronosim episodes play`."""

    paths: Sequence[Path]
    most: Count
    columns: Count | None
    height: Annotated[int, Range(16)]
    words: bool
    speed: Annotated[float, Range(0, 1000, above=True)]
    output: Path | None
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesRepair(Settings):
    """Of `chronosim episodes repair`."""

    path: Path
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesReplay(Settings):
    """Of `chronosim episodes replay`."""

    path: Path
    tolerance: Amount
    from_log: bool
    trust: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesShow(Settings):
    """Of `chronosim episodes show`."""

    path: Path
    lines: Lines
    frames: Lines | None
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesStats(Settings):
    """Of `chronosim episodes stats`."""

    path: Path
    skip_bad: bool
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesVerify(Settings):
    """Of `chronosim episodes verify`."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate(Settings):
    """Of `chronosim evaluate`."""

    model: Part
    simulator: Part
    prompter: Part | None
    policy: Part | None
    parts: Any
    episodes: Path | None
    windows: Annotated[int, Range(2)]
    rollouts: Annotated[int, Range(2)]
    rollout_steps: Count
    first_seed: Seed
    others: Count
    apart: Annotated[float, Range(0), Said("a number of grey levels, 0 or more")]
    alternatives: Part | None
    left_out: Part | None
    idle: Part | None
    numbers: Sequence[Words]
    reader: Part | None
    scorer: Part | None
    starts: Annotated[int, Range(2)]
    horizon: Count
    lead_in: Part | None
    lead_steps: Whole
    lpips: Path | None
    fid: Path | None
    fvd: Path | None
    workers: Count
    seed: Seed
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard(Settings):
    """Of `chronosim guard`."""

    path: Path
    episodes: Annotated[int, Range(4)]
    through: Words | None
    strangers: Path | None
    false_alarms: Annotated[float, Range(0, 1, above=True)]
    output: Path | None
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeEndpoint:
    """Of `judge` in `chronosim judge`: who looks at edits."""

    url: Words | None
    model: Words | None
    key_variable: Words | None
    timeout: Above
    retries: Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge(Settings):
    """Of `chronosim judge`."""

    path: Path
    clip: Words | None
    lpips: Path | None
    device: Words | None
    judge: JudgeEndpoint
    seed: Seed
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predict(Settings):
    """Of `chronosim predict`."""

    model: Part
    scenario: Part
    prompter: Part
    policy: Part | None
    frame: Path | None
    size: Annotated[Literal["fit"] | Size | None, Said("fit, or [height, width] in pixels")]
    area: Count
    back: bool
    start: Values | None
    action: Any
    text: Words | None
    seed: Seed
    explain: bool
    gpu: Literal["rtx4090", "l40s", "a100", "h100", "h200", "b200"] | None
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Settings):
    """Of `chronosim record`."""

    simulator: Part
    prompter: Part
    policy: Part
    episodes: Count
    seed: Seed
    steps: Count
    workers: Count
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout(Settings):
    """Of `chronosim rollout`."""

    model: Part
    scenario: Part
    prompter: Part
    policy: Part
    episodes: Count
    seed: Seed
    horizon: Count
    guard: Path | None
    num_envs: Count
    workers: Count
    trajectories: Literal["lossless", "video", "none"]
    clip_actions: bool
    pictures: Whole
    words: bool
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenariosCheck(Settings):
    """Of `chronosim scenarios check`."""

    path: Path
    frame: Path | None
    trust: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenariosLs(Settings):
    """Of `chronosim scenarios ls`."""

    path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenariosShow(Settings):
    """Of `chronosim scenarios show`."""

    path: Path
    frame: Path | None
    trust: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve(Settings):
    """Of `chronosim serve`."""

    model: Part
    host: Words
    port: Port
    token_variable: Words | None
    certificate: Path | None
    private_key: Path | None
    most_prompts: Count
    most_waiting: Count
    most_connections: Count
    timeout: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio(Settings):
    """Of `chronosim studio`."""

    model: Part
    scenario: Part
    prompter: Part
    policy: Part | None
    seed: Seed
    models: Sequence[Words]
    folder: Path
    host: Words
    port: Port
    token: Words | None
    sessions: Count
    megabytes: Count
    loaded: Count
    browser: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainStage:
    """Of one stage of `chronosim train`."""

    batch: Count
    steps: Whole
    learning_rate: Above


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTrips:
    """Of its stage of round trips, as `TrainStage` and `train_autoencoder`."""

    batch: Count
    steps: Whole
    learning_rate: Above
    most: Whole
    encoder: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainWorld:
    """Of the last stage of `chronosim train`, as `TrainStage` and `FlowObjective`."""

    batch: Count
    steps: Whole
    learning_rate: Above
    reasoning: Share
    reasoning_from: Share
    drop: Share
    shift: Above
    pure: Share
    disturb: Amount
    stress: Amount
    point: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Train(Settings):
    """Of `chronosim train`."""

    dataset: Path | Sequence[Path]
    output: Path
    start: Path | None
    known: Path | Sequence[Path]
    threads: Count | None
    ways: Share
    held_out: Count
    stills: TrainStage
    clips: TrainStage
    trips: TrainTrips
    carry: TrainStage
    world: TrainWorld
    networks: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf(Settings):
    """Of `chronosim whatif`."""

    model: Part
    scenario: Part
    prompter: Part
    policy: Part | None
    plans: Path | None
    steps: Count
    search: Literal["random", "cem"] | None
    budget: Count
    population: Count
    elites: Annotated[int, Range(2)]
    seek: Literal["best", "worst"]
    keep: Count
    follow: bool | None
    from_: Path | None
    at: Whole
    frame: Path | None
    fit: bool
    start: Values | None
    seed: Seed
    apart: Annotated[float, Range(0, 255, above=True)]
    at_once: Count | None
    trajectories: bool | None
    output: Path | None


COMMANDS = MappingProxyType(
    {
        "bench episodes": BenchEpisodes,
        "bench formats": BenchFormats,
        "bench model": BenchModel,
        "check": Check,
        "demo": Demo,
        "episodes compact": EpisodesCompact,
        "episodes export": EpisodesExport,
        "episodes import": EpisodesImport,
        "episodes ls": EpisodesLs,
        "episodes play": EpisodesPlay,
        "episodes repair": EpisodesRepair,
        "episodes replay": EpisodesReplay,
        "episodes show": EpisodesShow,
        "episodes stats": EpisodesStats,
        "episodes verify": EpisodesVerify,
        "evaluate": Evaluate,
        "guard": Guard,
        "judge": Judge,
        "predict": Predict,
        "record": Record,
        "rollout": Rollout,
        "scenarios check": ScenariosCheck,
        "scenarios ls": ScenariosLs,
        "scenarios show": ScenariosShow,
        "serve": Serve,
        "studio": Studio,
        "train": Train,
        "whatif": WhatIf,
    }
)
"""The settings of each command, by its name."""
