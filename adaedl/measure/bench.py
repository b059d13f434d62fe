"""Speed, measured in one run: our lanes, transformers' own generation, and llama.cpp's.

For each prompt and temperature all systems run back to back, in an order that moves on by one with every
prompt, so that a drift of the machine's speed affects all alike. No clock includes prefill. Tokens per second
are total tokens over total time; a speedup is the geometric mean of the prompts' speedups, with a t interval
(`adaedl.statistics`).

Our lanes run under each verification rule that is asked for; at temperature 0 the rules are one, so only the
first is run there. Other engines verify in their own way and run once; their speedup is given against our
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
from adaedl.errors import UserError
from adaedl.measure.forwards import draft_step_ms, machine, noise_ms, target_times
from adaedl.measure.peers import transformers as reference
from adaedl.measure.peers.llama_cpp import PACKAGE, LlamaCpp, can_write, installed
from adaedl.measure.work import DecodingWork
from adaedl.metrics import BASELINE
from adaedl.pairs.pair import Pair
from adaedl.race import new_trace, race
from adaedl.request import VERIFICATIONS, Sampling, check_race, check_run
from adaedl.statistics import FEWEST, by_sample, geometric_mean
from adaedl.stopping import Fixed, format_spec, make_stopper

TEMPERATURES = (0.0, 0.7, 1.0, 1.3)
LANES = (BASELINE, *(f"fixed:k={k}" for k in range(1, 7)), "adaedl", "max_confidence")
LOOKUP_TOKENS = 3  # drafts of other engines' prompt lookup; on a CPU more cost more than they gain
# The settings to search for transformers' fastest assisted generation: drafts per round, and the draft's own
# probability of a token below which it stops.
ASSISTED_SEARCH = [(drafts, confidence) for drafts in (1, 2, 3, 4, 6, 10) for confidence in (0.0, 0.4)]
LOOKUP_ROOM = 16  # for llama.cpp's drafts beyond the last token
WARM_UP_TOKENS = 16
MAX_REPEATS = 1000


@dataclass(frozen=True)
class Job:
    """One prompt at one temperature, the work of every system; lanes start from copies of the context."""

    prompt_ids: Tensor
    context: Context
    sampling: Sampling
    max_new_tokens: int
    seed: int


@dataclass(frozen=True)
class System:
    """A system to measure: one row of the results for each temperature. `settings` are transformers' settings
    by temperature, where they are not its defaults; `verification` is the rule of a lane of ours, None for
    another engine."""

    system: str
    lane: str
    run: Callable[[Job], DecodingWork]
    settings: dict[float, dict] = field(default_factory=dict, compare=False)
    verification: str | None = None


@dataclass
class Runs:
    """What a system did on every prompt and repeat, in the order in which all systems took them.

    Attributes:
        each: the prompt and the work of each run.
        total: the sum of all.
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
    """Check what can be checked before the pair is loaded.

    Raises:
        UserError: naming the invalid value and what would be valid.
    """
    if not verifications:
        raise UserError(
            f"The bench has no verification rules; give at least one of {', '.join(VERIFICATIONS)}."
        )
    for verification in verifications:
        check_run(max_new_tokens, seed, verification)
    if max_new_tokens < 2:
        raise UserError(
            f"max_new_tokens is {max_new_tokens}; it must be at least 2, because a bench times the tokens "
            "after the first."
        )
    check_repeats(repeats)
    if not temperatures:
        raise UserError("The bench has no temperatures; give at least one, such as 0.7.")
    for temperature in temperatures:
        Sampling(temperature)
    if not prompts:
        raise UserError("There are no prompts; the file needs one prompt per line.")
    for prompt in prompts:
        for lane in with_baseline(lanes):  # one by one: unlike a race's, they need not run side by side
            check_race(prompt, [lane], max_new_tokens, seed, "shared_noise")


def check_repeats(repeats: int) -> None:
    """Check how often a bench runs.

    Raises:
        UserError: more or less often than it may.
    """
    if not 1 <= repeats <= MAX_REPEATS:
        raise UserError("repeats is {}; it must be a whole number from 1 to {}.", repeats, MAX_REPEATS)


