"""Speed of the engine on a machine that it shares with other processes.

Every cycle runs through all conditions: the idle machine, one thread, busy processes, a second engine, a CPU
quota. Each cycle starts one condition later than the previous one. Under each condition every system is
measured, and its speed is divided by its speed on the idle machine in the same cycle, so that a drift of the
machine's speed affects both equally. The results are the medians of these ratios over the cycles, with the
smallest and the largest ratio.
"""

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from statistics import median

import torch
from tqdm import tqdm

from adaedl.errors import Parameter, Sentence, UserError
from adaedl.measure.bench import check_repeats, rotated
from adaedl.measure.forwards import machine
from adaedl.measure.neighbour_engine import Engine, busy_processes, second_engine
from adaedl.measure.neighbour_systems import (
    LEAST_S,
    MOST_S,
    TEMPERATURE,
    TRANSFORMERS_TOKENS,
    System,
    make_systems,
    measure,
)
from adaedl.pairs.pair import Pair
from adaedl.request import check_run
from adaedl.system.control_groups import group_with_quota

# The titles of the conditions, by their names in the results.
CONDITIONS = {
    "idle": "idle machine",
    "one_thread": "idle machine, one thread",
    "busy_1": "beside 1 busy process",
    "busy_2": "beside 2 busy processes",
    "busy_4": "beside 4 busy processes",
    "two_engines": "beside a second engine at the same work",
    "quota_1": "CPU quota of one core, all cores visible",
}
BUSY = {"busy_1": 1, "busy_2": 2, "busy_4": 4}
IDLE, ONE_THREAD, TWO_ENGINES, QUOTA = "idle", "one_thread", "two_engines", "quota_1"
MAX_NEW_TOKENS = 32
NO_GROUP = Sentence(
    "not measured: a control group with a CPU quota cannot be created here; that needs root on Linux"
)


@dataclass
class Measured:
    """The speeds of one system under one condition in tokens per second, by number of the cycle."""

    speeds: dict[int, float] = field(default_factory=dict)
    neighbours: dict[int, float] = field(default_factory=dict)  # of the second engine
    threads: int = 0


def check_neighbours(max_new_tokens: int, repeats: int, seed: int) -> None:
    """Check all options that can be checked before the pair is loaded.

    Raises:
        UserError: a value is invalid; the error names it and a valid one.
    """
    check_run(max_new_tokens, seed, "shared_noise")
    if max_new_tokens < 2:
        raise UserError(
            "{} is {}; it must be at least 2, because a bench times the tokens after the first.",
            Parameter("max_new_tokens"),
            max_new_tokens,
        )
    check_repeats(repeats)


def neighbours_in_parts(
    pair: Pair,
    name: str,
    dtype: str | None = None,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    repeats: int = 3,
    seed: int = 0,
) -> Generator[dict, None, None]:
    """Measure all systems under one condition per step; yield the results so far after each step.

    Args:
        pair: a pair on the CPU.
        name, dtype: the arguments it was loaded with, for a second engine.
        repeats: cycles through all conditions.

    Yields:
        The object that `bench --neighbours --json` writes: machine, conditions (with a reason if one was not
            measured), rows (one for each condition and system, see `result_row`), for each condition the
            speed of our autoregressive lane relative to transformers (`over_transformers`), and whether all
            cycles are `complete`. A condition has rows once it and its reference condition have run.

    Raises:
        UserError: a value is invalid, or a second engine cannot run.
    """
    check_neighbours(max_new_tokens, repeats, seed)
    if pair.device.type != "cpu":
        raise UserError(
            "{} is not a CPU; choose the device cpu, because the neighbours compete for CPU cores.",
            pair.device,
        )
    start_engine = partial(second_engine, pair=name, dtype=dtype, max_new_tokens=max_new_tokens, seed=seed)
    systems = make_systems(pair, max_new_tokens, seed)
    for system in systems:
        measure(system, 0)
    with ExitStack() as processes:
        neighbour = processes.enter_context(start_engine())
        limited = _limited_engine(processes, start_engine)
        measured = {(condition, system): Measured() for condition in CONDITIONS for system in systems}
        reasons = dict.fromkeys(CONDITIONS) | ({} if isinstance(limited, Engine) else {QUOTA: str(limited)})
        header = _describe(pair, max_new_tokens, repeats, seed, reasons)
        possible = [condition for condition in CONDITIONS if not reasons[condition]]
        steps = schedule(possible, repeats)
        with tqdm(total=len(steps) * len(systems), unit="text", file=sys.stderr) as bar:
            for remaining, (cycle, condition) in zip(reversed(range(len(steps))), steps, strict=True):
                for number, system in rotated(list(enumerate(systems)), cycle):
                    bar.set_description(f"{CONDITIONS[condition]}, {system.system} {system.lane}")
                    _measure_in(condition, cycle, number, system, measured, neighbour, limited)
                    bar.update()
                yield header | {"complete": not remaining, **_results(systems, measured)}


