"""Speed, measured in one run: our lanes against each other and against transformers' own generation.

For each prompt and temperature all systems run back to back, in an order that moves on by one with every
prompt, so that a machine that drifts does so for all alike. No clock holds any prefill.
"""

import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import torch
from torch import Tensor
from tqdm import tqdm

from adaedl import reference
from adaedl.decoding import Context, check_run, decode, read_prompt
from adaedl.errors import UserError
from adaedl.machine import processor
from adaedl.metrics import BASELINE
from adaedl.models.pair import Pair
from adaedl.race import check_race
from adaedl.reference import Tally
from adaedl.sampling import Sampling, SharedNoise
from adaedl.stopping import Fixed, make_stopper

TEMPERATURES = (0.0, 0.7, 1.0, 1.3)
LANES = (BASELINE, *(f"fixed:k={k}" for k in range(1, 7)), "adaedl", "max_confidence")
LOOKUP_TOKENS = 3  # drafts of transformers' prompt lookup; more cost a CPU more than they bring
FORWARD_WIDTHS = range(1, 9)
TIMINGS = 10  # of one forward or one read of the weights; the best one counts, since noise only adds
WARM_UP_TOKENS = 16
MAX_READ_BYTES = 2**30


@dataclass(frozen=True)
class Job:
    """One prompt at one temperature, which every system works on; lanes start from copies of the context."""

    prompt_ids: Tensor
    context: Context
    sampling: Sampling
    noise: SharedNoise
    max_new_tokens: int
    seed: int


@dataclass(frozen=True)
class System:
    """What is measured: a row of the results for each temperature."""

    system: str
    lane: str
    run: Callable[[Job], Tally]


def check_bench(
    prompts: list[str],
    lanes: list[str],
    temperatures: list[float],
    max_new_tokens: int,
    repeats: int,
    seed: int,
) -> None:
    """All that can be said against a bench before its pair is loaded.

    Raises:
        UserError: naming the value that will not do, and what would.
    """
    check_run(max_new_tokens, seed, "shared_noise")
    if max_new_tokens < 2:
        raise UserError(
            f"max_new_tokens is {max_new_tokens}; a bench times what follows the first, so at least 2."
        )
    if repeats < 1:
        raise UserError(f"repeats is {repeats}; it must be a whole number from 1.")
    if not temperatures:
        raise UserError("The bench has no temperatures; give at least one, such as 0.7.")
    for temperature in temperatures:
        Sampling(temperature)
    if not prompts:
        raise UserError("There are no prompts; the file needs one on each line.")
    for prompt in prompts:
        check_race(prompt, with_baseline(lanes), max_new_tokens, seed, "shared_noise")


def with_baseline(lanes: list[str]) -> list[str]:
    """The lanes, each once, after the autoregressive one: every speedup is against it."""
    return list(dict.fromkeys([BASELINE, *(lane.strip() for lane in lanes)]))