def with_baseline(lanes: list[str]) -> list[str]:
    """Return the lanes, each once, after the autoregressive one: every speedup is against it."""
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
    """Run `bench_in_parts` to its end and return its last result. Same arguments and errors."""
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
    """Measure one prompt at one temperature per step, with every system; yield the results so far after each
    step.

    Args:
        lanes: stopper specs; the autoregressive lane is added if it is missing.
        assisted: run transformers' assisted generation too; None means whenever the drafter is an independent
            model.
        verifications: the rules that our lanes run under, each once.
        same_drafts: run assisted generation beside each fixed k of ours as well, with the same drafts.

    Yields:
        The object that `bench --json` writes: machine, weights_read_ms, target_forward_ms and its ratio to
            that read, draft_step_ms, noise_ms (of one position), results (one row per system, lane,
            temperature and verification, see `result_row`), a summary row for each temperature and
            verification, and whether they are `complete`. Until then, temperatures that have not been
            measured have no rows.

    Raises:
        UserError: a value is invalid, a prompt does not fit, or `assisted` is set with a feature drafter.
    """
    check_bench(prompts, lanes, temperatures, max_new_tokens, repeats, seed, verifications)
    rival_wanted = _wants_assisted(pair, assisted)
    target = reference.target_model(pair)
    rival = None
    if rival_wanted:
        rival = partial(run_transformers, pair, target, assistant=reference.draft_model(pair, target))
    lanes = with_baseline(lanes)
    systems = [system for rule in verifications for system in _our_systems(pair, lanes, rule)]
    systems += _of_transformers(pair, target, rival, lanes if same_drafts else [])
    encoded = [pair.encode(prompt) for prompt in prompts]
    llama_cpp_version = installed() if can_write(target) else None
    if llama_cpp_version:
        capacity = max(map(len, encoded)) + max_new_tokens + LOOKUP_ROOM
        systems += _of_llama_cpp(LlamaCpp(pair, target, capacity))

    _learn_times(pair, prompts[0], temperatures[-1], min(WARM_UP_TOKENS, max_new_tokens), seed)
    warm_ups = _warm_up(pair, systems, encoded[0], temperatures, min(WARM_UP_TOKENS, max_new_tokens), seed)
    if rival:
        systems.append(search_assisted(rival, warm_ups))
    options = {
        "prompts": len(prompts),
        "max_new_tokens": max_new_tokens,
        "repeats": repeats,
        "seed": seed,
    }
    peers = {PACKAGE: llama_cpp_version} if llama_cpp_version else {}
    measured = _describe(pair, peers) | options | _forward_times(pair, target, encoded[0])

    rules = {temperature: rules_at(temperature, verifications) for temperature in temperatures}
    due = {temperature: _compared(systems, rules[temperature]) for temperature in temperatures}
    ran = {(system, temperature): Runs() for temperature in temperatures for system in due[temperature]}
    left = len(temperatures) * repeats * len(prompts)
    jobs = _jobs(pair, encoded, temperatures, max_new_tokens, repeats, seed)
    with tqdm(total=repeats * len(prompts) * len(ran), unit="text", file=sys.stderr) as bar:
        for number, turn, job in jobs:
            temperature = job.sampling.temperature
            # All systems or none, so that their results are of the same texts.
            for system, work in _run_in_turn(due[temperature], turn, job, bar):
                ran[system, temperature].add(prompts[number], work)
            left -= 1
            results = _results(systems, rules, ran)
            yield measured | {"complete": not left, "results": results, "summary": summarise(results)}


