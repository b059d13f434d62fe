"""Work that belongs to an id and not to a connection. A race, a recording or a sweep goes on in a thread of
its own while the visitor's connection is cut or their page reloads, and is found again under its id.

The reason is gradio: when a stream breaks, it closes the generator behind it at once, and the browser polls
the server every two seconds and reloads the page as soon as there is an answer. So the stream of an event
only follows a job. The browser's tab keeps the id (assets/js/kept.js), and follows the job again.

On ZeroGPU nothing outlives the request that a GPU was lent to: there a job is advanced by the first stream
that follows it, and ends when that stream breaks. What it has done until then is kept as for any other.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from components.parts.messages import say
from components.settings.hosting import on_zero_gpu

# A page that lost its connection reloads within seconds of its return; a tunnel or a change of network takes
# up to a minute. Most abandoned races end by themselves in less.
GRACE_S = 60
# A sweep yields to others between any two of its runs, so waiting longer for its visitor costs them little.
SWEEP_GRACE_S = 120
KEPT_S = 3600  # without any use
SENDING_S = 5  # longest wait for followers to send the last update
POLL_S = 0.5


class Update(Protocol):
    """How far work is: a dataclass with words for a status line, and whether the work has ended."""

    words: str
    ended: bool


class Work(Protocol):
    """What a job does, and the results that are kept."""

    grace_s: float

    def run(self) -> Generator[Update, None, None]:
        """Do the work and yield its progress; it rests until the next update is asked for. Closing the
        generator ends it at once."""

    def stop(self) -> None:
        """Make it end soon."""

    @property
    def size(self) -> int:
        """The bytes that it holds."""


class _Job:
    """One piece of work, running or done."""

    def __init__(self, work: Work, update: Update | None = None):
        self.work = work
        self.update = update  # the last one
        self.count = 0  # of updates
        self.begun = self.ended = update is not None
        self.used = self.left = time.monotonic()  # since when it is not used, and not followed
        self.forgotten = False
        self._taken: dict[object, int] = {}  # by each follower
        self._changed = threading.Condition()

    @property
    def in_use(self) -> bool:
        return (self.begun and not self.ended) or bool(self._taken)

    @property
    def is_over(self) -> bool:
        """Whether its last update has come."""
        return self.ended or (self.update is not None and self.update.ended)

    def advance(self) -> Iterator[Update]:
        """Do the work and yield its updates, storing each as the last one first. Close it to end the work."""
        try:
            with closing(self.work.run()) as updates:
                for update in updates:
                    with self._changed:
                        self._tell(update)
                    yield update
        finally:
            with self._changed:
                if self.update and not self.update.ended:
                    self._tell(replace(self.update, words=say("host.status_left"), ended=True))
                self.ended = True
                self.used = time.monotonic()
                self._changed.notify_all()

    def _tell(self, update: Update) -> None:
        self.update, self.count = update, self.count + 1
        self._changed.notify_all()

    @property
    def is_left(self) -> bool:
        """Whether nobody has followed it for longer than its grace period."""
        with self._changed:
            return not self._taken and time.monotonic() - self.left > self.work.grace_s

    def wait_until_sent(self) -> None:
        """Wait until all followers have sent the last update, so that sending does not disturb timed work."""
        with self._changed:
            self._changed.wait_for(lambda: all(n >= self.count for n in self._taken.values()), SENDING_S)

    def follow(self) -> Iterator[Update]:
        """Yield the last update, then new ones as they come; where several came at once, only the last of
        them."""
        me, seen = object(), 0
        try:
            while True:
                with self._changed:
                    self._taken[me] = seen  # it has been sent, since the follower asks for more
                    self._changed.notify_all()
                    self._wait_for_more_than(seen)
                    seen, update, ended = self.count, self.update, self.ended
                if update:
                    yield update
                if ended:
                    return
        finally:
            with self._changed:
                self._taken.pop(me, None)
                self.used = self.left = time.monotonic()
                self._changed.notify_all()

    def _wait_for_more_than(self, seen: int) -> None:
        self._changed.wait_for(lambda: self.count > seen or self.ended, POLL_S)


class Jobs:
    """All jobs of the process by id, the most recently used one last.

    Args:
        most_bytes: the memory for ended and running jobs together. Above it, the least recently used jobs are
            deleted, but never one that is running or followed.
    """

    def __init__(self, most_bytes: int):
        self.most_bytes = most_bytes
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._lock = threading.RLock()

    def start(self, work: Work) -> str:
        """Start work in its own thread (on ZeroGPU: when it is first followed); return its id, which nobody
        can guess."""
        job = _Job(work)
        job.begun = not on_zero_gpu()
        name = self._add(job)
        if job.begun:
            threading.Thread(target=self._drive, args=(job,), name="job", daemon=True).start()
        return name

    def keep(self, work: Work, update: Update) -> str:
        """Keep finished work, such as an opened file, with its update; returns its id."""
        name = self._add(_Job(work, update))
        self.make_room()
        return name

    def _add(self, job: _Job) -> str:
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._jobs[name] = job
        return name

    def _drive(self, job: _Job) -> None:
        with closing(job.advance()) as updates:
            for _ in updates:
                job.wait_until_sent()
                if job.is_left:
                    break
        self.make_room()

    def find(self, name: object, kind: type) -> Work | None:
        """Return the work of an id if it is of that kind, otherwise None."""
        job = self._job(name)
        return job.work if job and isinstance(job.work, kind) else None

    def is_under_way(self, name: object) -> bool:
        """Return whether an id belongs to work that has not ended."""
        job = self._job(name)
        return job is not None and not job.is_over

    def follow(self, name: object) -> Iterator[Update]:
        """Yield a job's last update at once, then new ones as they come, up to its final one. Closing this
        leaves the job, which goes on for its grace period."""
        job = self._job(name)
        if job is None:
            return
        with self._lock:
            first, job.begun = not job.begun, True
        with closing(job.advance() if first else job.follow()) as updates:
            yield from updates
        self.make_room()

    def stop(self, name: object) -> None:
        """Ask a job to end."""
        job = self._job(name)
        if job and not job.is_over:
            job.work.stop()

    def forget(self, name: object) -> None:
        """Delete a job that no tab can ask for any more, once it has ended."""
        job = self._job(name)
        if job:
            job.forgotten = True
        self.make_room()

    def stop_all(self) -> None:
        """Ask every job to end, because the page is no longer served."""
        with self._lock:
            names = list(self._jobs)
        for name in names:
            self.stop(name)

    @property
    def size(self) -> int:
        """The bytes that all of them hold."""
        with self._lock:
            return sum(job.work.size for job in self._jobs.values())

    def make_room(self) -> None:
        """Delete jobs that no tab asks for or that have not been used for KEPT_S, and as many more as
        `most_bytes` requires."""
        oldest = time.monotonic() - KEPT_S
        with self._lock:
            size = self.size
            newest = next(reversed(self._jobs), None)
            for name, job in list(self._jobs.items()):
                too_much = size > self.most_bytes and name != newest
                if not job.in_use and (too_much or job.forgotten or job.used < oldest):
                    size -= job.work.size
                    del self._jobs[name]

    def _job(self, name: object) -> _Job | None:
        with self._lock:
            job = self._jobs.get(name) if isinstance(name, str) else None
            if job:
                job.used = time.monotonic()
                self._jobs.move_to_end(name)
        return job
