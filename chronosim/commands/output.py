"""Where a command leaves its results."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from chronosim.errors import InvalidConfig

__all__ = ["make_folder", "new_folder"]


def new_folder(config: DictConfig, command: str) -> Path:
    """Makes the folder for a run's results and writes its settings there.

    Args:
        config: The run's settings; `output` names the folder, None: runs/<command>/<date-time>.
        command: Name of the command.

    Raises:
        InvalidConfig: The folder holds something already, or cannot be made.
    """
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = Path("runs", command, now) if config.output is None else Path(str(config.output))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidConfig(
            f"{folder} holds something already, and nothing is overwritten: "
            "choose another output=, or remove it"
        )
    make_folder(config, folder)
    return folder


def make_folder(config: DictConfig, folder: Path) -> None:
    """Makes a folder and writes a run's resolved settings there, as config.yaml.

    Raises:
        InvalidConfig: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, folder / "config.yaml", resolve=True)
    except OSError as error:
        raise InvalidConfig(f"results cannot be written to {folder}: {error}") from error