def _wants_assisted(pair: Pair, assisted: bool | None) -> bool:
    """Return whether transformers' assisted generation is measured too.

    Raises:
        UserError: it is asked for and cannot use the pair's drafter.
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
    """Run every system once on a short text; return such a text for each temperature."""
    context = read_prompt(pair, prompt_ids, tokens)
    jobs = [Job(prompt_ids, context, Sampling(t), tokens, seed) for t in temperatures]
    for system in tqdm(systems, "warming up", leave=False, file=sys.stderr):
        system.run(jobs[-1])
    return jobs


def _learn_times(pair: Pair, prompt: str, temperature: float, tokens: int, seed: int) -> None:
    """Race lengths from 1 to 12, so that stoppers may expect what rounds take, as after any earlier text."""
    lanes = [BASELINE, *(format_spec(Fixed(k=k)) for k in (1, 4, 12))]
    trace = new_trace(pair, prompt, lanes, Sampling(temperature), max_new_tokens=tokens, seed=seed)
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
    """Return how long one forward of the target, one draft step and one position's noise take."""
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
    """Yield every job, with the number of its prompt and the number of the system that begins."""
    for repeat in range(repeats):
        for number, prompt_ids in enumerate(encoded):
            context = read_prompt(pair, prompt_ids, max_new_tokens)
            for temperature in temperatures:
                job = Job(prompt_ids, context, Sampling(temperature), max_new_tokens, seed + repeat)
                yield number, number + repeat, job


def _run_in_turn(systems: list[System], turn: int, job: Job, bar: tqdm) -> list[tuple[System, DecodingWork]]:
    """Run every system on a job, beginning with the one whose turn it is."""
    works = []
    for system in rotated(systems, turn):
        bar.set_description(f"{system.system} {system.lane} at {job.sampling.temperature:g}")
        works.append((system, system.run(job)))
        bar.update()
    return works


def rotated(values: list, by: int) -> list:
    """Return the values in their order, beginning with number `by` and going round."""
    by %= len(values)
    return values[by:] + values[:by]


def rules_at(temperature: float, verifications: Sequence[str]) -> Sequence[str]:
    """Return the rules that differ at a temperature: at 0 all accept the same drafts."""
    return verifications[:1] if Sampling(temperature).greedy else verifications


def _compared(systems: list[System], verifications: Sequence[str]) -> list[System]:
    """Return our lanes under these rules, then the other engines."""
    return [system for system in systems if system.verification in (None, *verifications)]


def _results(
    systems: list[System], rules: dict[float, Sequence[str]], ran: dict[tuple[System, float], Runs]
) -> list[dict]:
    results = []
    for temperature, verifications in rules.items():
        for verification in verifications:
            compared = _compared(systems, [verification])
            baseline = ran[compared[0], temperature]
            if baseline.total.tokens:
                results += [
                    result_row(system, temperature, ran[system, temperature], baseline)
                    | {"verification": verification}
                    for system in compared
                ]
    return results


