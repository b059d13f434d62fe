"""Speed of several pairs, each measured like the pair of `adaedl.measure.bench`. Only one pair is in memory
at a time."""

import gc
from collections.abc import Callable, Iterator

from adaedl.errors import UserError
from adaedl.measure.bench import bench_in_parts, check_bench
from adaedl.metrics import BASELINE
from adaedl.pairs.devices import check_runs_here, dtype_of, pick_device
from adaedl.pairs.pair import Pair
from adaedl.pairs.presets import resolve
from adaedl.system.machine import give_back_memory

LENGTHS = (*range(1, 9), 12)  # of the fixed lanes; other lanes are compared with the best one


def lanes_of(name: str) -> list[str]:
    """Return the default lanes of a pair: the target alone, fixed lengths, AdaEDL as published and tuned for
    the pair, and throughput."""
    tuned = resolve(name).tuned
    lanes = [BASELINE, *(f"fixed:k={k}" for k in LENGTHS), "adaedl", tuned or "adaedl", "throughput"]
    return list(dict.fromkeys(lanes))


def check_bench_pairs(
    names: list[str],
    prompts: list[str],
    temperatures: list[float],
    lanes: list[str] | None = None,
    *,
    device: str | None,
    dtype: str | None,
    **options,
) -> None:
    """Check all options that can be checked before the first pair is loaded; arguments as in
    `bench_pairs_in_parts`, `load_pair` and `check_bench`.

    Raises:
        UserError: a value is invalid; the error names it and a valid one.
    """
    if not names:
        raise UserError("There are no pairs; name at least one, such as smollm2-135m.")
    for name in names:
        if names.count(name) > 1:
            raise UserError("pairs lists {} twice; name each pair once.", name)
        preset = resolve(name)
        check_bench(prompts, lanes or lanes_of(name), temperatures, **options)
        check_runs_here(preset, pick_device(device))
        dtype_of(preset, dtype)


def bench_pairs_in_parts(
    names: list[str],
    load: Callable[[str], Pair],
    prompts: list[str],
    temperatures: list[float],
    *,
    lanes: list[str] | None = None,
    **options,
) -> Iterator[dict]:
    """Measure one pair after another; yield the results so far after each step of `bench_in_parts`.

    Args:
        names: presets, or pairs written as TARGET:DRAFT.
        load: loads a pair by name.
        lanes: the lanes of every pair; None means `lanes_of` each pair.
        options: the options of `bench_in_parts`.

    Yields:
        The object that `bench --pairs --json` writes: `pairs`, in the order of the names, and whether it is
            `complete`. Each pair is an object of `bench_in_parts` with one more key: `tuned`, the lane of
            AdaEDL tuned for the pair, or None.

    Raises:
        UserError: `bench_in_parts` or `load` raised it.
    """
    measured: list[dict] = []
    for name in names:
        part: dict = {}
        # Only the generator refers to the pair, so it is freed when the generator ends.
        for part in bench_in_parts(load(name), prompts, lanes or lanes_of(name), temperatures, **options):
            part["tuned"] = resolve(name).tuned
            complete = part["complete"] and len(measured) + 1 == len(names)
            yield {"complete": complete, "pairs": [*measured, part]}
        measured.append(part)
        gc.collect()
        give_back_memory()
