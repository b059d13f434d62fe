"""A team of threads that share jobs."""

import ctypes
import os
import threading

import torch

from adaedl.models.cpu.kernels import entry_points
from adaedl.models.cpu.kernels.intrinsics import libc
from adaedl.models.cpu.kernels.jobs import ACTIVE, LINE_BYTES, SEMAPHORE
from adaedl.models.cpu.kernels.records import JobRecord
from adaedl.models.cpu.memory import aligned

MOST_THREADS = 256


lead, follow = entry_points.compile_lead(), entry_points.compile_follow()
# With the interpreter's lock released, and held.
_lead_freely, _lead_quickly = (
    prototype(None, ctypes.c_int64, ctypes.c_int64)(lead.address)
    for prototype in (ctypes.CFUNCTYPE, ctypes.PYFUNCTYPE)
)
_follow = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(follow.address)


def threads_wanted() -> int:
    """Return how many threads a job takes."""
    return min(torch.get_num_threads(), MOST_THREADS)


class Team:
    """Threads that share jobs, and the memory by which they do. The thread that asks for a job leads it; the
    others are started when they are first wanted, and stay.

    Args:
        alone: never start others.
    """

    def __init__(self, alone: bool = False):
        self.alone = alone
        self.lock = threading.Lock()
        words = (1 if alone else MOST_THREADS) + 1
        self.memory = aligned(torch.zeros(words, LINE_BYTES // 8, dtype=torch.long))
        self.address = self.memory.data_ptr()
        self.actives = self.memory[1:, ACTIVE].numpy()
        self.states = torch.zeros(0, dtype=torch.long)
        self.width = 0  # of each thread's states
        self.started = 1
        self.tick = 1
        self.kept: list[tuple[dict[int, int], object]] = []  # by threads that had not left, what they read

    def run(
        self, kind: int, call: ctypes.Structure, steps: int, most_chunks: int, keep, quick: bool = False
    ) -> None:
        """Run a job to its end.

        Args:
            call: the record of its kind.
            most_chunks: an upper bound of the chunks of a step.
            keep: the objects whose addresses are in the call.
            quick: take so little time that the interpreter's lock is kept meanwhile: to get it back from a
                busy thread can take milliseconds.
        """
        if not self.lock.acquire(blocking=False):  # another Python thread's job: this one does without others
            Team(alone=True).run(kind, call, steps, most_chunks, keep, quick)
            return
        try:
            threads = 1 if self.alone else self._start(threads_wanted())
            self._provide_states(threads, most_chunks)
            work = (kind, ctypes.addressof(call), steps, self.tick, threads)
            job = JobRecord(*work, self.address + LINE_BYTES, self.states.data_ptr(), 8 * self.width)
            self.tick += steps
            (_lead_quickly if quick else _lead_freely)(self.address, ctypes.addressof(job))
            self._keep((call, job, self.states, keep))
        finally:
            self.lock.release()

    def _start(self, threads: int) -> int:
        """Start threads until there are `threads`; return how many there are."""
        while self.started < threads:
            line = self.address + LINE_BYTES * (1 + self.started)
            if libc.sem_init(ctypes.c_void_p(line + 8 * SEMAPHORE), 0, 0):
                return self.started  # a system without semaphores in memory
            arguments = (self.address, self.started)
            threading.Thread(target=_follow, args=arguments, name="kernels", daemon=True).start()
            self.started += 1
        return threads

    def _provide_states(self, threads: int, most_chunks: int) -> None:
        """Provide a state for each chunk of every thread's range."""
        needed = -(-most_chunks // threads)
        if self.width < needed or len(self.states) < self.width * threads:
            self.width = max(-(-needed // 8) * 8, self.width)
            self.states = aligned(torch.zeros(threads * self.width, dtype=torch.long))

    def _keep(self, objects: object) -> None:
        """Keep what late threads may still read, for as long as they may."""
        active = {thread: epoch for thread in range(1, self.started) if (epoch := int(self.actives[thread]))}
        if self.kept:
            self.kept = [(late, kept) for late, kept in self.kept if late.items() & active.items()]
        if active:
            self.kept.append((active, objects))


process_team = Team()


def _new_team() -> None:
    """A fork has none of its parent's threads."""
    global process_team
    process_team = Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_team)


def run(kind: int, call: ctypes.Structure, steps: int, most_chunks: int, keep, quick: bool = False) -> None:
    """Run a job on this process's team; arguments are those of `Team.run`."""
    process_team.run(kind, call, steps, most_chunks, keep, quick)