def summarise(results: list[dict]) -> list[dict]:
    """Return a row for each temperature and verification: the best fixed k, AdaEDL against it, the best lane,
    and our engine against transformers' (assisted generation at its fastest included). A number is None where
    a system that it compares was not run.

    Args:
        results: rows from `bench`.
    """
    summary = []
    for temperature, verification in dict.fromkeys(map(_condition_of, results)):
        rows = [row for row in results if _condition_of(row) == (temperature, verification)]
        speeds = {(row["system"], row["lane"]): row["speedup"] for row in rows}
        ours = {lane: speed for (system, lane), speed in speeds.items() if system == "adaedl"}
        drafting = {lane: speed for lane, speed in ours.items() if lane != BASELINE}
        fixed = {lane: speed for lane, speed in drafting.items() if lane.split(":")[0] == Fixed.name}
        best, best_fixed = _fastest(drafting), _fastest(fixed)
        assisted = [
            _ratio(ours[lane], speed)
            for (system, lane), speed in speeds.items()
            if system == "transformers_assisted" and lane in ours
        ]
        theirs = {lane: speed for (system, lane), speed in speeds.items() if system.endswith("_assisted")}
        summary.append(
            {
                "temperature": temperature,
                "verification": verification,
                "best_lane": best,
                "best_lane_over_autoregressive": _ratio(ours.get(best), ours.get(BASELINE)),
                "best_fixed": best_fixed,
                "adaedl_over_best_fixed": _ratio(ours.get("adaedl"), ours.get(best_fixed)),
                "autoregressive_over_transformers": _ratio(
                    ours.get(BASELINE), speeds.get(("transformers_generate", "generate"))
                ),
                "least_fixed_over_assisted": min((a for a in assisted if a is not None), default=None),
                "best_lane_over_best_assisted": _ratio(ours.get(best), theirs.get(_fastest(theirs))),
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
    """Return transformers' plain generation, prompt lookup and, if it is wanted, assisted generation: at its
    defaults and with the drafts of each fixed k among the lanes."""
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
    """Return llama.cpp's plain generation and its prompt lookup, at its defaults and with transformers'
    number of drafts."""

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
    """Return transformers' assisted generation at the fastest of a few settings, searched for each
    temperature.

    Args:
        assisted: as `run_transformers`, with its assistant given.
        jobs: the jobs to try the settings on, one for each temperature.
    """

    def speed(job: Job, setting: tuple[int, float]) -> float:
        work = assisted(job, drafts=setting[0], confidence=setting[1])
        return _ratio(work.tokens, work.seconds) or 0.0

    found = {}
    for job in tqdm(jobs, "searching settings", leave=False, file=sys.stderr):
        drafts, confidence = max(ASSISTED_SEARCH, key=partial(speed, job))
        found[job.sampling.temperature] = {"drafts": drafts, "confidence": confidence}
    return System(
        "transformers_assisted",
        "searched",
        lambda job: assisted(job, **found[job.sampling.temperature]),
        settings=found,
    )


def run_lane(
    pair: Pair, lane: str, job: Job, *, verification: str = "shared_noise", most_s: float = inf
) -> DecodingWork:
    """Run one of our lanes on a job, which ends after the round that passes `most_s` seconds."""
    decoding = decode(
        pair,
        None,
        make_stopper(lane),
        job.sampling,
        max_new_tokens=job.max_new_tokens,
        seed=job.seed,
        verification=verification,
        expected_times=pair.times,
        context=job.context.copy(),
        record=False,
    )
    rounds = []
    with closing(decoding):
        for played in decoding:
            rounds.append(played)
            if played.end_s >= most_s:
                break
    return DecodingWork(
        tokens=sum(len(played.token_ids) for played in rounds),
        seconds=rounds[-1].end_s,
        forward_s=sum(played.draft_s + played.verify_s for played in rounds),
        rounds=len(rounds),
        drafted=sum(len(played.drafted) for played in rounds),
        accepted=sum(played.accepted for played in rounds),
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

    Rates and shares are computed from total tokens and total time. `speedup` is the geometric mean over
    prompts of the autoregressive time per token over the system's, with repeats of a prompt averaged, and its
    95% t interval is in `speedup_low` and `speedup_high`. With few prompts these are None and `speedups`
    lists each prompt's own.

    Args:
        baseline: the autoregressive lane's runs at that temperature.
    """
    work = runs.total
    tokens_per_s = _ratio(work.tokens, work.seconds)
    speedups = _speedups(runs, baseline)
    mean, *interval = geometric_mean(speedups)
    low, high = interval if len(speedups) >= FEWEST else (None, None)
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
        "speedups": speedups if len(speedups) < FEWEST else [],
        "acceptance_rate": _ratio(work.accepted, work.drafted),
        "block_efficiency": _ratio(work.tokens, work.rounds),
        "overhead_share": _ratio(outside, work.seconds),
        "settings": system.settings.get(temperature),
    }


def _speedups(runs: Runs, baseline: Runs) -> list[float]:
    """Return the speedup on each prompt for which both systems wrote something."""
    known = [
        (ratio, prompt)
        for (prompt, ours), (_, plain) in zip(runs.each, baseline.each, strict=True)
        if (ratio := _ratio(_ratio(plain.seconds, plain.tokens), _ratio(ours.seconds, ours.tokens)))
    ]
    return list(by_sample(*zip(*known, strict=True)).values()) if known else []


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def _fastest(speeds: dict[str, float | None]) -> str | None:
    known = {lane: speed for lane, speed in speeds.items() if speed is not None}
    return max(known, key=known.__getitem__) if known else None
