"""Speed of several pairs, measured in one call as `adaedl.measure.bench` measures one. Only one of them is in
memory at a time."""

import gc
from collections.abc import Callable, Iterator

from adaedl.errors import UserError
from adaedl.measure.bench import bench_in_parts, check_bench
from adaedl.metrics import BASELINE
from adaedl.pairs.devices import check_runs_here, dtype_of, pick_device
from adaedl.pairs.pair import Pair
from adaedl.pairs.presets import resolve
from adaedl.system.machine import give_back_memory

LENGTHS = (*range(1, 9), 12)  # of the fixed lanes, the best of which the others must beat


def lanes_of(name: str) -> list[str]:
    """Return the lanes that a pair is measured with where nobody names any: the target alone, fixed lengths,
    AdaEDL as published and with the pair's own settings, and throughput."""
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
    """Check what can be checked before the first pair is loaded; arguments as in `bench_pairs_in_parts`,
    `load_pair` and `check_bench`.

    Raises:
        UserError: naming the invalid value and what would be valid.
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
    """Measure one pair after another; yield the results so far as often as `bench_in_parts` does.

    Args:
        names: presets, or pairs written as TARGET:DRAFT.
        load: loads the pair of a name.
        lanes: for every pair; None means each pair's `lanes_of`.
        options: those of `bench_in_parts`.

    Yields:
        The object that `bench --pairs --json` writes: `pairs`, in the order of the names, and whether they
            are `complete`. Each of them is an object of `bench_in_parts`, with `tuned`, the lane of AdaEDL
            with the pair's own settings, None where it has none.

    Raises:
        UserError: as `bench_in_parts` and `load` do.
    """
    measured: list[dict] = []
    for name in names:
        part: dict = {}
        # The pair is known only to the generator, which lets go of it at its end.
        for part in bench_in_parts(load(name), prompts, lanes or lanes_of(name), temperatures, **options):
            part["tuned"] = resolve(name).tuned
            complete = part["complete"] and len(measured) + 1 == len(names)
            yield {"complete": complete, "pairs": [*measured, part]}
        measured.append(part)
        gc.collect()
        give_back_memory()
