"""The workers of `sweep`, `study` and `record`: this process, or a Ray cluster (--ray)."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from adaedl.cli.common import load
from adaedl.errors import Parameter, UserError
from adaedl.measure.ray_cluster import check_address, check_workers, connected, share_out
from adaedl.measure.workers import LocalWorker, Workers

DEVICES = (None, "auto", "cpu", "cuda")


def add_workers_options(command: argparse.ArgumentParser) -> None:
    """Declare --ray and --ray-workers."""
    command.add_argument(
        "--ray",
        metavar="ADDRESS",
        help='run on the Ray cluster of this machine (pip install "adaedl[ray]"): auto or HOST:PORT; every '
        "machine loads the pair from its own cache",
    )
    command.add_argument(
        "--ray-workers",
        type=int,
        metavar="N",
        help="workers on the cluster (default: one per GPU, or one per machine without GPUs)",
    )


def check_workers_options(args: argparse.Namespace) -> None:
    """Raise UserError if the value of --ray, --ray-workers or --device is invalid, or --ray is missing."""
    check_workers(args.ray_workers)
    if args.ray is None:
        if args.ray_workers is not None:
            raise UserError("{} needs {}.", Parameter("ray_workers"), Parameter("ray"))
        return
    check_address(args.ray)
    if args.device not in DEVICES:
        raise UserError(
            "{} is {!r}; with {} every worker has its own GPU, so it must be auto, cpu or cuda.",
            Parameter("device"),
            args.device,
            Parameter("ray"),
        )


@contextmanager
def open_workers(
    args: argparse.Namespace,
    describe: Callable[[Any], Any],
    accept: Callable[[Any], None] = lambda description: None,
) -> Iterator[Workers]:
    """Yield the workers of a command: this process, or workers on the cluster of --ray.

    Args:
        describe, accept: as in `LocalWorker`.

    Raises:
        UserError: there is no such cluster, or it has no suitable machine.
    """
    if args.ray is None:
        yield LocalWorker(lambda name: load(args, name), describe, accept)
        return
    from adaedl.measure.ray_worker import load_quietly
    from adaedl.measure.ray_workers import RayWorkers

    with connected(args.ray) as ray:
        machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
        share = share_out(machines, args.ray_workers, use_gpus=args.device != "cpu")
        load_here = partial(load_quietly, device=args.device, dtype=args.dtype)
        with RayWorkers(ray, share, load_here, describe, accept, print_note) as workers:
            count = "1 worker" if share.workers == 1 else f"{share.workers} workers"
            print(f"Starting {count} on the Ray cluster.", file=sys.stderr)
            yield workers


def print_note(sentence: str) -> None:
    """Print a note about a worker above the progress bar, if there is one."""
    from tqdm import tqdm

    tqdm.write(f"note: {sentence}", file=sys.stderr)


def report_failures(workers: Workers, status: int) -> int:
    """Print the tasks that were given up, and return the exit status: 2 if there are any, otherwise
    `status`."""
    if not workers.failures:
        return status
    given_up = "; ".join(workers.failures)
    print(f"error: Given up, because each of these tasks lost three workers: {given_up}.", file=sys.stderr)
    return status or 2
