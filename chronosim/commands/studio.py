"""Opens the studio: a page to drive a world model, fork it, compare its futures and save them.

Keys steer a car, a click sends the pusher, words tell a model that takes instructions. Every moment
stays in a tree to go back to; futures from one moment are shown side by side; what is saved are
episodes as every other command knows them, and those in the studio's folder can be opened and gone
on with. Everything is served from this machine and nothing is fetched from elsewhere. Beyond
loopback (host=0.0.0.0) everyone is asked for a token, which the address printed here carries.

Examples:
    chronosim studio
    chronosim studio scenario=pusht seed=3 folder=episodes
    chronosim studio model=chronoedit-14b-turbo model.offload=model host=0.0.0.0 port=9000
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.settings.compose import make_part, whole_number

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work.
    """
    try:
        from chronosim.studio.app import open_browser, serve
        from chronosim.studio.library import Library
        from chronosim.studio.sessions import Sessions
        from chronosim.studio.studio import Studio
        from chronosim.studio.workshop import Workshop
        from chronosim.studio.worlds import Worlds
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"the studio needs {error.name}: pip install 'chronosim[studio]'"
        ) from error
    from chronosim.studio.workshop import Models

    whole_number(config, "seed", 0)
    port, most = whole_number(config, "port", 0), whole_number(config, "megabytes", 1)
    if "://" in str(config.folder):
        raise InvalidConfig(f"folder must be one on this machine, not {config.folder}")
    make_part(config, "prompter")
    make_part(config, "scenario")  # what cannot be is said here, not in the browser
    workshop = Workshop()
    models = Models(workshop.progress, most=whole_number(config, "loaded", 1))
    worlds = Worlds(config, models)
    workshop.prepare(lambda: worlds.make(worlds.scenario, worlds.model, {}))
    studio = Studio(
        worlds,
        workshop,
        Sessions(whole_number(config, "sessions", 1)),
        Library(Path(str(config.folder))),
        most * 2**20,
    )

    def ready(address: str) -> None:
        print(f"The studio is at {address}\nStop it with Ctrl+C; episodes: {studio.library.root}")
        if config.browser:
            open_browser(address)

    token = None if config.token is None else str(config.token)
    serve(studio, host=str(config.host), port=port, token=token, ready=ready)
