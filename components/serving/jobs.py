"""Jobs: work that belongs to an id rather than to a connection. A race, a recording or a sweep continues in
its own thread while the visitor's connection is down or their page reloads; the page finds it again by its
id.

gradio makes this necessary. When a stream breaks, gradio closes the generator behind it at once; the browser
then polls the server every two seconds and reloads the page as soon as the server answers. So the stream of
an event only follows a job. The browser's tab keeps the id (assets/js/kept.js) and follows the job again.

On ZeroGPU nothing outlives the request that was granted a GPU. There the first stream that follows a job also
advances it, and the job ends when that stream breaks. Its results so far are kept as usual.
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

# A page that lost its connection reloads within seconds once the network is back; a tunnel or a change of
# network takes up to a minute. Most abandoned races finish sooner than that.
GRACE_S = 60
# Between two runs of a sweep others get the device, so waiting longer for its visitor costs them little.
SWEEP_GRACE_S = 120
KEPT_S = 3600  # unused jobs are deleted after this time
SENDING_S = 5  # the longest wait for followers to send the last update
POLL_S = 0.5


class Update(Protocol):
    """The progress of work: a dataclass with words for a status line, and whether the work has ended."""

    words: str
    ended: bool


class Work(Protocol):
    """What a job does, and its results, which are kept."""

    grace_s: float

    def run(self) -> Generator[Update, None, None]:
        """Do the work and yield its progress. The work pauses until the next update is requested; closing the
        generator ends it at once."""

    def stop(self) -> None:
        """Make the work end soon."""

    @property
    def size(self) -> int:
        """The bytes that the work holds."""


class _Job:
    """One piece of work, running or done."""

    def __init__(self, work: Work, update: Update | None = None):
        self.work = work
        self.update = update  # the last one
        self.count = 0  # of updates
        self.begun = self.ended = update is not None
        self.used = self.left = time.monotonic()  # when it was last used, and last followed
        self.forgotten = False
        self._sent: dict[object, int] = {}  # follower → the number of the update that it has sent
        self._changed = threading.Condition()

    @property
    def in_use(self) -> bool:
        return (self.begun and not self.ended) or bool(self._sent)

    @property
    def is_over(self) -> bool:
        """Whether its final update has come."""
        return self.ended or (self.update is not None and self.update.ended)

    def advance(self) -> Iterator[Update]:
        """Do the work and yield its updates, storing each as the last one. Close it to end the work."""
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
            return not self._sent and time.monotonic() - self.left > self.work.grace_s

    def wait_until_sent(self) -> None:
        """Wait until all followers have sent the last update, so that sending does not disturb timed work."""
        with self._changed:
            self._changed.wait_for(lambda: all(n >= self.count for n in self._sent.values()), SENDING_S)

    def follow(self) -> Iterator[Update]:
        """Yield the last update, then new ones as they come; of several that came at once, yield only the
        last."""
        me, seen = object(), 0
        try:
            while True:
                with self._changed:
                    self._sent[me] = seen  # the follower asks for more, so it has sent this one
                    self._changed.notify_all()
                    self._wait_for_more_than(seen)
                    seen, update, ended = self.count, self.update, self.ended
                if update:
                    yield update
                if ended:
                    return
        finally:
            with self._changed:
                self._sent.pop(me, None)
                self.used = self.left = time.monotonic()
                self._changed.notify_all()

    def _wait_for_more_than(self, seen: int) -> None:
        self._changed.wait_for(lambda: self.count > seen or self.ended, POLL_S)


class Jobs:
    """All jobs of the process by id, the most recently used one last.

    Args:
        most_bytes: the memory for all jobs together. Above it, the least recently used jobs are deleted, but
            never one that is running or followed.
    """

    def __init__(self, most_bytes: int):
        self.most_bytes = most_bytes
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._lock = threading.RLock()

    def start(self, work: Work) -> str:
        """Start work in its own thread (on ZeroGPU: when it is first followed); return its unguessable id."""
        job = _Job(work)
        job.begun = not on_zero_gpu()
        name = self._add(job)
        if job.begun:
            threading.Thread(target=self._drive, args=(job,), name="job", daemon=True).start()
        return name

    def keep(self, work: Work, update: Update) -> str:
        """Keep finished work, such as an opened file, with its update; return its id."""
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
        """Return the work with an id if it is of that kind, otherwise None."""
        job = self._job(name)
        return job.work if job and isinstance(job.work, kind) else None

    def is_under_way(self, name: object) -> bool:
        """Return whether an id belongs to work that has not ended."""
        job = self._job(name)
        return job is not None and not job.is_over

    def follow(self, name: object) -> Iterator[Update]:
        """Yield a job's last update at once, then new ones as they come, up to the final one. After this is
        closed, the job continues for its grace period."""
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
        """Delete a job that no tab can ask for any longer, as soon as it has ended."""
        job = self._job(name)
        if job:
            job.forgotten = True
        self.make_room()

    def stop_all(self) -> None:
        """Ask every job to end, because the page shuts down."""
        with self._lock:
            names = list(self._jobs)
        for name in names:
            self.stop(name)

    @property
    def size(self) -> int:
        """The bytes that all jobs hold."""
        with self._lock:
            return sum(job.work.size for job in self._jobs.values())

    def make_room(self) -> None:
        """Delete jobs that were forgotten or have not been used for KEPT_S, and more of them while all
        together exceed `most_bytes`."""
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
