"""Make a recording: the target writes its text once, and the drafter continues from each of its positions.

A recording takes two to three times as long as the target alone takes for the text (`Recording.plain_s`,
`Recording.recording_s`), however many settings are replayed from it, because positions draft in parallel
(`adaedl.recordings.chains`).
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle, zip_longest
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from adaedl.decoding import Context, decode, read_prompt
from adaedl.errors import Parameter, Sentence, UserError
from adaedl.models.protocol import PREFILL_CHUNK
from adaedl.models.shared_noise import SharedNoise
from adaedl.pairs.pair import Pair
from adaedl.racing import new_trace
from adaedl.recordings.chains import ChainDrafting, Choice, Coupling, HighestScore, rounded
from adaedl.recordings.recording import Chain, Recording
from adaedl.recordings.replay import replay
from adaedl.request import Sampling
from adaedl.sampling import score_sampling, warp
from adaedl.stopping import DEEPEST_DEFAULT, MAX_DRAFT_LIMIT, AdaEDL, DraftStep, Stopper
from adaedl.system.machine import out_of_memory_as
from adaedl.times import Times, fit_times
from adaedl.trace import Round, Trace

MAX_TOKENS = 1024  # limits memory for the target's probabilities at every position


@dataclass(frozen=True)
class Run:
    """The run to record; see `record`."""

    pair: Pair
    prompt: str
    sampling: Sampling
    verification: str
    max_new_tokens: int
    seed: int
    depth: int
    system: str
    continuation: bool

    @property
    def prompt_ids(self) -> Tensor:
        """[T] the tokens of the prompt."""
        return self.pair.encode(self.prompt, self.system, self.continuation)


def record(
    pair: Pair,
    prompt: str,
    sampling: Sampling,
    *,
    progress: Callable[[float], None] = lambda share: None,
    **settings,
) -> Recording:
    """Record the target's text after a prompt: the text that an autoregressive lane writes with this seed.

    Args:
        progress: called with the fraction done, from 0 to 1; may raise to stop.
        settings: `verification` ("shared_noise" or "speculative"), the verification rule of replays;
            `max_new_tokens` (96), `seed` (0); `depth` (16), the number of drafts from each position, which
            limits the `max_draft` of the stoppers that can be replayed; `score_temperature` (None), the
            `score_temperature` setting of the stoppers that can be replayed; `system` ("") and `continuation`
            (False), as in `RaceRequest`; `enough`, a function called between rounds: the text ends once it
            returns True.

    Raises:
        UserError: a value is invalid, or the prompt does not fit.
    """
    with closing(record_in_parts(pair, prompt, sampling, **settings)) as parts:
        for part in parts:
            if isinstance(part, Recording):
                return part
            progress(part)
    raise AssertionError("the recording comes last")


def record_scored(
    pair: Pair, prompt: str, sampling: Sampling, score_temperatures: Sequence[float | None], **settings
) -> list[Recording]:
    """Return one recording for each score temperature, all with the same drafts and times. Arguments and
    errors as in `record`."""
    *_, recordings = _in_parts(pair, prompt, sampling, score_temperatures, **settings)
    return cast(list[Recording], recordings)


def record_in_parts(
    pair: Pair, prompt: str, sampling: Sampling, *, score_temperature: float | None = None, **settings
) -> Generator[float | Recording, None, None]:
    """Record in steps: yield the fraction done, from 0 to 1, after each step, and the recording at the end.
    Close the generator to stop. Pauses between steps are not timed. Arguments and errors as in `record`."""
    with closing(_in_parts(pair, prompt, sampling, [score_temperature], **settings)) as parts:
        for part in parts:
            yield part[0] if isinstance(part, list) else part


def _in_parts(
    pair: Pair,
    prompt: str,
    sampling: Sampling,
    score_temperatures: Sequence[float | None],
    *,
    verification: str = "shared_noise",
    max_new_tokens: int = 96,
    seed: int = 0,
    depth: int = DEEPEST_DEFAULT,
    system: str = "",
    continuation: bool = False,
    enough: Callable[[], bool] = lambda: False,
) -> Generator[float | list[Recording], None, None]:
    """Like `record_in_parts`, with one recording for each score temperature.

    Raises:
        UserError: a value is invalid, the prompt does not fit, or the device runs out of memory.
    """
    seconds, part = 0.0, None
    run = Run(pair, prompt, sampling, verification, max_new_tokens, seed, depth, system, continuation)
    parts = _record(run, score_temperatures, enough)
    too_large = Sentence(
        "{} has too little free memory for this recording; shorten the prompt or request fewer new tokens.",
        pair.device,
    )
    with closing(parts), out_of_memory_as(too_large):
        while not isinstance(part, list):
            start = time.perf_counter()
            part = next(parts)
            seconds += time.perf_counter() - start
            if isinstance(part, list):
                for recording in part:
                    recording.recording_s = seconds
            yield part


@torch.inference_mode()
def _record(
    run: Run, score_temperatures: Sequence[float | None], enough: Callable[[], bool]
) -> Generator[float | list[Recording], None, None]:
    pair, sampling = run.pair, run.sampling
    check_record(run.max_new_tokens, run.depth)
    # AdaEDL checks them and converts them to floats.
    score_temperatures = [AdaEDL(score_temperature=value).score_temperature for value in score_temperatures]
    trace = new_trace(  # checks every value
        pair,
        run.prompt,
        ["autoregressive"],
        sampling,
        max_new_tokens=run.max_new_tokens,
        seed=run.seed,
        verification=run.verification,
        system=run.system,
        continuation=run.continuation,
    )
    context = read_prompt(pair, run.prompt_ids, run.max_new_tokens)

    rounds = yield from _play_rounds(run, context, enough)
    text = _read_text(pair, context, rounds.token_ids)
    yield 0.75

    p = warp(text.logits, sampling)
    choice = _choice(run, p, text.token_ids)
    scorings = [score_sampling(value, sampling) for value in score_temperatures]
    drafting = ChainDrafting(
        pair, sampling, scorings, choice, p, text.token_ids, run.depth, rounds.max_new_tokens
    )
    chains: list[list[Chain]] = [[] for _ in scorings]
    for part in drafting.of_text(context.session, text.before, text.features):
        for known, more in zip(chains, part, strict=True):
            known += more
        yield 0.75 + 0.25 * len(chains[0]) / len(text.before)

    target_p = p.gather(-1, text.token_ids[:, None]).squeeze(-1)
    target_gap = choice.leads(text.logits, None, 0, text.token_ids)
    recording = _assemble(run, trace, rounds, chains[0], target_p, target_gap)
    scored = zip(score_temperatures, chains, strict=True)
    recordings = [replace(recording, score_temperature=value, chains=own) for value, own in scored]
    for one in recordings:
        if one.score_temperature is None:
            pair.earlier_texts.add(run.verification, sampling, one.judged_drafts)
    yield recordings


def _choice(run: Run, p: Tensor, text: Tensor) -> Choice:
    """Return how the drafts of a run are chosen; p [N, V] holds the target's probabilities along its text
    [N]."""
    if run.sampling.greedy:
        return HighestScore(run.sampling, None)
    if run.verification == "speculative":
        return Coupling(run.seed, p, text, run.depth)
    return HighestScore(run.sampling, SharedNoise(run.seed, run.pair.target.vocab_size, run.pair.device))


@dataclass
class _RealRounds:
    """The real rounds run for a recording.

    Attributes:
        plain: rounds of the target alone, which wrote the text.
        probed: rounds with every draft length.
        times: the times fitted to these rounds.
        max_new_tokens: maximum length of the text; less than requested if `enough` ended the text.
    """

    plain: list[Round]
    probed: list[Round]
    times: Times
    max_new_tokens: int

    @property
    def token_ids(self) -> list[int]:
        return [token for round_ in self.plain for token in round_.token_ids]


def _play_rounds(
    run: Run, context: Context, enough: Callable[[], bool]
) -> Generator[float, None, _RealRounds]:
    """Let the target write the text without drafts, and interleave rounds with every draft length, so that
    drift affects both equally. Yield the fraction of the recording that is done."""
    options: dict[str, Any] = {
        "max_new_tokens": run.max_new_tokens,
        "seed": run.seed,
        "verification": run.verification,
        "record": False,
    }
    max_new_tokens = run.max_new_tokens
    lanes = [
        decode(run.pair, None, stopper, run.sampling, context=context.copy(), **options)
        for stopper in (Probe(0), Probe(run.depth))
    ]
    plain, probed = [], []
    for plain_round, probe_round in zip_longest(*lanes):
        plain += [plain_round] if plain_round else []
        probed += [probe_round] if probe_round else []
        yield 0.7 * len(plain) / max_new_tokens
        if ended_early := plain_round is not None and enough():
            break
    times = fit_times(plain, probed, run.depth)
    run.pair.earlier_texts.add(run.verification, run.sampling, times=times)
    if ended_early:
        max_new_tokens = len(plain)
        probed = list(_rounds_within(probed, max_new_tokens))
    return _RealRounds(plain, probed, times, max_new_tokens)


class _TextRead(NamedTuple):
    """A text of N tokens, with the target's outputs.

    Attributes:
        token_ids: [N]
        before: [N] the token before each token.
        logits: [N, V] the target's logits for each token.
        features: [N, F] the target's features one position before each of `before`; None for an independent
            drafter.
    """

    token_ids: Tensor
    before: Tensor
    logits: Tensor
    features: Tensor | None


def _read_text(pair: Pair, context: Context, token_ids: list[int]) -> _TextRead:
    """Read the whole text after a prompt again, with logits and features of every position."""
    text = context.unread.new_tensor(token_ids)
    before = torch.cat((context.unread, text[:-1]))
    layers = pair.drafter.feature_layers
    cache = context.target_cache.copy()
    outputs = [pair.target.forward(chunk, cache, "all", layers) for chunk in before.split(PREFILL_CHUNK)]
    logits = torch.cat([output.logits for output in outputs])
    features = None
    if layers:
        features = torch.cat((context.features, *(output.features for output in outputs)))[:-1]
    return _TextRead(text, before, logits, features)


def _assemble(
    run: Run,
    trace: Trace,
    rounds: _RealRounds,
    chains: list[Chain],
    target_p: Tensor,
    target_gap: Tensor | None,
) -> Recording:
    """Return the recording, without its score temperature. The trace describes the request and the machine;
    target_p [N] and target_gap [N] are as in `Recording`."""
    pair = run.pair
    token_ids = rounds.token_ids
    used = {*token_ids, *(token for chain in chains for token in chain.ids)}
    stream = pair.text_stream()
    stream.add(token_ids)
    stream.finish()
    recording = Recording(
        created=trace.created,
        versions=trace.versions,
        device=trace.device,
        dtype=trace.dtype,
        pair=trace.pair,
        prompt=trace.prompt,
        prompt_tokens=trace.prompt_tokens,
        system=trace.system,
        continuation=trace.continuation,
        max_new_tokens=rounds.max_new_tokens,
        seed=trace.seed,
        noise_version=trace.noise_version,
        sampling=trace.sampling,
        verification=trace.verification,
        depth=run.depth,
        score_temperature=None,
        token_ids=token_ids,
        target_p=rounded(target_p),
        target_gap=[] if target_gap is None else rounded(target_gap),
        eos_ids=sorted(pair.eos_ids),
        text=stream.text,
        pieces=stream.pieces,
        token_bytes=pair.token_bytes(used),
        texts={token: pair.token_text(token) for token in sorted(used)},
        chains=chains,
        times=rounds.times,
        expected_acceptance=trace.expected_acceptance,
        plain_s=rounds.plain[-1].end_s,
        recording_s=0.0,
        probed=len(rounds.probed),
    )
    if recording.replays_runs:
        recording.probed_alike = _rounds_alike(recording, rounds.probed, run.depth)
    return recording


def _rounds_alike(recording: Recording, probed: list[Round], depth: int) -> int:
    """Return how many of the probed rounds, counted from the first, a replay reproduces."""
    replayed = replay(recording, Probe(depth)).rounds
    pairs = enumerate(zip(probed, replayed, strict=False))
    different = (number for number, (real, again) in pairs if _outcome(real) != _outcome(again))
    return next(different, len(probed))


def _rounds_within(rounds: list[Round], tokens: int) -> Iterator[Round]:
    """Yield the leading rounds that a text of `tokens` tokens would contain unchanged."""
    written = 0
    for round_ in rounds:
        if written + len(round_.drafted) + 1 > tokens:
            return
        written += len(round_.token_ids)
        yield round_


def _outcome(round_: Round) -> tuple:
    """Return what a round did, without its times."""
    return *(token.id for token in round_.drafted), round_.accepted, round_.stop_reason, *round_.token_ids


def check_record(max_new_tokens: int, depth: int) -> None:
    """Raise UserError if a recording of this length or depth is not possible."""
    if not isinstance(depth, int) or not 1 <= depth <= MAX_DRAFT_LIMIT:
        raise UserError(
            "{} is {!r}; it must be a whole number from 1 to {}.", Parameter("depth"), depth, MAX_DRAFT_LIMIT
        )
    if isinstance(max_new_tokens, int) and max_new_tokens > MAX_TOKENS:
        raise UserError(
            "{} is {}; a recording holds at most {:,}.",
            Parameter("max_new_tokens"),
            max_new_tokens,
            MAX_TOKENS,
        )


class Probe(Stopper):
    """A stopper that cycles through all draft lengths from 1 to `depth`, the extremes first and then the
    lengths in between, so that few rounds suffice to measure the cost of every length. With depth 0 it drafts
    nothing."""

    name = "probe"

    def __init__(self, depth: int):
        super().__init__()
        self.max_draft = self.depth = depth
        self.lengths = cycle(_from_ends(depth) or [1])
        self.length = next(self.lengths)

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.length

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        self.length = next(self.lengths)


def _from_ends(depth: int) -> list[int]:
    """Return the numbers from 1 to `depth`: both ends first, then repeatedly the middle of each gap."""
    order, gaps = sorted({1, depth}) if depth else [], [(1, depth)]
    for low, high in gaps:
        if high - low > 1:
            order.append(middle := (low + high) // 2)
            gaps += [(low, middle), (middle, high)]
    return order
