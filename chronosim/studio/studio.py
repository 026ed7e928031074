"""What the studio can be asked to do, as the pages ask it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chronosim.errors import InvalidConfig
from chronosim.studio.library import Library, plant, save_branch, save_tree
from chronosim.studio.sessions import Desk, Session, Sessions
from chronosim.studio.tree import SessionTree
from chronosim.studio.workshop import Job, Workshop
from chronosim.studio.worlds import Worlds
from chronosim.types import Frame


class SessionMoved(Exception):
    """Raised when a page asks on the strength of what is no longer so; its session goes along."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("this session moved on in another window: here is where it is now")
        self.desk = desk


@dataclass(frozen=True, slots=True, eq=False)
class Studio:
    """All that the pages share; its methods are called in the event loop.

    Attributes:
        worlds: Makes worlds of names.
        workshop: Where models load and predict.
        sessions: The sessions.
        library: The folder of episodes.
        most: Bytes of frames that a session may hold.
    """

    worlds: Worlds
    workshop: Workshop
    sessions: Sessions
    library: Library
    most: int

    def begin(self, asked: Mapping[str, Any], frame: Frame | None = None) -> Desk:
        """Opens a session and begins a world in it; `scenario`, `model`, `sampling` and `seed`.

        Args:
            asked: As a page sends it; what is not there is as the studio was started.
            frame: A first frame of one's own.

        Raises:
            ChronosimError: No room, or something asked for that cannot be. What only shows while
                the world is made is the job's problem.
        """
        scenario, model, sampling = self._choice(asked)
        seed = asked.get("seed", 0)
        if type(seed) is not int or not 0 <= seed < 2**31:
            raise InvalidConfig(f"a seed must be a whole number from 0 to 2147483647, not {seed!r}")

        def make() -> Session:
            chosen = self.worlds.make(scenario, model, sampling, frame)
            first, noise = chosen.begin(seed)
            origin = f"{scenario}, seed {seed}" if frame is None else "a frame of one's own"
            tree = SessionTree(first, noise, most=self.most)
            return Session(chosen, tree, seed=seed if frame is None else None, origin=origin)

        return self._begin(f"loading {model}", make, asked)

    def open(self, asked: Mapping[str, Any]) -> Desk:
        """Opens a session on an episode or a tree of the library: `path`, and as `begin`.

        Raises:
            ChronosimError: As `begin`.
        """
        scenario, model, sampling = self._choice(asked)
        path = asked.get("path")
        if not isinstance(path, str):
            raise InvalidConfig("a path in the studio's folder is needed to open something")

        def make() -> Session:
            readers = self.library.open(path)
            name = self.worlds.maker(readers[0].about.get("prompter"), scenario)
            chosen = self.worlds.make(name, model, sampling)
            tree = plant(readers, chosen.world.model.identity, most=self.most)
            chosen.check_fit(tree[0].observation, path)
            return Session(chosen, tree, seed=None, origin=path)

        return self._begin(f"opening {path[:80]}", make, asked)

    def work(
        self, desk: Desk, asked: Mapping[str, Any], doing: str, what: Callable[[], Any]
    ) -> Job:
        """Has something done in a session by the model.

        Args:
            desk: The session's.
            asked: As a page sends it, with the `version` that it knows of.
            doing: What it is, for people.
            what: To be done.

        Raises:
            SessionMoved: The session is not what the page takes it for.
            SessionBusy: It is at something already.
        """
        self.check_version(desk, asked)
        job = Job(doing)
        desk.take(job)
        self.workshop.start(job, what)
        return job

    def check_version(self, desk: Desk, asked: Mapping[str, Any]) -> None:
        """Checks that a page knows where its session is.

        Raises:
            SessionMoved: It does not.
        """
        if asked.get("version") != desk.opened().version:
            raise SessionMoved(desk)

    def save(self, session: Session, asked: Mapping[str, Any]) -> str:
        """Saves a session's tree, or the branch looked at (`what`: "branch"); gives the path.

        Raises:
            ChronosimError: There is nothing to save, or the disk refuses.
        """
        folder = self.library.new_folder()
        if asked.get("what") == "branch":
            path = save_branch(session, session.at, folder)
        else:
            path = save_tree(session, folder)
        session.saved = str(path)
        return str(path)

    def _choice(self, asked: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]]:
        scenario = asked.get("scenario", self.worlds.scenario)
        model = asked.get("model", self.worlds.model)
        sampling = asked.get("sampling", {})
        if not isinstance(scenario, str) or not isinstance(model, str):
            raise InvalidConfig("scenario and model must be names")
        if not isinstance(sampling, dict):
            raise InvalidConfig("sampling must be settings by name")
        return scenario, model, sampling

    def _begin(self, doing: str, make: Callable[[], Session], asked: Mapping[str, Any]) -> Desk:
        desk, job = self.sessions.new(), Job(doing)
        desk.take(job)

        def made() -> None:
            try:
                desk.session = make()
            except BaseException:
                self.sessions.drop(desk)
                raise
            self.sessions.leave(str(asked.get("instead", "")))

        self.workshop.start(job, made)
        return desk
