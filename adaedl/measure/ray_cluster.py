"""Connect to a Ray cluster and divide its devices among workers."""

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any, NamedTuple

from adaedl.errors import Parameter, UserError
from adaedl.system import interrupts

AUTO = "auto"
REACH_S = 5  # until a connection must be accepted
CONNECT_S = 12  # until a cluster must answer
MOST_WORKERS = 1000
ADVICE = "start one with ray start --head"


class Share(NamedTuple):
    """The number of workers, and the CPU cores and GPUs (0 or 1) of each."""

    workers: int
    cores: int
    gpus: int


def check_address(address: str) -> None:
    """Raise UserError if this is not the form of a cluster address."""
    if address != AUTO and not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", address):
        raise UserError(
            "{} is {!r}; it must be auto, or HOST:PORT of a Ray cluster that this machine belongs to.",
            Parameter("ray"),
            address,
        )


def check_workers(count: int | None) -> None:
    """Raise UserError if this number of workers is out of range."""
    if count is not None and not 1 <= count <= MOST_WORKERS:
        raise UserError(
            "{} is {}; it must be a whole number from 1 to {}.",
            Parameter("ray_workers"),
            count,
            MOST_WORKERS,
        )


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield the module `ray`, connected to the cluster at this address until the end of the block. An
    existing connection of this process is used and stays open.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise UserError('--ray needs Ray; run pip install "adaedl[ray]".') from None
    if ray.is_initialized():
        yield ray
        return
    if address != AUTO:
        _check_reachable(address)
    _connect(ray, address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "no connection"
        raise UserError("There is no Ray cluster at {} ({}); {}.", address, reason, ADVICE) from None


def _connect(ray, address: str) -> None:
    """Connect in a separate thread, because Ray takes minutes to give up. Then restore the signal handlers,
    which Ray replaces."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning
    errors: list[BaseException] = []

    def connect() -> None:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except BaseException as error:  # the caller reports it
            errors.append(error)

    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_S)
    interrupts.restore_handlers()
    if ray.is_initialized() and not errors:
        return
    if address == AUTO:
        raise UserError("No Ray cluster answers on this machine; {}, or name another one.", ADVICE)
    raise UserError(
        "No Ray cluster that this machine belongs to answers at {}; {}, or name another one.", address, ADVICE
    )


def share_out(machines: Sequence[dict[str, float]], count: int | None, use_gpus: bool) -> Share:
    """Return the number of workers and the resources of each: one GPU if machines have any, otherwise all
    cores of a machine, or an equal part of them with more workers than machines.

    Args:
        machines: the resources of each machine, as Ray names them.
        count: the number of workers (default: one per GPU, or one per machine).

    Raises:
        UserError: no machine has a core or a GPU.
    """
    gpus = [machine for machine in machines if machine.get("GPU", 0) >= 1] if use_gpus else []
    if gpus:
        cores = min(int(machine.get("CPU", 0) // machine["GPU"]) for machine in gpus)
        return Share(count or sum(int(machine["GPU"]) for machine in gpus), cores, 1)
    cpus = [int(machine["CPU"]) for machine in machines if machine.get("CPU", 0) >= 1]
    if not cpus:
        raise UserError("The Ray cluster has no free machine: none has a CPU or a GPU.")
    count = count or len(cpus)
    per_machine = -(-count // len(cpus))
    return Share(count, max(min(cpus) // per_machine, 1), 0)
