"""Teams of threads that share jobs."""

import ctypes
import os
import threading

import torch

from adaedl.models.cpu.kernels import entry_points
from adaedl.models.cpu.kernels.intrinsics import libc
from adaedl.models.cpu.kernels.jobs import ACTIVE, LINE_BYTES, SEMAPHORE
from adaedl.models.cpu.kernels.records import JobRecord
from adaedl.models.cpu.memory import aligned

MAX_THREADS = 256

lead, follow = entry_points.compile_lead(), entry_points.compile_follow()
# The first releases the interpreter's lock, the second holds it.
_lead_without_lock, _lead_with_lock = (
    prototype(None, ctypes.c_int64, ctypes.c_int64)(lead.address)
    for prototype in (ctypes.CFUNCTYPE, ctypes.PYFUNCTYPE)
)
_follow = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(follow.address)


def thread_count() -> int:
    """Return the number of threads that share a job."""
    return min(torch.get_num_threads(), MAX_THREADS)


class Team:
    """Threads that share jobs, and their shared memory. The thread that calls `run` leads the job. The other
    threads are started when they are first needed, and never end.

    Args:
        alone: never start other threads.
    """

    def __init__(self, alone: bool = False):
        self.alone = alone
        self.lock = threading.Lock()
        words = (1 if alone else MAX_THREADS) + 1
        self.memory = aligned(torch.zeros(words, LINE_BYTES // 8, dtype=torch.long))
        self.address = self.memory.data_ptr()
        self.actives = self.memory[1:, ACTIVE].numpy()
        self.states = torch.zeros(0, dtype=torch.long)
        self.width = 0  # number of states per thread
        self.started = 1
        self.tick = 1
        self.kept: list[tuple[dict[int, int], object]] = []  # late threads' epochs, and objects they may read

    def run(
        self, kind: int, call: ctypes.Structure, steps: int, max_chunks: int, keep, quick: bool = False
    ) -> None:
        """Run a job to its end.

        Args:
            call: the record for this kind of job.
            max_chunks: an upper bound of the number of chunks of a step.
            keep: the objects that the call has addresses of.
            quick: whether the job is short enough to hold the interpreter's lock. Getting the lock back from
                a busy thread can take milliseconds.
        """
        if not self.lock.acquire(blocking=False):  # the team is busy with another Python thread's job
            Team(alone=True).run(kind, call, steps, max_chunks, keep, quick)
            return
        try:
            threads = 1 if self.alone else self._start(thread_count())
            self._provide_states(threads, max_chunks)
            work = (kind, ctypes.addressof(call), steps, self.tick, threads)
            job = JobRecord(*work, self.address + LINE_BYTES, self.states.data_ptr(), 8 * self.width)
            self.tick += steps
            (_lead_with_lock if quick else _lead_without_lock)(self.address, ctypes.addressof(job))
            self._keep((call, job, self.states, keep))
        finally:
            self.lock.release()

    def _start(self, threads: int) -> int:
        """Start threads until there are `threads`; return the number of threads for a job."""
        while self.started < threads:
            line = self.address + LINE_BYTES * (1 + self.started)
            if libc.sem_init(ctypes.c_void_p(line + 8 * SEMAPHORE), 0, 0):
                return self.started  # this system has no unnamed semaphores
            arguments = (self.address, self.started)
            threading.Thread(target=_follow, args=arguments, name="kernels", daemon=True).start()
            self.started += 1
        return threads

    def _provide_states(self, threads: int, max_chunks: int) -> None:
        """Make sure that every thread has a state for each chunk in its range."""
        needed = -(-max_chunks // threads)
        if self.width < needed or len(self.states) < self.width * threads:
            self.width = max(-(-needed // 8) * 8, self.width)
            self.states = aligned(torch.zeros(threads * self.width, dtype=torch.long))

    def _keep(self, objects: object) -> None:
        """Keep objects alive as long as late threads may still read them."""
        active = {thread: epoch for thread in range(1, self.started) if (epoch := int(self.actives[thread]))}
        if self.kept:
            self.kept = [(late, kept) for late, kept in self.kept if late.items() & active.items()]
        if active:
            self.kept.append((active, objects))


process_team = Team()


def _new_team() -> None:
    """Make a new team in a fork, which has none of its parent's threads."""
    global process_team
    process_team = Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_team)


def run(kind: int, call: ctypes.Structure, steps: int, max_chunks: int, keep, quick: bool = False) -> None:
    """Run a job on this process's team, with the arguments of `Team.run`."""
    process_team.run(kind, call, steps, max_chunks, keep, quick)
