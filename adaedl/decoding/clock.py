"""The clock of a round: all of it except describing it for the trace, and both models' forwards separately.

A GPU queues work and runs it later, so the host's clock is read after a synchronisation, and forwards are
timed by events in the queue itself.
"""

import time
from collections.abc import Callable

import torch


class RoundClock:
    """The clock of one round, and of the two models' forwards in it.

    Args:
        spent_s: seconds spent before the round that are charged to it.
    """

    def __init__(self, device: torch.device, spent_s: float = 0.0):
        self.device = device
        on_cuda = device.type == "cuda"
        self.drafting, self.verifying = (
            _CudaStopwatch(device) if on_cuda else _HostStopwatch(self.now) for _ in range(2)
        )
        self.start = self.now() - spent_s

    def now(self) -> float:
        """Return seconds on the host's clock, after waiting for all work queued on the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()

    def elapsed(self) -> float:
        """Return the seconds since the round began."""
        return self.now() - self.start


class _HostStopwatch:
    """Sums the seconds spent under `with`, including work queued on the device."""

    def __init__(self, now: Callable[[], float]):
        self.now = now
        self.seconds = 0.0

    def __enter__(self):
        self.seconds -= self.now()

    def __exit__(self, *_):
        self.seconds += self.now()


class _CudaStopwatch:
    """Sums the seconds spent under `with` by events in the GPU's own queue, so that the host can queue more
    work while a forward runs. `seconds` is valid once the device has done all queued work."""

    def __init__(self, device: torch.device):
        self.device = device
        self.events: list[torch.cuda.Event] = []

    def __enter__(self):
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        self.events.append(event)

    def __exit__(self, *_):
        self.__enter__()

    @property
    def seconds(self) -> float:
        starts, ends = self.events[::2], self.events[1::2]
        return sum(map(torch.cuda.Event.elapsed_time, starts, ends)) / 1000
