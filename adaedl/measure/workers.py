"""Tasks that need a loaded pair, and a worker that runs them in this process.

`adaedl.measure.ray_workers` runs the same tasks on the machines of a Ray cluster. Each task is yielded once,
with its result, when it finishes. With several workers, tasks may finish in another order.
"""

import gc
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adaedl.pairs.pair import Pair


def never() -> bool:
    return False


def ignore(share: float) -> None:
    pass


@dataclass(frozen=True)
class Watch:
    """Callbacks to follow a task.

    Attributes:
        progress: takes the completed share, from 0 to 1.
        enough: returns True once the task should end early with the results so far.
    """

    progress: Callable[[float], None] = ignore
    enough: Callable[[], bool] = never


@dataclass(frozen=True)
class Task:
    """Work for one device.

    Attributes:
        pair: the name of the pair that the task needs.
        work: takes the loaded pair and a watch, and returns the result. It is pickled, so it must be a
            function of a module or a `functools.partial` of such a function.
        label: its name in messages, such as "story 3 at temperature 0.7".
    """

    pair: str
    work: Callable[[Pair, Watch], Any]
    label: str


Results = Generator[tuple[Task, Any], None, None]


class Workers(Protocol):
    """One or more workers that run tasks.

    Attributes:
        failures: the labels of the tasks that were given up.
    """

    failures: list[str]

    def begin(self, pair: str) -> Any:
        """Load a pair and return a worker's description of it, from the `describe` of the workers.

        Raises:
            UserError: no worker can load the pair, or none is accepted.
        """

    def run(self, tasks: Sequence[Task], watch: Watch | None = None) -> Results:
        """Yield each task with its result when it finishes. Close the generator to cancel.

        Args:
            watch: follows the task, if there is only one. Without a watch, a signal ends the waiting.

        Raises:
            UserError: a task raised it, or no worker is left.
        """


class LocalWorker:
    """This process, with one pair in memory at a time.

    Args:
        load: loads a pair by name.
        describe: returns a description of a loaded pair.
        accept: takes the description of each loaded pair; may raise UserError.
    """

    def __init__(
        self,
        load: Callable[[str], Pair],
        describe: Callable[[Pair], Any],
        accept: Callable[[Any], None] = lambda description: None,
    ):
        self.failures: list[str] = []
        self._load, self._describe, self._accept = load, describe, accept
        self._name: str | None = None
        self._pair: Pair | None = None

    def begin(self, pair: str) -> Any:
        return self._describe(self._pair_named(pair))

    def run(self, tasks: Sequence[Task], watch: Watch | None = None) -> Results:
        for task in tasks:
            yield task, task.work(self._pair_named(task.pair), watch or Watch())

    def _pair_named(self, name: str) -> Pair:
        if self._pair is None or self._name != name:
            if self._pair is not None:
                self._pair = None  # frees its memory before the next pair is loaded
                gc.collect()
            pair = self._load(name)
            self._accept(self._describe(pair))
            self._name, self._pair = name, pair
        return self._pair
