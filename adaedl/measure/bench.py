"""Speed of our lanes, of transformers' own generation and of llama.cpp, measured in one run.

For each prompt and temperature all systems run back to back. Their order rotates by one with every prompt, so
that a drift of the machine's speed affects all systems equally. No clock includes the prefill. Tokens per
second are total tokens divided by total time. A speedup is the geometric mean of the speedups of the prompts,
with a t interval (`adaedl.statistics`).

Our lanes run under each requested verification rule. At temperature 0 the rules are the same, so only the
first one runs. Other engines have their own verification and run once. Their speedup is relative to our
autoregressive lane under each rule.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from math import inf

from torch import Tensor
from tqdm import tqdm

from adaedl.decoding import Context, decode, read_prompt
from adaedl.errors import Parameter, UserError
from adaedl.measure.forwards import draft_step_ms, machine, noise_ms, target_times
from adaedl.measure.peers import transformers as reference
from adaedl.measure.peers.llama_cpp import PACKAGE, LlamaCpp, can_write, installed
from adaedl.measure.work import DecodingWork
from adaedl.metrics import BASELINE
from adaedl.pairs.pair import Pair
from adaedl.racing import new_trace, race
from adaedl.request import VERIFICATIONS, Sampling, check_race, check_run
from adaedl.statistics import MIN_VALUES, by_sample, geometric_mean
from adaedl.stopping import Fixed, format_spec, make_stopper

TEMPERATURES = (0.0, 0.7, 1.0, 1.3)
LANES = (BASELINE, *(f"fixed:k={k}" for k in range(1, 7)), "adaedl", "max_confidence")
LOOKUP_TOKENS = 3  # draft length of prompt lookup; longer drafts do not pay on a CPU
# The search space of transformers' assisted generation: drafts per round, and the lowest probability of a
# draft token with which drafting continues.
ASSISTED_SEARCH = [(drafts, confidence) for drafts in (1, 2, 3, 4, 6, 10) for confidence in (0.0, 0.4)]
LOOKUP_MARGIN = 16  # tokens that llama.cpp may draft beyond the last token
WARM_UP_TOKENS = 16
LEARNING_TOKENS = 32  # tokens of each lane from which stoppers learn expected times and acceptance
MAX_REPEATS = 1000


@dataclass(frozen=True)
class Job:
    """One prompt at one temperature. Each system writes it; lanes start from copies of the context."""

    prompt_ids: Tensor
    context: Context
    sampling: Sampling
    max_new_tokens: int
    seed: int


@dataclass(frozen=True)
class System:
    """A system to measure: one row of the results for each temperature.

    Attributes:
        settings: transformers' settings by temperature, if they differ from its defaults.
        verification: the verification rule of one of our lanes; None for another engine.
    """

    system: str
    lane: str
    run: Callable[[Job], DecodingWork]
    settings: dict[float, dict] = field(default_factory=dict, compare=False)
    verification: str | None = None


@dataclass
class Runs:
    """The runs of a system on every prompt and repeat. All systems have the same order of runs.

    Attributes:
        each: the prompt and the work of each run.
        total: the total work.
    """

    each: list[tuple[str, DecodingWork]] = field(default_factory=list)
    total: DecodingWork = field(default_factory=DecodingWork)

    def add(self, prompt: str, work: DecodingWork) -> None:
        self.each.append((prompt, work))
        self.total.add(work)


def check_bench(
    prompts: list[str],
    lanes: list[str],
    temperatures: list[float],
    max_new_tokens: int,
    repeats: int,
    seed: int,
    verifications: Sequence[str] = ("shared_noise",),
) -> None:
    """Check all options that can be checked before the pair is loaded.

    Raises:
        UserError: a value is invalid; the error names it and a valid one.
    """
    if not verifications:
        raise UserError(
            f"The bench has no verification rules; give at least one of {', '.join(VERIFICATIONS)}."
        )
    for verification in verifications:
        check_run(max_new_tokens, seed, verification)
    if max_new_tokens < 2:
        raise UserError(
            "{} is {}; it must be at least 2, because a bench times the tokens after the first.",
            Parameter("max_new_tokens"),
            max_new_tokens,
        )
    check_repeats(repeats)
    check_texts(prompts, temperatures)
    for prompt in prompts:
        for lane in with_baseline(lanes):  # separately, because they do not run side by side as in a race
            check_race(prompt, [lane], max_new_tokens, seed, "shared_noise")


def check_texts(prompts: list[str], temperatures: Sequence[float]) -> None:
    """Check that a bench has prompts and valid temperatures.

    Raises:
        UserError: something is missing or invalid; the error names it.
    """
    if not temperatures:
        raise UserError("The bench has no temperatures; give at least one, such as 0.7.")
    for temperature in temperatures:
        Sampling(temperature)
    if not prompts:
        raise UserError("There are no prompts; the file needs one prompt per line.")


def check_repeats(repeats: int) -> None:
    """Check the number of repeats.

    Raises:
        UserError: it is out of range.
    """
    if not 1 <= repeats <= MAX_REPEATS:
        raise UserError(
            "{} is {}; it must be a whole number from 1 to {}.", Parameter("repeats"), repeats, MAX_REPEATS
        )


def with_baseline(lanes: list[str]) -> list[str]:
    """Return the autoregressive lane, the reference of every speedup, and then the other lanes, each once."""
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
    verifications: Sequence[str] = ("shared_noise",),
    same_drafts: bool = True,
) -> dict:
    """Run `bench_in_parts`, with the same arguments and errors, and return its last result."""
    parts = bench_in_parts(
        pair,
        prompts,
        lanes,
        temperatures,
        max_new_tokens=max_new_tokens,
        repeats=repeats,
        seed=seed,
        assisted=assisted,
        verifications=verifications,
        same_drafts=same_drafts,
    )
    return deque(parts, maxlen=1)[0]


def bench_in_parts(
    pair: Pair,
    prompts: list[str],
    lanes: list[str],
    temperatures: list[float],
    *,
    max_new_tokens: int = 96,
    repeats: int = 1,
    seed: int = 0,
    assisted: bool | None = None,
    verifications: Sequence[str] = ("shared_noise",),
    same_drafts: bool = True,
) -> Iterator[dict]:
    """Measure every system on one prompt at one temperature per step; yield the results so far after each
    step.

    Args:
        lanes: stopper specs; the autoregressive lane is added if it is missing.
        assisted: also run transformers' assisted generation; None means yes if the drafter is an independent
            model.
        verifications: the verification rules of our lanes, without duplicates.
        same_drafts: also run assisted generation with the draft length of each of our fixed lanes.

    Yields:
        The object that `bench --json` writes: machine, weights_read_ms, target_forward_ms and its ratio to
            weights_read_ms, draft_step_ms, noise_ms (of one position), results (one row per system, lane,
            temperature and verification, see `result_row`), a summary row for each temperature and
            verification, and whether the results are `complete`. Temperatures without measurements have no
            rows.

    Raises:
        UserError: a value is invalid, a prompt does not fit, or `assisted` is set with a feature drafter.
    """
    check_bench(prompts, lanes, temperatures, max_new_tokens, repeats, seed, verifications)
    with_assisted = _wants_assisted(pair, assisted)
    target = reference.target_model(pair)
    run_assisted = None
    if with_assisted:
        run_assisted = partial(run_transformers, pair, target, assistant=reference.draft_model(pair, target))
    lanes = with_baseline(lanes)
    systems = [system for rule in verifications for system in _our_systems(pair, lanes, rule)]
    systems += _of_transformers(pair, target, run_assisted, lanes if same_drafts else [])
    encoded = [pair.encode(prompt) for prompt in prompts]
    llama_cpp_version = installed() if can_write(target) else None
    if llama_cpp_version:
        capacity = max(map(len, encoded)) + max_new_tokens + LOOKUP_MARGIN
        systems += _of_llama_cpp(LlamaCpp(pair, target, capacity))

    warm_ups = _warm_up(pair, systems, encoded[0], temperatures, min(WARM_UP_TOKENS, max_new_tokens), seed)
    for temperature in temperatures:
        for rule in rules_at(temperature, verifications):
            _learn(pair, prompts[0], temperature, rule, min(LEARNING_TOKENS, max_new_tokens), seed)
    if run_assisted:
        systems.append(search_assisted(run_assisted, warm_ups))
    options = {
        "prompts": len(prompts),
        "max_new_tokens": max_new_tokens,
        "repeats": repeats,
        "seed": seed,
    }
    peers = {PACKAGE: llama_cpp_version} if llama_cpp_version else {}
    header = _describe(pair, peers) | options | _forward_times(pair, target, encoded[0])

    rules = {temperature: rules_at(temperature, verifications) for temperature in temperatures}
    systems_at = {temperature: _compared(systems, rules[temperature]) for temperature in temperatures}
    runs = {
        (system, temperature): Runs() for temperature in temperatures for system in systems_at[temperature]
    }
    remaining = len(temperatures) * repeats * len(prompts)
    jobs = _jobs(pair, encoded, temperatures, max_new_tokens, repeats, seed)
    with tqdm(total=repeats * len(prompts) * len(runs), unit="text", file=sys.stderr) as bar:
        for number, turn, job in jobs:
            temperature = job.sampling.temperature
            # All systems finish before any result counts, so that all results have the same texts.
            for system, work in _run_in_turn(systems_at[temperature], turn, job, bar):
                runs[system, temperature].add(prompts[number], work)
            remaining -= 1
            results = _results(systems, rules, runs)
            yield header | {"complete": not remaining, "results": results, "summary": summarise(results)}


def _wants_assisted(pair: Pair, assisted: bool | None) -> bool:
    """Return whether to measure transformers' assisted generation too.

    Raises:
        UserError: the user requests it, but it cannot use the pair's drafter.
    """
    independent = pair.drafter.kind == "independent"
    if assisted and not independent:
        raise UserError(
            f"{pair.name} drafts with a feature drafter, which transformers' assisted generation cannot use; "
            f"choose an independent pair, such as --pair {pair.target_name}:{pair.target_name}."
        )
    return independent if assisted is None else assisted


def _warm_up(
    pair: Pair, systems: list[System], prompt_ids: Tensor, temperatures: list[float], tokens: int, seed: int
) -> list[Job]:
    """Run every system once on a short text; return a job for a short text at each temperature."""
    context = read_prompt(pair, prompt_ids, tokens)
    jobs = [Job(prompt_ids, context, Sampling(t), tokens, seed) for t in temperatures]
    for system in tqdm(systems, "warming up", leave=False, file=sys.stderr):
        system.run(jobs[-1])
    return jobs


def _learn(pair: Pair, prompt: str, temperature: float, verification: str, tokens: int, seed: int) -> None:
    """Race draft lengths from 1 to 12, so that stoppers know the durations of rounds and how often drafts are
    accepted, as after any text."""
    lanes = [BASELINE, *(format_spec(Fixed(k=k)) for k in (1, 4, 12))]
    trace = new_trace(
        pair,
        prompt,
        lanes,
        Sampling(temperature),
        max_new_tokens=tokens,
        seed=seed,
        verification=verification,
    )
    for _ in race(pair, trace, record=False):
        pass


def _describe(pair: Pair, peer_versions: dict[str, str]) -> dict:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(pair) | peer_versions,
        "pair": {
            "name": pair.name,
            "target": pair.target_name,
            "draft": pair.draft_name,
            "weights": pair.weights,
        },
    }


def _forward_times(pair: Pair, target, prompt_ids: Tensor) -> dict:
    """Return the durations of a target forward, a draft step and the noise of one position."""
    read, forward_ms = target_times(pair, target, prompt_ids)
    return {
        "weights_read_ms": read.ms,
        "weights_bytes": read.bytes,
        "bandwidth_gb_s": read.gb_per_s,
        "target_forward_ms": forward_ms,
        "target_forward_over_read": {width: ms / read.ms for width, ms in forward_ms.items()},
        "draft_step_ms": draft_step_ms(pair, prompt_ids),
        "noise_ms": noise_ms(pair),
    }


def _jobs(
    pair: Pair,
    encoded: list[Tensor],
    temperatures: list[float],
    max_new_tokens: int,
    repeats: int,
    seed: int,
) -> Iterator[tuple[int, int, Job]]:
    """Yield every job with the number of its prompt and the number of the system that starts."""
    for repeat in range(repeats):
        for number, prompt_ids in enumerate(encoded):
            context = read_prompt(pair, prompt_ids, max_new_tokens)
            for temperature in temperatures:
                job = Job(prompt_ids, context, Sampling(temperature), max_new_tokens, seed + repeat)
                yield number, number + repeat, job


def _run_in_turn(systems: list[System], turn: int, job: Job, bar: tqdm) -> list[tuple[System, DecodingWork]]:
    """Run every system on a job, starting with system number `turn`."""
    works = []
    for system in rotated(systems, turn):
        bar.set_description(f"{system.system} {system.lane} at {job.sampling.temperature:g}")
        works.append((system, system.run(job)))
        bar.update()
    return works


def rotated(values: list, by: int) -> list:
    """Return the values rotated to the left by `by`."""
    by %= len(values)
    return values[by:] + values[:by]


def rules_at(temperature: float, verifications: Sequence[str]) -> Sequence[str]:
    """Return the verification rules that differ at a temperature. At 0 all rules accept the same drafts."""
    return verifications[:1] if Sampling(temperature).greedy else verifications


def _compared(systems: list[System], verifications: Sequence[str]) -> list[System]:
    """Return our lanes under these rules and the other engines."""
    return [system for system in systems if system.verification in (None, *verifications)]


def _results(
    systems: list[System], rules: dict[float, Sequence[str]], runs: dict[tuple[System, float], Runs]
) -> list[dict]:
    results = []
    for temperature, verifications in rules.items():
        for verification in verifications:
            compared = _compared(systems, [verification])
            baseline = runs[compared[0], temperature]
            if baseline.total.tokens:
                results += [
                    result_row(system, temperature, runs[system, temperature], baseline)
                    | {"verification": verification}
                    for system in compared
                ]
    return results


def summarise(results: list[dict]) -> list[dict]:
    """Return a row for each temperature and verification: the best fixed k, AdaEDL relative to it, the best
    lane, and our engine relative to transformers and its fastest assisted generation. A ratio is None if one
    of its systems did not run.

    Args:
        results: rows from `bench`.
    """
    summary = []
    for temperature, verification in dict.fromkeys(map(_condition_of, results)):
        rows = [row for row in results if _condition_of(row) == (temperature, verification)]
        speeds = {(row["system"], row["lane"]): row["speedup"] for row in rows}
        our_speeds = {lane: speed for (system, lane), speed in speeds.items() if system == "adaedl"}
        drafting = {lane: speed for lane, speed in our_speeds.items() if lane != BASELINE}
        fixed = {lane: speed for lane, speed in drafting.items() if lane.split(":")[0] == Fixed.name}
        best, best_fixed = _fastest(drafting), _fastest(fixed)
        assisted = [
            _ratio(our_speeds[lane], speed)
            for (system, lane), speed in speeds.items()
            if system == "transformers_assisted" and lane in our_speeds
        ]
        assisted_speeds = {
            lane: speed for (system, lane), speed in speeds.items() if system.endswith("_assisted")
        }
        summary.append(
            {
                "temperature": temperature,
                "verification": verification,
                "best_lane": best,
                "best_lane_over_autoregressive": _ratio(our_speeds.get(best), our_speeds.get(BASELINE)),
                "best_fixed": best_fixed,
                "adaedl_over_best_fixed": _ratio(our_speeds.get("adaedl"), our_speeds.get(best_fixed)),
                "autoregressive_over_transformers": _ratio(
                    our_speeds.get(BASELINE), speeds.get(("transformers_generate", "generate"))
                ),
                "least_fixed_over_assisted": min((a for a in assisted if a is not None), default=None),
                "best_lane_over_best_assisted": _ratio(
                    our_speeds.get(best), assisted_speeds.get(_fastest(assisted_speeds))
                ),
            }
        )
    return summary


def _condition_of(row: dict) -> tuple[float, str]:
    return row["temperature"], row["verification"]


def _our_systems(pair: Pair, lanes: list[str], verification: str) -> list[System]:
    run = partial(run_lane, pair, verification=verification)
    return [System("adaedl", lane, partial(run, lane), verification=verification) for lane in lanes]


def _of_transformers(
    pair: Pair, target, assisted: Callable[..., DecodingWork] | None, lanes: list[str]
) -> list[System]:
    """Return transformers' plain generation, prompt lookup and, if `assisted` is given, assisted generation
    with its defaults and with the draft length of each fixed lane."""
    generate = partial(run_transformers, pair, target)
    lookup = partial(generate, lookup=LOOKUP_TOKENS)
    systems = [
        System("transformers_generate", "generate", generate),
        System("transformers_prompt_lookup", f"lookup:k={LOOKUP_TOKENS}", lookup),
    ]
    if assisted:
        systems.append(System("transformers_assisted", "defaults", assisted))
        for lane in lanes:
            stopper = make_stopper(lane)
            if isinstance(stopper, Fixed):
                systems.append(System("transformers_assisted", lane, partial(assisted, drafts=stopper.k)))
    return systems


def _of_llama_cpp(model: LlamaCpp) -> list[System]:
    """Return llama.cpp's plain generation and its prompt lookup, with its default draft length and with
    `LOOKUP_TOKENS`."""

    def run(job: Job, **drafting) -> DecodingWork:
        settings = {"max_new_tokens": job.max_new_tokens, "seed": job.seed, **drafting}
        return model.generate(job.prompt_ids.tolist(), job.sampling, **settings)[1]

    lookup = partial(run, lookup=True)
    return [
        System("llama_cpp_generate", "generate", run),
        System("llama_cpp_prompt_lookup", "defaults", lookup),
        System("llama_cpp_prompt_lookup", f"lookup:k={LOOKUP_TOKENS}", partial(lookup, drafts=LOOKUP_TOKENS)),
    ]


def search_assisted(assisted: Callable[..., DecodingWork], jobs: list[Job]) -> System:
    """Search the fastest setting of transformers' assisted generation at each temperature; return the system
    with these settings.

    Args:
        assisted: `run_transformers` with its assistant.
        jobs: one job for each temperature, to test the settings.
    """

    def speed(job: Job, setting: tuple[int, float]) -> float:
        work = assisted(job, drafts=setting[0], confidence=setting[1])
        return _ratio(work.tokens, work.seconds) or 0.0

    fastest = {}
    for job in tqdm(jobs, "searching settings", leave=False, file=sys.stderr):
        drafts, confidence = max(ASSISTED_SEARCH, key=partial(speed, job))
        fastest[job.sampling.temperature] = {"drafts": drafts, "confidence": confidence}
    return System(
        "transformers_assisted",
        "searched",
        lambda job: assisted(job, **fastest[job.sampling.temperature]),
        settings=fastest,
    )


def run_lane(
    pair: Pair, lane: str, job: Job, *, verification: str = "shared_noise", most_s: float = inf
) -> DecodingWork:
    """Run one of our lanes on a job; end it after the round that passes `most_s` seconds."""
    decoding = decode(
        pair,
        None,
        make_stopper(lane),
        job.sampling,
        max_new_tokens=job.max_new_tokens,
        seed=job.seed,
        verification=verification,
        expected_times=pair.earlier_texts.times(verification, job.sampling),
        expected_acceptance=pair.earlier_texts.acceptance(verification, job.sampling),
        context=job.context.copy(),
        record=False,
    )
    rounds = []
    with closing(decoding):
        for finished_round in decoding:
            rounds.append(finished_round)
            if finished_round.end_s >= most_s:
                break
    return DecodingWork(
        tokens=sum(len(each.token_ids) for each in rounds),
        seconds=rounds[-1].end_s,
        forward_s=sum(each.draft_s + each.verify_s for each in rounds),
        rounds=len(rounds),
        drafted=sum(len(each.drafted) for each in rounds),
        accepted=sum(each.accepted for each in rounds),
    )


def run_transformers(pair: Pair, target, job: Job, **drafting) -> DecodingWork:
    """Run transformers' generation on a job; `drafting` are options of `reference.generate`."""
    _, work = reference.generate(
        pair,
        target,
        job.prompt_ids,
        job.sampling,
        max_new_tokens=job.max_new_tokens,
        seed=job.seed,
        **drafting,
    )
    return work


