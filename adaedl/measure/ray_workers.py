"""Run tasks on a Ray cluster. An actor on each device holds the pair, and each task runs on one actor.

If a worker is lost, because its process, machine or device fails, a new worker is started and the task goes
to the next idle worker. A result counts only from the worker that got the task last, so no result comes
twice. A task that has lost three workers is given up, and the other tasks continue.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from adaedl.errors import UserError, first_line
from adaedl.measure.ray_cluster import Share
from adaedl.measure.ray_worker import Hello, PairWorker, code_version
from adaedl.measure.workers import Results, Task, Watch
from adaedl.stopping import STOPPERS
from adaedl.stopping.plugins import VARIABLE as OTHER_STOPPERS
from adaedl.system import interrupts
from adaedl.system.threads import SETTING

MOST_LOSSES = 3  # workers lost by one task, or failed starts of one worker before it has loaded a pair
LOOK_AHEAD = 200  # queued tasks among which a worker looks for one with its loaded pair
WAIT_S = 0.5
PATIENCE_S = 30  # until a note reports that no worker has started
# Environment variables of the user that apply to all machines.
PASSED_ON = (SETTING, OTHER_STOPPERS)


@dataclass
class _Lost:
    """The answer of a lost worker."""

    reason: str


@dataclass
class _Worker:
    """An actor and its pending request: hello (while `host` is None), to load `loading`, or `task`."""

    actor: Any
    pending: Any = None  # reference to the answer
    host: str | None = None
    loading: str | None = None
    pair: str | None = None
    task: Task | None = None
    failed_starts: int = 0

    @property
    def is_idle(self) -> bool:
        return self.pending is None


@dataclass
class RayWorkers:
    """Workers on a cluster. A context manager that kills all actors at its end.

    Args:
        ray: the module, connected to the cluster.
        load, describe, accept: as in `LocalWorker`. `load` and `describe` are pickled. A worker that is not
            accepted gets no tasks.
        note: takes a sentence about a lost or refused worker.
    """

    ray: Any
    share: Share
    load: Callable[[str], Any]
    describe: Callable[[Any], Any]
    accept: Callable[[Any], None]
    note: Callable[[str], None]
    failures: list[str] = field(default_factory=list)

    def __post_init__(self):
        self._losses: dict[Task, int] = {}
        self._refusals: set[str] = set()  # reported so far
        self._descriptions: dict[str, Any] = {}  # of accepted pairs
        self._workers = [_Worker(None) for _ in range(self.share.workers)]
        self._actor_class = self._make_actor_class()

    def __enter__(self) -> "RayWorkers":
        for worker in self._workers:
            self._start(worker)
        return self

    def __exit__(self, *_) -> None:
        for worker in self._workers:
            self._kill(worker)

    @property
    def _any_started(self) -> bool:
        return any(worker.host is not None for worker in self._workers)

    def begin(self, pair: str) -> Any:
        start, is_reported = time.monotonic(), False
        while pair not in self._descriptions:
            if not is_reported and time.monotonic() - start > PATIENCE_S and not self._any_started:
                is_reported = True
                self.note("no worker has started yet; other jobs may use the CPUs and GPUs of the cluster")
            for worker in self._workers:
                if worker.is_idle and worker.host is not None and worker.loading is None:
                    self._load(worker, pair)
            for worker in self._answered(None):
                self._take(worker, deque())
        return self._descriptions[pair]

    def run(self, tasks: Sequence[Task], watch: Watch | None = None) -> Results:
        queue = deque(tasks)
        results: list[tuple[Task, Any]] = []
        while True:
            for worker in self._workers:
                if queue and worker.is_idle:
                    self._give(worker, _next_task(queue, worker.pair))
            yield from results  # while the workers continue
            if not queue and not any(worker.task for worker in self._workers):
                return
            results = self._results(queue, watch)

    # Requests to workers.

    def _start(self, worker: _Worker) -> None:
        environment = {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
        environment["OMP_NUM_THREADS"] = str(max(self.share.cores, 1))  # a CPU quota may allow fewer threads
        worker.actor = self._actor_class.remote(environment, os.getcwd())
        worker.host = worker.loading = worker.pair = worker.task = None
        worker.pending = worker.actor.hello.remote()

    def _make_actor_class(self):
        for method in (PairWorker.progress, PairWorker.stop):  # must answer while a task runs
            self.ray.method(concurrency_group="control")(method)
        return self.ray.remote(
            num_cpus=self.share.cores,
            num_gpus=self.share.gpus,
            scheduling_strategy="SPREAD",
            concurrency_groups={"control": 1},
        )(PairWorker)

    def _load(self, worker: _Worker, pair: str) -> None:
        worker.loading, worker.pair = pair, None
        worker.pending = worker.actor.load.remote(partial(self.load, pair), self.describe)

    def _give(self, worker: _Worker, task: Task) -> None:
        worker.task = task
        if worker.pair == task.pair:
            worker.pending = worker.actor.do.remote(task.work)
        else:
            self._load(worker, task.pair)

    # Answers of workers.

    def _answered(self, watch: Watch | None) -> list[_Worker]:
        """Wait a short time for answers; return the workers that have answered."""
        pending = {worker.pending: worker for worker in self._workers if worker.pending is not None}
        if watch is None:
            with interrupts.held():  # Ray would raise a KeyboardInterrupt without the signal
                done, _ = self.ray.wait(list(pending), timeout=WAIT_S)
        else:
            done, _ = self.ray.wait(list(pending), timeout=WAIT_S)
            self._follow(watch)
        return [pending[reference] for reference in done]

    def _results(self, queue: deque[Task], watch: Watch | None) -> list[tuple[Task, Any]]:
        """Wait a short time for answers; return the finished tasks with their results."""
        finished = []
        for worker in self._answered(watch):
            task = worker.task if worker.loading is None else None
            answer = self._take(worker, queue)
            if task is not None and not isinstance(answer, _Lost):
                finished.append((task, answer))
        return finished

    def _follow(self, watch: Watch) -> None:
        """Report the progress of the tasks, or ask them to end."""
        for worker in self._workers:
            if worker.task is None or worker.loading is not None:
                continue
            try:
                if watch.enough():
                    self.ray.get(worker.actor.stop.remote(), timeout=WAIT_S)
                else:
                    watch.progress(self.ray.get(worker.actor.progress.remote(), timeout=WAIT_S))
            except self.ray.exceptions.RayError:
                pass  # the pending answer will show that the worker is lost

    def _take(self, worker: _Worker, queue: deque[Task]) -> Any:
        """Take the answer of a worker, send its next request, and return the answer.

        Raises:
            UserError: the worker's task raised it, or no worker is left.
        """
        reference, worker.pending = worker.pending, None
        try:
            answer = self.ray.get(reference)
        except (self.ray.exceptions.RayError, OSError) as error:
            answer = _Lost(_reason(self.ray, error))
            self._replace(worker, answer.reason, queue)
            return answer
        if worker.host is None:
            self._welcome(worker, answer)
        elif worker.loading is not None:
            self._loaded(worker, answer, queue)
        elif isinstance(answer, UserError):
            raise answer
        else:
            worker.task = None
        return answer

    def _welcome(self, worker: _Worker, hello: Hello) -> None:
        worker.host = hello.host
        if error := unfit(hello):
            self._refuse(worker, error)

    def _loaded(self, worker: _Worker, answer: Any, queue: deque[Task]) -> None:
        try:
            if isinstance(answer, UserError):
                raise answer
            self.accept(answer)
        except UserError as error:
            if worker.task is not None:
                queue.appendleft(worker.task)
            self._refuse(worker, error)
            return
        assert worker.loading is not None
        self._descriptions[worker.loading] = answer
        worker.pair, worker.loading, worker.failed_starts = worker.loading, None, 0
        if worker.task is not None:
            self._give(worker, worker.task)

    def _replace(self, worker: _Worker, reason: str, queue: deque[Task]) -> None:
        """Restart a lost worker, and put its task back into the queue."""
        host, task, was_working = worker.host or "a machine", worker.task, worker.loading is None
        self._kill(worker)
        if task is None or not was_working:
            if task is not None:
                queue.appendleft(task)
            worker.failed_starts += 1
        else:
            self._put_back(task, host, reason, queue)
        if worker.failed_starts == MOST_LOSSES:
            self._refuse(worker, UserError("A worker on {} does not start: {}.", host, reason))
        else:
            self._start(worker)

    def _put_back(self, task: Task, host: str, reason: str, queue: deque[Task]) -> None:
        self._losses[task] = losses = self._losses.get(task, 0) + 1
        if losses < MOST_LOSSES:
            queue.appendleft(task)
            self.note(f"lost a worker on {host} ({reason}); {task.label} runs again")
        else:
            self.failures.append(task.label)
            self.note(f"lost a worker on {host} ({reason}); {task.label} is given up after {losses} workers")

    def _refuse(self, worker: _Worker, error: UserError) -> None:
        """Remove a worker.

        Raises:
            UserError: no worker is left.
        """
        self._kill(worker)
        self._workers.remove(worker)
        if not self._workers:
            raise error
        sentence = str(error)
        if sentence not in self._refusals:  # workers may have the same problem
            self._refusals.add(sentence)
            self.note(f"a worker on {worker.host or 'a machine'} is not used: {sentence}")

    def _kill(self, worker: _Worker) -> None:
        if worker.actor is not None:
            self.ray.kill(worker.actor)
        worker.actor = worker.pending = None


def unfit(hello: Hello) -> UserError | None:
    """Return the reason why a worker cannot replace this process, or None."""
    if hello.version != code_version():
        return UserError(
            "{} has adaedl {} and this machine {}; install the same version on all machines.",
            hello.host,
            hello.version,
            code_version(),
        )
    if missing := set(STOPPERS).difference(hello.stoppers):
        reasons = " ".join(hello.problems) or "Install what registers them there, too."
        return UserError("{} lacks the stoppers {}. {}", hello.host, ", ".join(sorted(missing)), reasons)
    return None


def _next_task(queue: deque[Task], pair: str | None) -> Task:
    """Take the next task from a queue, preferably one with this pair."""
    place = next((at for at, task in enumerate(islice(queue, LOOK_AHEAD)) if task.pair == pair), 0)
    task = queue[place]
    del queue[place]
    return task


def _reason(ray, error: Exception) -> str:
    """Return the reason why a worker is lost, in a few words."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return first_line(error.cause) if isinstance(error.cause, Exception) else "its task failed"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "its machine ran out of memory"
    if "error raised in its creation task" in str(error):
        return str(error).strip().splitlines()[-1]
    return "its process or machine is gone"
