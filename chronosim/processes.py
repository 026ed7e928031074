"""Work dealt out over the cores of this machine, without any of them standing in another's way."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from chronosim.errors import InvalidConfig, WorkerLost

Asked = TypeVar("Asked")
Given = TypeVar("Given")

_CGROUP = Path("/sys/fs/cgroup/cpu.max")
_ATTEMPTS = 3  # processes may be lost so many times before something new is finished


def usable_cpus() -> int:
    """The CPUs that this process may use: a container often sees many and may use two."""
    count = os.cpu_count() or 1
    with suppress(AttributeError):  # not on macOS
        count = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # not on Linux; or "max": no limit
        quota, period = map(int, _CGROUP.read_text().split())
        count = min(count, max(1, quota // period))
    return count


def settle_threads(environ: MutableMapping[str, str] = os.environ) -> None:
    """Has torch's threads wait politely, and be no more than the CPUs that may be used.

    Threads that wait for work spin by default, which on a busy machine takes the time from those
    that have some. What the user set stays; once torch is loaded it is too late.

    Args:
        environ: The environment variables to set.
    """
    if "torch" in sys.modules:
        return
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if (usable := usable_cpus()) < (os.cpu_count() or 1):
        environ.setdefault("OMP_NUM_THREADS", str(usable))


class Processes(Generic[Asked, Given]):
    """One function in several processes of this machine, made once in each; use it in a `with`.

    Args:
        make: Makes the function, in each process; it is pickled once.
        count: How many processes, >= 1.
        threads: Of torch, in each; None: the CPUs are divided among them.

    Raises:
        InvalidConfig: There is no process, or what makes the function cannot be pickled. What the
            making raises is raised where something is asked.
    """

    def __init__(
        self,
        make: Callable[[], Callable[[Asked], Given]],
        count: int,
        *,
        threads: int | None = None,
    ) -> None:
        if count < 1:
            raise InvalidConfig(f"work needs 1 process or more, not {count}")
        try:
            self._made = pickle.dumps(make)
        except Exception as error:  # pickle raises whatever an object's own methods raise
            raise InvalidConfig(f"other processes cannot be given this work: {error}") from error
        self._count = count
        self._threads = threads or max(1, usable_cpus() // count)
        self._pool = self._start()

    def submit(self, asked: Asked) -> Future[Given]:
        """Asks one of the processes.

        Raises:
            WorkerLost: A process was killed; so says the promise, too.
        """
        with deaf():  # a process is started where none is idle
            return self._pool.submit(_call, asked)

    def finished(self, asked: Iterable[Asked]) -> Iterator[Given]:
        """Asks for each, a few ahead, and gives what comes of them as it is finished.

        What a process was at when it was killed is asked again of another.

        Raises:
            WorkerLost: Processes are killed again and again, and nothing is finished.
        """
        left, losses = iter(asked), 0
        running: dict[Future[Given], Asked] = {}
        while True:
            for one in islice(left, max(0, 2 * self._count - len(running))):
                running[self.submit(one)] = one
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            try:
                for future in done:
                    given = future.result()
                    del running[future]
                    losses = 0
                    yield given
            except BrokenProcessPool as error:
                losses += 1
                if losses == _ATTEMPTS:
                    raise WorkerLost(_LOST) from error
                self._pool = self._start()
                running = {self.submit(one): one for one in running.values()}

    def __enter__(self) -> Processes[Asked, Given]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            end(self._pool)
        self._pool.shutdown()

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, context, _begin, (self._made, self._threads))


_LOST = (
    "processes of this run are killed again and again, perhaps for want of memory: ask for fewer "
    "(workers=); what is finished stays"
)
_function: Callable[[Any], Any]  # of this process, if it is one of `Processes`


def _begin(made: bytes, threads: int) -> None:
    """Makes this process's function; torch, which may come with it, finds its threads set."""
    global _function
    os.environ["OMP_NUM_THREADS"] = str(threads)
    settle_threads()
    try:
        _function = pickle.loads(made)()
    except Exception as error:  # told to who asks; here it would only end the process
        _function = partial(_fail, error)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _fail(error: Exception, asked: Any) -> Any:
    raise error


def _call(asked: Any) -> Any:
    return _function(asked)


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started inside never hear of Ctrl-C: who started them ends them.

    Else each of them would print where it was interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only there can signals be set, and are they heard
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)


@contextmanager
def closing(pool: ProcessPoolExecutor) -> Iterator[ProcessPoolExecutor]:
    """Gives a pool whose processes are ended where an error or Ctrl-C ends their work."""
    with pool:
        try:
            yield pool
        except BaseException:
            end(pool)
            raise


def end(pool: ProcessPoolExecutor) -> None:
    """Ends a pool's processes at once, whatever they are doing."""
    pool.shutdown(wait=False, cancel_futures=True)
    for process in [*(pool._processes or {}).values()]:
        process.terminate()