def result_row(system: System, temperature: float, runs: Runs, baseline: Runs) -> dict:
    """Return a row of the results.

    Rates and shares are computed from total tokens and total time. The speedup on a prompt is the time per
    token of the autoregressive lane divided by the time per token of the system, averaged over repeats.
    `speedup` is the geometric mean over prompts, and `speedup_low` and `speedup_high` are its 95% t interval.
    With fewer than `MIN_VALUES` prompts these two are None, and `speedups` lists the speedup on each prompt.

    Args:
        baseline: the runs of the autoregressive lane at this temperature.
    """
    work = runs.total
    tokens_per_s = _ratio(work.tokens, work.seconds)
    speedups = _speedups(runs, baseline)
    mean, *interval = geometric_mean(speedups)
    low, high = interval if len(speedups) >= MIN_VALUES else (None, None)
    outside = None if work.forward_s is None else work.seconds - work.forward_s
    return {
        "system": system.system,
        "lane": system.lane,
        "temperature": temperature,
        "tokens": work.tokens,
        "tokens_per_s": tokens_per_s,
        "ms_per_token": _ratio(1000 * work.seconds, work.tokens),
        "speedup": mean if speedups else None,
        "speedup_low": low,
        "speedup_high": high,
        "speedups": speedups if len(speedups) < MIN_VALUES else [],
        "acceptance_rate": _ratio(work.accepted, work.drafted),
        "block_efficiency": _ratio(work.tokens, work.rounds),
        "overhead_share": _ratio(outside, work.seconds),
        "settings": system.settings.get(temperature),
    }


def _speedups(runs: Runs, baseline: Runs) -> list[float]:
    """Return the speedup on each prompt for which both systems wrote tokens."""
    known = [
        (ratio, prompt)
        for (prompt, work), (_, plain) in zip(runs.each, baseline.each, strict=True)
        if (ratio := _ratio(_ratio(plain.seconds, plain.tokens), _ratio(work.seconds, work.tokens)))
    ]
    return list(by_sample(*zip(*known, strict=True)).values()) if known else []


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def _fastest(speeds: dict[str, float | None]) -> str | None:
    known = {lane: speed for lane, speed in speeds.items() if speed is not None}
    return max(known, key=known.__getitem__) if known else None
