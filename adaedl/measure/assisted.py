"""Speed of transformers' assisted generation and of `adaedl.generate` on the same models, in one run.

For each prompt all systems run back to back, in an order that rotates by one with every prompt. A cycle goes
through all prompts at one temperature. The speed of a system in a cycle is its total number of tokens divided
by its total time in calls of `generate`. Speeds are compared within a cycle. The results are the medians of
these ratios over the cycles, with the smallest and the largest ratio.

At temperature 0 every system must write the target's own text, token for token.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import product
from statistics import median

import torch
from tqdm import tqdm

from adaedl.errors import Parameter, UserError
from adaedl.measure.assisted_models import FOUR_TO_ONE, without_draft_model
from adaedl.measure.bench import check_repeats, check_texts, rotated
from adaedl.measure.forwards import hardware
from adaedl.measure.peers.assisted import (
    Job,
    ModelPair,
    Setting,
    Work,
    write_adaptive,
    write_alone,
    write_assisted,
)
from adaedl.pairs.devices import check_runs_here, pick_device
from adaedl.pairs.presets import resolve
from adaedl.request import MAX_LANES, Sampling, check_prompt, check_run
from adaedl.stopping import check_live, make_stopper
from adaedl.system.machine import give_back_memory

PAIRS = ("smollm2-135m-self", FOUR_TO_ONE)
TEMPERATURES = (0.0, 0.7)
MAX_NEW_TOKENS = 48
PROMPTS = 3
REPEATS = 3
# The search space of transformers' settings. The schedule "heuristic" drafts 2 more tokens after a round that
# accepted all drafts, and 1 fewer after any other round.
LENGTHS = (*range(1, 9), 12, 20)
SCHEDULES = ("constant", "heuristic")
CONFIDENCES = (0.0, 0.2, 0.4, 0.6)
SETTINGS = [
    Setting(drafts, schedule, confidence)
    for schedule, drafts, confidence in product(SCHEDULES, LENGTHS, CONFIDENCES)
    # A single draft is verified at any confidence.
    if schedule != "constant" or drafts > 1 or not confidence
]
QUICK_SETTINGS = [Setting(2, "constant", 0.0), Setting(4, "constant", 0.4), Setting(4, "heuristic", 0.4)]
SEARCH_TOKENS = 12  # per setting; only the finalists then write all texts
FINALISTS = 4
GENERATE, DEFAULTS, SEARCHED = "generate", "assisted, its defaults", "assisted, searched"
AGAINST = {"over_generate": GENERATE, "over_defaults": DEFAULTS, "over_searched": SEARCHED}

Write = Callable[[Job], tuple[list[int], Work]]


@dataclass
class Runs:
    """The work of a system at one temperature, for each cycle."""

    cycles: list[Work] = field(default_factory=list)

    @property
    def total(self) -> Work:
        total = Work()
        for work in self.cycles:
            total.add(work)
        return total


def check_assisted(
    names: Sequence[str],
    prompts: list[str],
    temperatures: Sequence[float],
    lanes: Sequence[str] | None = None,
    *,
    device: str | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    repeats: int = REPEATS,
    seed: int = 0,
) -> None:
    """Check all options that can be checked before the first pair is loaded.

    Raises:
        UserError: a value is invalid; the error names it and a valid one.
    """
    check_run(max_new_tokens, seed, "speculative")
    if max_new_tokens < 2:
        raise UserError(
            "{} is {}; it must be at least 2, because nothing is drafted for a single token.",
            Parameter("max_new_tokens"),
            max_new_tokens,
        )
    check_repeats(repeats)
    check_texts(prompts, temperatures)
    for prompt in prompts:
        check_prompt(prompt)
    if not names:
        raise UserError("There are no pairs; name at least one, such as {}.", PAIRS[0])
    for name in names:
        _check_pair(name, names, device)
    _check_lanes(lanes)


def _check_pair(name: str, names: Sequence[str], device: str | None) -> None:
    if list(names).count(name) > 1:
        raise UserError("pairs lists {} twice; name each pair once.", name)
    chosen = pick_device(device)
    if name == FOUR_TO_ONE:
        return
    preset = resolve(name)
    if preset.drafter:
        raise without_draft_model(name)
    check_runs_here(preset, chosen)


def _check_lanes(lanes: Sequence[str] | None) -> None:
    if lanes is None:
        return
    if not 1 <= len(lanes) <= MAX_LANES:
        raise UserError("The bench has {} lanes; give 1 to {} stoppers.", len(lanes), MAX_LANES)
    for lane in lanes:
        check_live(make_stopper(lane))


def bench_assisted_in_parts(
    names: Sequence[str],
    make: Callable[[str], ModelPair],
    temperatures: Sequence[float],
    lanes: Sequence[str] | None = None,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    repeats: int = REPEATS,
    seed: int = 0,
    settings: Sequence[Setting] = SETTINGS,
) -> Iterator[dict]:
    """Measure one pair after another, one cycle per step; yield the results so far after each step.

    Args:
        make: makes the models of a named pair. Only the models of one pair are kept in memory.
        lanes: stopper specs for every pair; None means the default lanes of each pair.
        settings: the search space of assisted generation.

    Yields:
        The object that `bench --generate --json` writes: machine, options, `pairs` in the order of the names
            (each with its `results`, see `result_rows`), and whether it is `complete`.

    Raises:
        UserError: `make` raised it, or a system does not write the target's text at temperature 0.
    """
    measured: list[dict] = []
    for name in names:
        part: dict = {}
        # Only the generator refers to the models, so they are freed when it ends.
        parts = _bench_pair(make(name), temperatures, lanes, max_new_tokens, repeats, seed, settings)
        for device, part in parts:
            header = {
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": hardware(device) | {"device": str(device)},
                "max_new_tokens": max_new_tokens,
                "repeats": repeats,
                "seed": seed,
            }
            complete = part["complete"] and len(measured) + 1 == len(names)
            yield header | {"complete": complete, "pairs": [*measured, part]}
        measured.append(part)
        gc.collect()
        give_back_memory()


def _bench_pair(
    pair: ModelPair,
    temperatures: Sequence[float],
    lanes: Sequence[str] | None,
    max_new_tokens: int,
    repeats: int,
    seed: int,
    settings: Sequence[Setting],
) -> Iterator[tuple[torch.device, dict]]:
    """Measure a pair, one cycle per step; yield its device and the results so far."""

    def jobs(temperature: float, repeat: int = 0) -> list[Job]:
        sampling = Sampling(temperature)
        return [Job(ids, sampling, max_new_tokens, seed + repeat) for ids in pair.prompts]

    adaptive = {lane: partial(write_adaptive, pair, lane) for lane in lanes or pair.lanes}
    for write in (partial(write_alone, pair), partial(write_assisted, pair), *adaptive.values()):
        write(jobs(temperatures[-1])[0])  # warm-up: compile and allocate before the clock runs
    settings_at = {temperature: search(pair, jobs(temperature), settings) for temperature in temperatures}
    runs_at: dict[float, dict[str, Runs]] = {}
    remaining = repeats * len(temperatures)
    with tqdm(total=remaining * len(pair.prompts), unit="prompt", file=sys.stderr) as bar:
        for repeat in range(repeats):
            for temperature in temperatures:
                systems = {
                    GENERATE: partial(write_alone, pair),
                    DEFAULTS: partial(write_assisted, pair),
                    SEARCHED: partial(write_assisted, pair, setting=settings_at[temperature]),
                    **adaptive,
                }
                bar.set_description(f"{pair.name} at {temperature:g}")
                works = _run_cycle(systems, jobs(temperature, repeat), repeat, bar)
                runs = runs_at.setdefault(temperature, {system: Runs() for system in systems})
                for system, work in works.items():
                    runs[system].cycles.append(work)
                remaining -= 1
                yield (
                    pair.prompts[0].device,
                    {
                        "name": pair.name,
                        "description": pair.description,
                        "prompts": len(pair.prompts),
                        "complete": not remaining,
                        "results": result_rows(runs_at, settings_at),
                    },
                )


def search(pair: ModelPair, jobs: list[Job], settings: Sequence[Setting] = SETTINGS) -> Setting:
    """Return the setting with which transformers' assisted generation is fastest on these texts.

    All settings write the beginning of the first text. The fastest few then write all texts.
    """

    def speed(jobs: list[Job], setting: Setting) -> float:
        work = Work()
        for job in jobs:
            work.add(write_assisted(pair, job, setting)[1])
        return work.tokens_per_s

    first = jobs[0]
    start = Job(first.prompt_ids, first.sampling, min(SEARCH_TOKENS, first.max_new_tokens), first.seed)
    bar = tqdm(settings, f"{pair.name}: searching settings", leave=False, file=sys.stderr)
    speeds = {setting: speed([start], setting) for setting in bar}
    finalists = sorted(speeds, key=speeds.__getitem__, reverse=True)[:FINALISTS]
    return max(finalists, key=partial(speed, jobs))


def _run_cycle(systems: Mapping[str, Write], jobs: list[Job], repeat: int, bar: tqdm) -> dict[str, Work]:
    """Run every system on every job; return the work of each system.

    Raises:
        UserError: a system does not write the target's text at temperature 0.
    """
    works = {system: Work() for system in systems}
    for number, job in enumerate(jobs):
        texts = {}
        for system in rotated(list(systems), number + repeat):
            texts[system], work = systems[system](job)
            works[system].add(work)
        if job.sampling.greedy:
            _check_same(texts, number)
        bar.update()
    return works


def _check_same(texts: dict[str, list[int]], number: int) -> None:
    """Raise UserError if a system has not written the text of the target alone."""
    expected = texts[GENERATE]
    for system, tokens in texts.items():
        if tokens != expected:
            same = [a == b for a, b in zip(tokens, expected, strict=False)]
            first = same.index(False) if False in same else len(same)
            raise UserError(
                "At temperature 0 {} departs from the target's text at token {} of prompt {}, so its speed "
                "cannot be compared; measure in float32.",
                system,
                first + 1,
                number + 1,
            )


def result_rows(runs_at: dict[float, dict[str, Runs]], settings_at: dict[float, Setting]) -> list[dict]:
    """Return a row for each temperature and system.

    `tokens_per_s` is the median over cycles. `over_generate`, `over_defaults` and `over_searched` are median
    ratios of a system's speed to the speed of the target alone and of assisted generation with its defaults
    and with the settings found. The `_low` and `_high` of each are the smallest and the largest ratio of a
    cycle. The durations of forward passes include the prompt. `settings` are the settings found.
    """
    rows = []
    for temperature, runs in runs_at.items():
        for system, own_runs in runs.items():
            total = own_runs.total
            row = {
                "system": system,
                "temperature": temperature,
                "tokens": total.tokens,
                "tokens_per_s": median(work.tokens_per_s for work in own_runs.cycles),
            }
            for name, other in AGAINST.items():
                row |= _ratios(name, own_runs, runs[other])
            row |= {
                "acceptance_rate": _ratio(total.accepted, total.drafted),
                "draft_length": total.drafted / total.rounds,
                "block_efficiency": total.tokens / total.rounds,
                "target_forward_ms": 1000 * total.target_s / total.rounds,
                "draft_forward_ms": _ratio(1000 * total.draft_s, total.draft_forwards),
                "overhead_share": 1 - (total.target_s + total.draft_s) / total.seconds,
                "settings": settings_at[temperature]._asdict() if system == SEARCHED else None,
            }
            rows.append(row)
    return rows


def _ratios(name: str, runs: Runs, reference: Runs) -> dict[str, float]:
    ratios = [a.tokens_per_s / b.tokens_per_s for a, b in zip(runs.cycles, reference.cycles, strict=True)]
    return {name: median(ratios), f"{name}_low": min(ratios), f"{name}_high": max(ratios)}


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None
