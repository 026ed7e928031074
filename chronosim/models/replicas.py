"""One world model in several processes: prompts are dealt out among them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import pairwise
from typing import Any

from chronosim.errors import WorkerLost
from chronosim.models.named import load_model
from chronosim.processes import Processes
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Prediction

Asked = Sequence[EditPrompt] | None
Given = tuple[Mapping[str, Any], list[Prediction]]


class Replicas:
    """Deals the prompts of a call out among copies of a model, each in a process of its own.

    It pays where a call of eight prompts takes eight times as long as a call of one: on a CPU. Each
    answer is that of the model alone; `close` ends the processes.

    Args:
        of: Makes the model, once in each process; pickled.
        replicas: How many copies, >= 1.
        threads: Of torch, for each; None: the CPUs are divided among them.

    Raises:
        InvalidConfig: There is no copy, or what makes the model cannot be pickled.
        ChronosimError: As the making raises.
    """

    def __init__(
        self, of: Callable[[], WorldModel], *, replicas: int = 2, threads: int | None = None
    ) -> None:
        self._processes = Processes(partial(_answers, of), replicas, threads=threads)
        self._count = replicas
        loading = [self._processes.submit(None) for _ in range(replicas)]
        self._identity = next(made.result()[0] for made in loading)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's: a copy answers as it does."""
        return self._identity

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt.

        Raises:
            WorkerLost: A process was killed.
            ChronosimError: As the model raises.
        """
        count = min(self._count, len(prompts))
        bounds = [len(prompts) * share // count for share in range(count + 1)] if count else []
        asked = [prompts[a:b] for a, b in pairwise(bounds)]
        try:
            answers = [self._processes.submit(share) for share in asked]
            return [one for answer in answers for one in answer.result()[1]]
        except BrokenProcessPool as error:
            raise WorkerLost(
                "a copy of the model was killed, perhaps for want of memory: ask for fewer copies"
            ) from error

    def close(self) -> None:
        """Ends the processes."""
        self._processes.__exit__(None)


def _answers(of: Callable[[], WorldModel]) -> Callable[[Asked], Given]:
    """Makes the model, and what answers by it; None asks for its identity alone."""
    model = of()
    identity = json.loads(json.dumps(model.identity, default=dict))  # a mapping of any kind

    def answer(prompts: Asked) -> Given:
        return identity, [] if prompts is None else model.predict(prompts)

    return answer


def load_replicas(
    of: str,
    *,
    replicas: int = 2,
    threads: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Replicas:
    """Gives copies of a model, each in a process of its own.

    Args:
        of: A name in `scenarios/conf/model`, a local folder, or a hub id.
        replicas: How many copies, >= 1.
        threads: Of torch, for each; None: the CPUs are divided among them.
        settings: Of the model.

    Raises:
        ChronosimError: As `Replicas`, and as the model's own making raises.
    """
    return Replicas(partial(load_model, of, **(settings or {})), replicas=replicas, threads=threads)