def _describe(
    pair: Pair, max_new_tokens: int, repeats: int, seed: int, reasons: dict[str, str | None]
) -> dict:
    """Return the options and the machine. `reasons` say by condition why it was not measured."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(pair),
        "pair": {"name": pair.name, "target": pair.target_name, "draft": pair.draft_name},
        "max_new_tokens": max_new_tokens,
        "transformers_tokens": min(max_new_tokens, TRANSFORMERS_TOKENS),
        "temperature": TEMPERATURE,
        "repeats": repeats,
        "seed": seed,
        "conditions": [
            {"name": name, "title": title, "not_measured": reasons[name]}
            for name, title in CONDITIONS.items()
        ],
    }


def schedule(conditions: list[str], repeats: int) -> list[tuple[int, str]]:
    """Return the cycle and the condition of each step. Every cycle starts one condition later."""
    return [(cycle, condition) for cycle in range(repeats) for condition in rotated(conditions, cycle)]


def _limited_engine(processes: ExitStack, start_engine: Callable) -> Engine | Sentence:
    """Return a second engine under a quota of one core, or the reason why there is none."""
    group = processes.enter_context(group_with_quota(1))
    if group is None:
        return NO_GROUP
    try:
        return processes.enter_context(start_engine(group=group))
    except UserError as error:
        return Sentence("not measured: {}", error)


def _measure_in(
    condition: str,
    cycle: int,
    number: int,
    system: System,
    measured: dict[tuple[str, System], Measured],
    neighbour: Engine,
    limited: Engine | Sentence,
) -> None:
    """Measure one system under one condition and add the speed to `measured`."""
    result = measured[condition, system]
    if condition == QUOTA:
        assert isinstance(limited, Engine)  # otherwise the condition is not measured
        speed, result.threads = limited.measure(number, LEAST_S, MOST_S), limited.threads
    else:
        with ExitStack() as surroundings:
            if condition == ONE_THREAD:
                surroundings.enter_context(_torch_threads(1))
            elif condition == TWO_ENGINES:
                surroundings.enter_context(neighbour.working(number, MOST_S))
            elif condition in BUSY:
                surroundings.enter_context(busy_processes(BUSY[condition]))
            work = measure(system, LEAST_S, MOST_S)
            result.threads = torch.get_num_threads()
        speed = work.tokens_per_s
        if condition == TWO_ENGINES and neighbour.tokens_per_s:
            result.neighbours[cycle] = neighbour.tokens_per_s
    if speed:
        result.speeds[cycle] = speed


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _results(systems: list[System], measured: dict[tuple[str, System], Measured]) -> dict:
    rows, over = [], []
    plain, generate = systems[0], systems[-1]
    for condition in CONDITIONS:
        against = ONE_THREAD if condition == QUOTA else IDLE
        rows += [
            result_row(condition, system, measured[condition, system], against, measured[against, system])
            for system in systems
            if measured[condition, system].speeds.keys() & measured[against, system].speeds.keys()
        ]
        ratios = _ratios(measured[condition, plain], measured[condition, generate])
        if ratios:
            over.append({"condition": condition, **_spread("ratio", ratios)})
    return {"rows": rows, "over_transformers": over}


def result_row(condition: str, system: System, measured: Measured, against: str, baseline: Measured) -> dict:
    """Return a row of the results: the median speed over cycles, and the median, lowest and highest ratio to
    the speed of the same system under the condition `against` in the same cycle. `neighbour_tokens_per_s` is
    the median speed of the second engine, None under other conditions."""
    return {
        "condition": condition,
        "system": system.system,
        "lane": system.lane,
        "threads": measured.threads,
        "tokens_per_s": median(measured.speeds.values()),
        "against": against,
        **_spread("ratio", _ratios(measured, baseline)),
        "neighbour_tokens_per_s": median(measured.neighbours.values()) if measured.neighbours else None,
    }


def _ratios(measured: Measured, baseline: Measured) -> list[float]:
    """Return the ratios of the speeds in the cycles that have both."""
    return [
        speed / baseline.speeds[cycle] for cycle, speed in measured.speeds.items() if cycle in baseline.speeds
    ]


def _spread(name: str, values: list[float]) -> dict[str, float]:
    return {name: median(values), f"{name}_low": min(values), f"{name}_high": max(values)}


def report(result: dict) -> str:
    """Return the report of `bench --neighbours` without the machine, from its JSON object."""
    import pandas as pd

    titles = {condition["name"]: condition["title"] for condition in result["conditions"]}
    rows = [
        {
            "condition": titles[row["condition"]],
            "system": row["system"],
            "lane": row["lane"],
            "threads": row["threads"],
            "tokens/s": f"{row['tokens_per_s']:.1f}",
            "ratio": f"{row['ratio']:.2f}",
            "lowest": f"{row['ratio_low']:.2f}",
            "highest": f"{row['ratio_high']:.2f}",
            "relative to": titles[row["against"]],
            "second engine, tokens/s": _number(row["neighbour_tokens_per_s"]),
        }
        for row in result["rows"]
    ]
    lines = [pd.DataFrame(rows).to_string(index=False)] if rows else []
    lines += [
        f"{condition['title']}: {condition['not_measured']}"
        for condition in result["conditions"]
        if condition["not_measured"]
    ]
    lines += ["", "speed of our autoregressive lane relative to transformers' generate:"] if rows else []
    lines += [
        f"{titles[row['condition']]}: {row['ratio']:.2f}× ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        for row in result["over_transformers"]
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
