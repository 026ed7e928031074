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

from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.settings.commands import Studio as Settings


def run(settings: Settings) -> None:
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

    if "://" in settings.folder:
        raise InvalidConfig(f"folder must be one on this machine, not {settings.folder}")
    settings.prompter.make()
    settings.scenario.make()  # what cannot be is said here, not in the browser
    workshop = Workshop()
    models = Models(workshop.progress, most=settings.loaded)
    worlds = Worlds(settings.composed, models)
    workshop.prepare(lambda: worlds.make(worlds.scenario, worlds.model, {}))
    studio = Studio(
        worlds,
        workshop,
        Sessions(settings.sessions),
        Library(Path(settings.folder)),
        settings.megabytes * 2**20,
    )

    def ready(address: str) -> None:
        print(f"The studio is at {address}\nStop it with Ctrl+C; episodes: {studio.library.root}")
        if settings.browser:
            open_browser(address)

    serve(studio, host=settings.host, port=settings.port, token=settings.token, ready=ready)
