"""Make a recording: the target writes its text once, and the drafter continues from each of its positions.

A recording costs two to three times what the target alone takes for the text (`Recording.plain_s`,
`Recording.recording_s`), however many settings are replayed from it: positions draft side by side, see
`adaedl.replay.chains`.
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
from adaedl.errors import Sentence, UserError
from adaedl.models.protocol import PREFILL_CHUNK
from adaedl.models.shared_noise import SharedNoise
from adaedl.pairs.pair import Pair
from adaedl.race import new_trace
from adaedl.replay.chains import ChainDrafting, Choice, Coupling, HighestScore, rounded
from adaedl.replay.recording import Chain, Recording
from adaedl.replay.replay import replay
from adaedl.request import Sampling
from adaedl.sampling import score_sampling, warp
from adaedl.stopping import DEEPEST_DEFAULT, MAX_DRAFT_LIMIT, AdaEDL, DraftStep, Stopper
from adaedl.system.machine import out_of_memory_as
from adaedl.times import Times, fit_times
from adaedl.trace import Round, Trace

MAX_TOKENS = 1024  # the target's probabilities at every position are in memory at once


@dataclass(frozen=True)
class Run:
    """What is recorded; see `record`."""

    pair: Pair
    prompt: str
    sampling: Sampling
    verification: str
    max_new_tokens: int
    seed: int
    depth: int


def record(
    pair: Pair,
    prompt: str,
    sampling: Sampling,
    *,
    progress: Callable[[float], None] = lambda share: None,
    **settings,
) -> Recording:
    """Record the target's text after a prompt: the one that an autoregressive lane writes with this seed.

    Args:
        progress: called with the share done, from 0 to 1; may raise to stop.
        settings: `verification` ("shared_noise" or "speculative"), the rule that replays verify by;
            `max_new_tokens` (96), `seed` (0); `depth` (16), the number of drafts from each position:
            stoppers with a `max_draft` up to it can be replayed; `score_temperature` (None), the stopper
            setting of that name: stoppers that score q at another temperature cannot be replayed; `enough`,
            called between rounds: once it returns True, the text ends there.

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
    """Return one recording for each score temperature, all of the same drafts and the same clocks. Arguments
    and errors as in `record`."""
    *_, recordings = _in_parts(pair, prompt, sampling, score_temperatures, **settings)
    return cast(list[Recording], recordings)


def record_in_parts(
    pair: Pair, prompt: str, sampling: Sampling, *, score_temperature: float | None = None, **settings
) -> Generator[float | Recording, None, None]:
    """Record in steps: yield the share done, from 0 to 1, after each step, and the recording at the end.
    Close the generator to stop. Pauses between two steps are on no clock. Arguments and errors as in
    `record`."""
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
    enough: Callable[[], bool] = lambda: False,
) -> Generator[float | list[Recording], None, None]:
    """Like `record_in_parts`, with one recording for each score temperature.

    Raises:
        UserError: a value is invalid, the prompt does not fit, or the device's memory is full.
    """
    seconds, part = 0.0, None
    run = Run(pair, prompt, sampling, verification, max_new_tokens, seed, depth)
    parts = _record(run, score_temperatures, enough)
    too_large = Sentence(
        "{} has too little free memory for this recording; shorten the prompt or request fewer new tokens.",
        pair.device,
    )
    with closing(parts), out_of_memory_as(too_large):
        while not isinstance(part, list):
            began = time.perf_counter()
            part = next(parts)
            seconds += time.perf_counter() - began
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
    # AdaEDL validates them and converts them to floats.
    score_temperatures = [AdaEDL(score_temperature=value).score_temperature for value in score_temperatures]
    trace = new_trace(  # checks every value
        pair,
        run.prompt,
        ["autoregressive"],
        sampling,
        max_new_tokens=run.max_new_tokens,
        seed=run.seed,
        verification=run.verification,
    )
    context = read_prompt(pair, pair.encode(run.prompt), run.max_new_tokens)

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
    yield [replace(recording, score_temperature=value, chains=own) for value, own in scored]


def _choice(run: Run, p: Tensor, text: Tensor) -> Choice:
    """Return how the drafts of a run are chosen; p [N, V] are the target's probabilities along its text
    [N]."""
    if run.sampling.greedy:
        return HighestScore(run.sampling, None)
    if run.verification == "speculative":
        return Coupling(run.seed, p, text, run.depth)
    return HighestScore(run.sampling, SharedNoise(run.seed, run.pair.target.vocab_size, run.pair.device))


