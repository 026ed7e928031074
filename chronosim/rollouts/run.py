"""Many episodes of a policy, several at a time: each named by its seed, none lost, none doubled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter, time
from typing import Any

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from chronosim.envs.make import make_vector_env
from chronosim.envs.record_vector import RecordRows
from chronosim.envs.vector_env import ChronoVectorEnv
from chronosim.episodes import EpisodeReader
from chronosim.episodes.compaction import check_whole, compact
from chronosim.episodes.place import discard, give_name
from chronosim.policies import policy_name
from chronosim.settings.compose import make_part, with_seed

__all__ = ["episode_name", "logged_settings", "make_rows", "roll", "seeds_to_make"]

# What shapes an episode.
_LOGGED = ("model", "prompter", "scenario", "policy", "horizon", "guard", "seed")
_HALF_MADE = 60.0  # seconds after which a draft without a beginning is nobody's


def make_rows(config: DictConfig, num_envs: int, horizon: int) -> ChronoVectorEnv:
    """Makes the vector environment of the settings' model, prompter, scenario and guard.

    Args:
        config: The command's settings.
        num_envs: Episodes at a time.
        horizon: Steps after which an episode is cut.

    Raises:
        ChronosimError: A part, the policy among them, cannot be made.
    """
    make_part(config, "policy")
    # The model last: what is missing elsewhere is said before a large one is loaded.
    parts = {name: make_part(config, name) for name in ("scenario", "prompter", "model")}
    return make_vector_env(num_envs, **parts, horizon=horizon, guard=config.get("guard"))


def roll(recorder: RecordRows, config: DictConfig, seeds: Sequence[int]) -> int:
    """Rolls one episode out for each seed, as many at a time as the environment has rows.

    Each has a policy of its own, made with its seed; one call of the model moves all by a step.

    Args:
        recorder: Logs the environment's rows.
        config: The command's settings.
        seeds: One episode each.

    Returns:
        How many steps were taken.

    Raises:
        ChronosimError: As the policy, the environment and the disk; what is finished stays.
    """
    queue, taken = list(reversed(seeds)), 0
    policies: dict[int, Any] = {}
    began = perf_counter()
    with tqdm(total=len(seeds), unit="episode", disable=not seeds) as progress:
        while True:
            for row in range(recorder.env.num_envs):
                if row not in policies and queue:
                    policies[row] = _begin(recorder, row, queue.pop(), config)
            if not policies:
                return taken
            actions = {row: act(recorder.observation(row)) for row, act in policies.items()}
            for row, step in recorder.step(actions).items():
                if step.terminated or step.truncated:
                    del policies[row]
                    progress.update()
            taken += len(actions)
            progress.set_postfix_str(f"{taken / (perf_counter() - began):.1f} steps/s", False)


def logged_settings(config: DictConfig) -> dict[str, Any]:
    """Gives those settings that an episode follows from, for its log and for running it again."""
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    return {name: settings[name] for name in _LOGGED if name in settings}


def _begin(recorder: RecordRows, row: int, seed: int, config: DictConfig) -> Any:
    """Begins an episode in a row, and gives its policy."""
    own = with_seed(config, seed)
    policy = make_part(own, "policy")
    about = {"policy": policy_name(policy), "config": logged_settings(own)}
    recorder.begin(row, episode_name(seed), seed=seed, about=about)
    return policy


def episode_name(seed: int) -> str:
    """Names an episode by its seed: `0000007`."""
    return f"{seed:07d}"


def seeds_to_make(dataset: Path, seeds: Iterable[int]) -> list[int]:
    """Tells which episodes are still to be made, and mends what a broken-off run left.

    Other runs may be at work in the data set. An episode that only lacks its name gets it; a half
    of one under its name is removed; unfinished drafts stay readable until an attempt is finished.

    Args:
        dataset: The folder of the episodes.
        seeds: Of the wanted episodes.

    Returns:
        The seeds of those that are not there, in their order.

    Raises:
        InvalidEpisode: One was cut off and repaired: it is no whole episode, and not ours to
            remove. Nothing was removed.
    """
    wanted = {episode_name(seed): seed for seed in seeds}
    left: dict[str, list[Path]] = {}  # by the episode's name
    for entry in sorted(dataset.glob(".*")):
        left.setdefault(entry.name[1:].partition(".")[0], []).append(entry)
    for name in wanted:
        if (dataset / name / "zarr.json").is_file():
            check_whole(EpisodeReader(dataset / name))
    return [
        seed for name, seed in wanted.items() if not _is_there(dataset / name, left.get(name, []))
    ]


def _is_there(path: Path, left: Sequence[Path]) -> bool:
    """Whether an episode is finished, once what was left of attempts at it is seen to."""
    if path.exists() and not ((path / "zarr.json").is_file() and EpisodeReader(path).finished):
        discard(path)
    for entry in left:
        begun = (entry / "zarr.json").is_file()
        if begun and not path.exists() and EpisodeReader(entry).finished:
            give_name(entry, path)
            compact(path)
        elif path.exists() or (not begun and time() - entry.stat().st_mtime > _HALF_MADE):
            discard(entry)
    return path.exists()