def bench(
    pair: Pair,
    prompts: list[str],
    lanes: list[str],
    temperatures: list[float],
    *,
    max_new_tokens: int = 96,
    repeats: int = 1,
    seed: int = 0,
    assisted: bool | None = None,
) -> dict:
    """Measure every system on every prompt, temperature and repeat.

    Args:
        lanes: stopper specs; the autoregressive lane is added where it is missing.
        assisted: transformers' assisted generation beside each fixed k of ours, same drafts; None for
            wherever the drafter is an independent model.

    Returns:
        The object that `bench --json` writes: machine, weights_read_ms, target_forward_ms, draft_step_ms,
        results (one row a system, lane and temperature, from its total tokens and total time) and a summary
        row for each temperature.

    Raises:
        UserError: a value that will not do, a prompt that does not fit, `assisted` with a feature drafter.
    """
    check_bench(prompts, lanes, temperatures, max_new_tokens, repeats, seed)
    independent = pair.drafter.kind == "independent"
    if assisted and not independent:
        raise UserError(
            f"{pair.name} drafts with a feature drafter, which transformers' assisted generation cannot use; "
            f"choose an independent pair, such as --pair {pair.target_name}:{pair.target_name}."
        )
    target = reference.target_model(pair)
    systems = _systems(pair, target, with_baseline(lanes), independent if assisted is None else assisted)
    encoded = [pair.encode(prompt) for prompt in prompts]

    short = min(WARM_UP_TOKENS, max_new_tokens)
    context = read_prompt(pair, encoded[0], short)
    first = Job(encoded[0], context, Sampling(temperatures[-1]), _noise(pair, short, seed), short, seed)
    for system in tqdm(systems, "warming up", leave=False, file=sys.stderr):
        system.run(first)
    weights_read_ms = _weights_read_ms(target)
    target_forward_ms = _target_forward_ms(pair, encoded[0])
    draft_step_ms = _draft_step_ms(pair, encoded[0])

    tallies = {(system, temperature): Tally() for temperature in temperatures for system in systems}
    runs = len(temperatures) * repeats * len(prompts) * len(systems)
    with tqdm(total=runs, unit="text", file=sys.stderr) as bar:
        for repeat in range(repeats):
            noise = _noise(pair, max_new_tokens, seed + repeat)
            for number, prompt_ids in enumerate(encoded):
                context = read_prompt(pair, prompt_ids, max_new_tokens)
                for temperature in temperatures:
                    job = Job(
                        prompt_ids, context, Sampling(temperature), noise, max_new_tokens, seed + repeat
                    )
                    turn = (number + repeat) % len(systems)
                    for system in systems[turn:] + systems[:turn]:
                        bar.set_description(f"{system.system} {system.lane} at {temperature:g}")
                        tallies[system, temperature].add(system.run(job))
                        bar.update()

    results = [
        _result(system, temperature, tallies[system, temperature], tallies[systems[0], temperature])
        for temperature in temperatures
        for system in systems
    ]
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(pair),
        "pair": {
            "name": pair.name,
            "target": pair.target_name,
            "draft": pair.draft_name,
            "weights": pair.weights,
        },
        "prompts": len(prompts),
        "max_new_tokens": max_new_tokens,
        "repeats": repeats,
        "seed": seed,
        "weights_read_ms": weights_read_ms,
        "target_forward_ms": target_forward_ms,
        "draft_step_ms": draft_step_ms,
        "results": results,
        "summary": summarise(results),
    }


def summarise(results: list[dict]) -> list[dict]:
    """For each temperature: the best fixed k, AdaEDL against it, the best lane, and our engine against
    transformers'. None where a system that it takes was not run.

    Args:
        results: rows as `bench` returns them.
    """
    summary = []
    for temperature in dict.fromkeys(row["temperature"] for row in results):
        rows = [row for row in results if row["temperature"] == temperature]
        speeds = {(row["system"], row["lane"]): row["tokens_per_s"] for row in rows}
        ours = {lane: speed for (system, lane), speed in speeds.items() if system == "adaedl"}
        drafting = {lane: speed for lane, speed in ours.items() if lane != BASELINE}
        fixed = {lane: speed for lane, speed in drafting.items() if lane.split(":")[0] == Fixed.name}
        best, best_fixed = _fastest(drafting), _fastest(fixed)
        assisted = [
            _ratio(ours[lane], speed)
            for (system, lane), speed in speeds.items()
            if system == "transformers_assisted" and lane in ours
        ]
        summary.append(
            {
                "temperature": temperature,
                "best_lane": best,
                "best_lane_over_autoregressive": _ratio(ours.get(best), ours.get(BASELINE)),
                "best_fixed": best_fixed,
                "adaedl_over_best_fixed": _ratio(ours.get("adaedl"), ours.get(best_fixed)),
                "autoregressive_over_transformers": _ratio(
                    ours.get(BASELINE), speeds.get(("transformers_generate", "generate"))
                ),
                "least_fixed_over_assisted": min((a for a in assisted if a is not None), default=None),
            }
        )
    return summary


def _systems(pair: Pair, target, lanes: list[str], assisted: bool) -> list[System]:
    systems = [System("adaedl", lane, partial(_run_lane, pair, lane)) for lane in lanes]
    generate = partial(_run_transformers, pair, target)
    systems.append(System("transformers_generate", "generate", generate))
    lookup = partial(generate, lookup=LOOKUP_TOKENS)
    systems.append(System("transformers_prompt_lookup", f"lookup:k={LOOKUP_TOKENS}", lookup))
    if assisted:
        assistant = reference.draft_model(pair, target)
        for lane in lanes:
            stopper = make_stopper(lane)
            if isinstance(stopper, Fixed):
                run = partial(generate, assistant=assistant, drafts=stopper.k)
                systems.append(System("transformers_assisted", lane, run))
    return systems