@dataclass
class _RealRounds:
    """Rounds of one text that were really played.

    Attributes:
        plain: rounds of the target alone, which wrote the text.
        probed: rounds of every draft length.
        times: what they cost.
        max_new_tokens: the length that the text was allowed, less than was asked for where it was ended.
    """

    plain: list[Round]
    probed: list[Round]
    times: Times
    max_new_tokens: int

    @property
    def token_ids(self) -> list[int]:
        return [token for played in self.plain for token in played.token_ids]


def _play_rounds(
    run: Run, context: Context, enough: Callable[[], bool]
) -> Generator[float, None, _RealRounds]:
    """Let the target write the text alone, and interleave rounds of every draft length, so that drift affects
    both. Yield the share of the recording that is done."""
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
    for alone, probe in zip_longest(*lanes):
        plain += [alone] if alone else []
        probed += [probe] if probe else []
        yield 0.7 * len(plain) / max_new_tokens
        if cut_short := alone is not None and enough():
            break
    times = fit_times(plain, probed, run.depth)
    run.pair.times = times
    if cut_short:
        max_new_tokens = len(plain)
        probed = list(_rounds_within(probed, max_new_tokens))
    return _RealRounds(plain, probed, times, max_new_tokens)


class _TextAsRead(NamedTuple):
    """A text of N tokens as the target reads it.

    Attributes:
        token_ids: [N]
        before: [N] the token before each.
        logits: [N, V] the target's for each.
        features: [N, F] the target's one position before each of `before`; None for an independent drafter.
    """

    token_ids: Tensor
    before: Tensor
    logits: Tensor
    features: Tensor | None


def _read_text(pair: Pair, context: Context, token_ids: list[int]) -> _TextAsRead:
    """Read the whole text after a prompt once more, with logits and features of every position."""
    text = context.unread.new_tensor(token_ids)
    before = torch.cat((context.unread, text[:-1]))
    layers = pair.drafter.feature_layers
    cache = context.target_cache.copy()
    outputs = [pair.target.forward(chunk, cache, "all", layers) for chunk in before.split(PREFILL_CHUNK)]
    logits = torch.cat([output.logits for output in outputs])
    features = None
    if layers:
        features = torch.cat((context.features, *(output.features for output in outputs)))[:-1]
    return _TextAsRead(text, before, logits, features)


def _assemble(
    run: Run,
    trace: Trace,
    rounds: _RealRounds,
    chains: list[Chain],
    target_p: Tensor,
    target_gap: Tensor | None,
) -> Recording:
    """Put a recording together; which score temperature its chains are judged at is not set. What was asked
    for and on which machine is the trace's; target_p [N] and target_gap [N] as in `Recording`."""
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
        plain_s=rounds.plain[-1].end_s,
        recording_s=0.0,
        probed=len(rounds.probed),
    )
    if recording.replays_runs:
        recording.probed_alike = _rounds_alike(recording, rounds.probed, run.depth)
    return recording


def _rounds_alike(recording: Recording, probed: list[Round], depth: int) -> int:
    """Return how many of the probed rounds, from the first, a replay reproduces."""
    again = replay(recording, Probe(depth)).rounds
    pairs = enumerate(zip(probed, again, strict=False))
    different = (number for number, rounds in pairs if len({_outcome(played) for played in rounds}) == 2)
    return next(different, len(probed))


def _rounds_within(rounds: list[Round], tokens: int) -> Iterator[Round]:
    """Yield the leading rounds that a text of `tokens` tokens would contain unchanged."""
    written = 0
    for played in rounds:
        if written + len(played.drafted) + 1 > tokens:
            return
        written += len(played.token_ids)
        yield played


def _outcome(played: Round) -> tuple:
    """Return what a round did, without its times."""
    return *(token.id for token in played.drafted), played.accepted, played.stop_reason, *played.token_ids


def check_record(max_new_tokens: int, depth: int) -> None:
    """Raise UserError if a recording of this length or depth is not possible."""
    if not isinstance(depth, int) or not 1 <= depth <= MAX_DRAFT_LIMIT:
        raise UserError("depth is {!r}; it must be a whole number from 1 to {}.", depth, MAX_DRAFT_LIMIT)
    if isinstance(max_new_tokens, int) and max_new_tokens > MAX_TOKENS:
        raise UserError("max_new_tokens is {}; a recording holds at most {:,}.", max_new_tokens, MAX_TOKENS)


class Probe(Stopper):
    """A stopper that drafts every number of tokens from 1 to `depth` in turn, the extremes first and then the
    numbers between, so that a few rounds show the cost of every length. With a depth of 0 it drafts nothing.
    """

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
    """Return the numbers from 1 to `depth`: both ends, then repeatedly the middle of the remaining gaps."""
    order, gaps = sorted({1, depth}) if depth else [], [(1, depth)]
    for low, high in gaps:
        if high - low > 1:
            order.append(middle := (low + high) // 2)
            gaps += [(low, middle), (middle, high)]
    return order
