"""What is on a lane's clock: everything in a round but describing it, with both models' forwards apart.

On a GPU work is queued and runs later, so the host's clock is read after a synchronisation, and forwards are
timed by events in the queue itself.
"""

import time
from collections.abc import Callable

import torch


class RoundClock:
    """The clock of one round, and of the two models' forwards in it.

    Args:
        spent_s: seconds that are charged to the round before it starts.
    """

    def __init__(self, device: torch.device, spent_s: float = 0.0):
        self.device = device
        on_cuda = device.type == "cuda"
        self.drafting, self.verifying = (
            _CudaStopwatch(device) if on_cuda else _HostStopwatch(self.now) for _ in range(2)
        )
        self.began = self.now() - spent_s

    def now(self) -> float:
        """Seconds on the host's clock, once the device has done all that is queued."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()

    def elapsed(self) -> float:
        """Seconds since the round began."""
        return self.now() - self.began


class _HostStopwatch:
    """Sums the seconds spent under `with`, work queued on the device included."""

    def __init__(self, now: Callable[[], float]):
        self.now = now
        self.seconds = 0.0

    def __enter__(self):
        self.seconds -= self.now()

    def __exit__(self, *_):
        self.seconds += self.now()


class _CudaStopwatch:
    """The same from events in a GPU's own queue: the host goes on to queue what follows a forward while that
    runs. `seconds` may be read once the device has done all that was queued."""

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
        began, ended = self.events[::2], self.events[1::2]
        return sum(map(torch.cuda.Event.elapsed_time, began, ended)) / 1000