@torch.inference_mode()
def _noise(pair: Pair, positions: int, seed: int) -> SharedNoise:
    return SharedNoise(seed, positions, pair.target.vocab_size, pair.device)


def _run_lane(pair: Pair, lane: str, job: Job) -> Tally:
    rounds = list(
        decode(
            pair,
            None,
            make_stopper(lane),
            job.sampling,
            max_new_tokens=job.max_new_tokens,
            seed=job.seed,
            context=job.context.copy(),
            noise=job.noise,
            record=False,
        )
    )
    return Tally(
        tokens=sum(len(played.token_ids) for played in rounds),
        seconds=rounds[-1].end_s,
        forward_s=sum(played.draft_s + played.verify_s for played in rounds),
        rounds=len(rounds),
        drafted=sum(len(played.drafted) for played in rounds),
        accepted=sum(played.accepted for played in rounds),
    )


def _run_transformers(pair: Pair, target, job: Job, **drafting) -> Tally:
    _, tally = reference.generate(
        pair,
        target,
        job.prompt_ids,
        job.sampling,
        max_new_tokens=job.max_new_tokens,
        seed=job.seed,
        **drafting,
    )
    return tally


def _result(system: System, temperature: float, tally: Tally, baseline: Tally) -> dict:
    tokens_per_s = _ratio(tally.tokens, tally.seconds)
    outside = None if tally.forward_s is None else tally.seconds - tally.forward_s
    return {
        "system": system.system,
        "lane": system.lane,
        "temperature": temperature,
        "tokens": tally.tokens,
        "tokens_per_s": tokens_per_s,
        "ms_per_token": _ratio(1000 * tally.seconds, tally.tokens),
        "speedup": _ratio(tokens_per_s, _ratio(baseline.tokens, baseline.seconds)),
        "acceptance_rate": _ratio(tally.accepted, tally.drafted),
        "block_efficiency": _ratio(tally.tokens, tally.rounds),
        "overhead_share": _ratio(outside, tally.seconds),
    }


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def _fastest(speeds: dict[str, float | None]) -> str | None:
    known = {lane: speed for lane, speed in speeds.items() if speed is not None}
    return max(known, key=known.get) if known else None


def _best_ms(work: Callable[[], object], device: torch.device) -> float:
    """The shortest of several timings of some work, in milliseconds."""

    def now() -> float:
        if device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter()

    best = float("inf")
    for _ in range(TIMINGS):
        began = now()
        work()
        best = min(best, now() - began)
    return 1000 * best


def _weights_read_ms(model) -> float:
    """Time to read as many bytes as the model's weights have, once: no step can be faster where it must
    read them all. A large model's is worked out from a part."""
    total = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    read = torch.ones(min(total, MAX_READ_BYTES) // 4, dtype=torch.float32, device=model.device)
    return _best_ms(read.sum, model.device) * total / (4 * len(read))


@torch.inference_mode()
def _target_forward_ms(pair: Pair, prompt_ids: Tensor) -> dict[str, float]:
    """Time of a target forward over 1 to 8 tokens that follow a prompt."""
    context = read_prompt(pair, prompt_ids, max(FORWARD_WIDTHS), draft=False)
    cache, length = context.target_cache, context.target_cache.length
    times = {}
    for width in FORWARD_WIDTHS:
        token_ids = context.next_token.repeat(width)

        def forward(token_ids: Tensor = token_ids) -> None:
            pair.target.forward(token_ids, cache)
            cache.rewind(length)

        times[str(width)] = _best_ms(forward, pair.device)
    return times


@torch.inference_mode()
def _draft_step_ms(pair: Pair, prompt_ids: Tensor) -> float:
    """Time of one draft step that follows another."""
    context = read_prompt(pair, prompt_ids, 1 + TIMINGS)
    context.session.begin(context.next_token, context.features)
    return _best_ms(lambda: context.session.extend(context.next_token), pair.device)


def _machine(pair: Pair) -> dict:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name(pair.device) if pair.device.type == "cuda" else None
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": usable,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "device": pair.where,
        "dtype": str(pair.dtype).removeprefix("torch."),
        "target_path": pair.target.path,
        "draft_path": pair.drafter.path,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }
