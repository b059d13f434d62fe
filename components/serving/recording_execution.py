"""Make a recording on the device of this process, or in a fork on ZeroGPU."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing

from adaedl.errors import UserError
from adaedl.pairs.pair import Pair
from adaedl.recordings.recording import Recording
from adaedl.request import RaceRequest
from components.parts.recordings import DEPTH
from components.serving.models_state import ModelsState
from components.serving.race_execution import MARGIN_S
from components.serving.zero_gpu import START_S, Quota, gpu_task, recording_duration
from components.settings.hosting import host, on_zero_gpu

UPDATE_S = 0.3


def recorded_parts(
    models: ModelsState, pair: Pair, request: RaceRequest, score_temperature: float | None, quota: Quota
) -> Iterator[float | Recording]:
    """Yield the completed share a few times a second, then the recording. Close the generator to free the
    device.

    Raises:
        UserError: the prompt does not fit, the device's memory is full, or the recording takes longer than
            the host allows.
    """
    if on_zero_gpu():
        seconds = quota.cut(gpu_seconds(request)) - MARGIN_S
        parts = gpu_parts(request, score_temperature, quota=quota)
    else:
        seconds, parts = (
            host().race_seconds,
            _InDeviceThread(models, parts_of(pair, request, score_temperature)),
        )
    began, first = time.monotonic(), True
    with closing(parts):
        for part in parts:
            if first and on_zero_gpu():  # the wait for a GPU does not count
                began = max(began, time.monotonic() - START_S)
            first = False
            yield part
            if time.monotonic() > began + seconds and not isinstance(part, Recording):
                raise UserError(
                    "A recording may take at most {} s on this host; request fewer new tokens.", seconds
                )


class _InDeviceThread:
    """A generator that runs in the device's thread."""

    def __init__(self, models: ModelsState, parts: Generator):
        self.models = models
        self.parts = parts

    def __iter__(self) -> "_InDeviceThread":
        return self

    def __next__(self):
        return self.models.on_device(next, self.parts).result()

    def close(self) -> None:
        self.models.on_device(self.parts.close).result()


def parts_of(
    pair: Pair, request: RaceRequest, score_temperature: float | None
) -> Iterator[float | Recording]:
    """Yield the same as `recorded_parts`, on the device of the calling process."""
    from adaedl.recordings.recorder import record_in_parts

    recording = record_in_parts(
        pair,
        request.prompt,
        request.sampling,
        max_new_tokens=request.max_new_tokens,
        seed=request.seed,
        verification=request.verification,
        system=request.system,
        continuation=request.continuation,
        depth=DEPTH,
        score_temperature=score_temperature,
    )
    due = time.monotonic() + UPDATE_S
    with closing(recording):
        for part in recording:
            if isinstance(part, Recording) or time.monotonic() >= due:
                yield part
                due = time.monotonic() + UPDATE_S


def gpu_seconds(request: RaceRequest, score_temperature: float | None = None) -> int:
    """Return the seconds to request from ZeroGPU for a recording, which don't depend on
    `score_temperature`."""
    return recording_duration(request.max_new_tokens, DEPTH, host().race_seconds)


gpu_parts = gpu_task(gpu_seconds)(parts_of)
