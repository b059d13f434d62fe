"""Losslessness of a loaded pair: each property with its measurement."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from scipy.stats import chisquare
from torch import Tensor
from tqdm import tqdm

from adaedl.decoding import read_prompt
from adaedl.measure.peers import transformers as reference
from adaedl.metrics import BASELINE
from adaedl.models.cpu.packed import same_bits
from adaedl.models.shared_noise import SharedNoise
from adaedl.models.transformers import TransformersRunner
from adaedl.pairs.pair import Pair
from adaedl.racing import new_trace, race
from adaedl.request import MAX_LANES, Sampling
from adaedl.sampling import draw, uniform_dtype, verify_speculative, warp, warp_logits
from adaedl.stopping import LIVE_STOPPERS
from adaedl.text_difference import first_difference, rounding_of
from adaedl.trace import Trace

NOISE_TEMPERATURES = (0.7, 1.0)
RULE_TEMPERATURES = (0.7, 1.0, 1.3)
SMALLEST_P = 1e-4  # a correct rule fails one case in ten thousand
LEAST_EXPECTED = 5  # draws per cell; with fewer, the chi-square distribution is no good approximation
DRAWS_AT_ONCE = 250
NEGLIGIBLE = 1e-5
VERIFIED_AT_ONCE = 5


@dataclass(frozen=True)
class Measurement:
    """A property, whether it holds, and the measured numbers as text."""

    name: str
    passed: bool
    found: str


def check(
    pair: Pair, prompts: list[str], *, max_new_tokens: int = 32, draws: int = 5000, seed: int = 0
) -> Iterator[Measurement]:
    """Measure one property after another.

    Args:
        draws: samples of the first token of a round, for each case of the speculative rule.

    Raises:
        UserError: a value is invalid, or a prompt does not fit.
    """
    # Quantisation to int8 can move numbers far apart that differ only in their last bit, and does so in
    # transformers. Our logits must be bitwise identical in every kind of pass, so a tie is no excuse.
    rounded = pair.dtype == torch.int8
    model = None if rounded else reference.target_model(pair)
    ties = _Ties(pair, model)
    greedy = _races(pair, prompts, Sampling(0), max_new_tokens, seed)
    yield _same_text("every stopper at temperature 0", greedy, ties)
    for temperature in NOISE_TEMPERATURES:
        traces = _races(pair, prompts, Sampling(temperature), max_new_tokens, seed)
        yield _same_text(f"every stopper under shared noise at {temperature:g}", traces, ties)
    if not rounded:
        yield _as_transformers(pair, model, greedy, ties)
    yield _speculative_rule(pair, traces, draws, seed)
    yield _same_bits(pair, greedy) if rounded else _same_logits(pair, model, greedy)


class _Ties:
    """Detects ties: two tokens with scores so close that rounding decides between them. Without a model
    nothing is a tie."""

    def __init__(self, pair: Pair, model=None):
        self.pair, self.model = pair, model

    @torch.inference_mode()
    def explains(self, trace: Trace, position: int) -> bool:
        """Return whether the target's two best choices at a position of the autoregressive text are a
        tie."""
        if self.model is None:
            return False
        sampling = _sampling_of(trace)
        ids = _text_ids(self.pair, trace)[: trace.prompt_tokens + position]
        scores = self.model(ids[None], logits_to_keep=1).logits[0, -1].float()
        if not sampling.greedy:
            noise = SharedNoise(trace.seed, len(scores), self.pair.device)
            scores = warp_logits(scores, sampling) + noise.at(position)[0]
        best, second = scores.topk(2).values.tolist()
        return best - second < self.tolerance(trace)

    def tolerance(self, trace: Trace) -> float:
        """Return the largest difference between two scores of a race that counts as a tie."""
        return rounding_of(self.pair.dtype, _sampling_of(trace))


def races_of_every_stopper() -> list[list[str]]:
    """Divide every stopper among races; return the lanes of each race, the autoregressive lane first."""
    rivals = [name for name in LIVE_STOPPERS if name != BASELINE]
    size = MAX_LANES - 1
    return [[BASELINE, *rivals[first : first + size]] for first in range(0, len(rivals), size)]


def _races(pair: Pair, prompts: list[str], sampling: Sampling, max_new_tokens: int, seed: int) -> list[Trace]:
    """Return one trace for each prompt, with a finished lane of every stopper."""
    return [
        _race_of_every_stopper(pair, prompt, sampling, max_new_tokens, seed)
        for prompt in tqdm(prompts, f"racing at {sampling.temperature:g}", leave=False, file=sys.stderr)
    ]


def _race_of_every_stopper(
    pair: Pair, prompt: str, sampling: Sampling, max_new_tokens: int, seed: int
) -> Trace:
    traces = [
        new_trace(pair, prompt, lanes, sampling, max_new_tokens=max_new_tokens, seed=seed)
        for lanes in races_of_every_stopper()
    ]
    for trace in traces:
        for _ in race(pair, trace, record=False):
            pass
    first, *others = traces
    for trace in others:
        first.lanes += [lane for lane in trace.lanes if lane.stopper != BASELINE]
    return first


def _baseline_ids(trace: Trace) -> list[int]:
    return next(lane.token_ids for lane in trace.lanes if lane.stopper == BASELINE)


def _text_ids(pair: Pair, trace: Trace) -> Tensor:
    """Return the prompt and the autoregressive text [T]."""
    prompt_ids = pair.encode(trace.prompt)
    return torch.cat((prompt_ids, prompt_ids.new_tensor(_baseline_ids(trace))))


def _sampling_of(trace: Trace) -> Sampling:
    return Sampling(trace.sampling.temperature)


def _compare(texts: list[tuple[Trace, list[int]]], ties: _Ties) -> tuple[bool, str]:
    """Compare texts with the autoregressive lane of their trace; return whether all are the same up to ties,
    and the counts in words."""
    same = tied = 0
    for trace, token_ids in texts:
        expected = _baseline_ids(trace)
        if token_ids == expected:
            same += 1
            continue
        position = first_difference(token_ids, expected)
        if position is None:  # one text is the beginning of the other
            position = min(len(token_ids), len(expected))
        tied += ties.explains(trace, position)
    tokens = sum(len(token_ids) for _, token_ids in texts)
    counts = f"{same} of {len(texts)} texts are the same ({tokens} tokens)"
    if tied:
        limit = ties.tolerance(texts[0][0])
        counts += f", {tied} more up to a tie of the two best choices (within {limit:g})"
    return same + tied == len(texts), counts


def _same_text(name: str, traces: list[Trace], ties: _Ties) -> Measurement:
    texts = [(trace, lane.token_ids) for trace in traces for lane in trace.lanes if lane.stopper != BASELINE]
    return Measurement(f"{name} writes the target's own text", *_compare(texts, ties))


def _as_transformers(pair: Pair, model, traces: list[Trace], ties: _Ties) -> Measurement:
    texts = []
    for trace in tqdm(traces, "transformers generates", leave=False, file=sys.stderr):
        token_ids, _ = reference.generate(
            pair, model, pair.encode(trace.prompt), Sampling(0), max_new_tokens=trace.max_new_tokens
        )
        texts.append((trace, token_ids))
    return Measurement("transformers' greedy generate writes the same text", *_compare(texts, ties))


def _speculative_rule(pair: Pair, traces: list[Trace], draws: int, seed: int) -> Measurement:
    """Test that the first token of a round, drawn many times by the speculative rule from a real p and q, has
    distribution p."""
    generator = torch.Generator().manual_seed(seed)
    cases = [(trace, temperature) for trace in traces for temperature in RULE_TEMPERATURES]
    values = []
    for trace, temperature in tqdm(cases, "drawing", leave=False, file=sys.stderr):
        p, q, draft_vocab = without_negligible(*_uncertain_round(pair, trace, Sampling(temperature)))
        tokens = _first_tokens(p, q, draft_vocab, draws, generator)
        values.append(goodness_of_fit(tokens, p))
    numbers = (
        f"the smallest of {len(values)} chi-square p-values is {min(values):.2g}, at least {SMALLEST_P:g} is "
        f"required ({draws:,} draws each)"
    )
    name = "the speculative rule draws from the target's distribution"
    return Measurement(name, min(values) >= SMALLEST_P, numbers)


@torch.inference_mode()
def _uncertain_round(pair: Pair, trace: Trace, sampling: Sampling) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return p [V], q [Vq] and q's vocabulary [Vq] at the position of a text where the target is least
    certain, because rejection and resampling matter most there."""
    ids = _text_ids(pair, trace)
    answer = slice(trace.prompt_tokens - 1, len(ids) - 1)
    cache = pair.target.new_cache(len(ids))
    logits = pair.target.forward(ids, cache).logits
    assert logits is not None
    p = warp(logits[answer], sampling)
    row = int(torch.special.entr(p).sum(-1).argmax())
    context = read_prompt(pair, ids[: trace.prompt_tokens + row], 2)
    q = warp(context.session.begin(context.unread, context.features), sampling)
    return p[row], q, context.session.vocab


def without_negligible(
    p: Tensor, q: Tensor, draft_vocab: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return p [V], q [Vq] and draft_vocab [Vq] restricted to tokens with a probability above `NEGLIGIBLE`
    and normalised again. Many draws from this small part of the vocabulary are quick."""
    if draft_vocab is None:
        kept = p + q > NEGLIGIBLE
        kept_by_draft, vocab = kept, None
    else:
        kept = p.index_add(0, draft_vocab, q) > NEGLIGIBLE
        kept_by_draft = kept[draft_vocab]
        vocab = (kept.cumsum(0) - 1)[draft_vocab[kept_by_draft]]
    p, q = p[kept], q[kept_by_draft]
    return p / p.sum(), q / q.sum(), vocab


@torch.inference_mode()
def _first_tokens(
    p: Tensor, q: Tensor, draft_vocab: Tensor | None, draws: int, generator: torch.Generator
) -> Tensor:
    """Return the first tokens [draws] of many rounds with one draft token each."""
    tokens = []
    for first in range(0, draws, DRAWS_AT_ONCE):
        rounds = min(DRAWS_AT_ONCE, draws - first)
        uniforms = torch.rand(rounds, 3, generator=generator, dtype=torch.float64)
        uniforms = uniforms.to(p.device, uniform_dtype(p.device))
        drafted = draw(q.expand(rounds, -1), uniforms[:, 0])[:, None]
        # The second row of p belongs to the bonus token, which is never the first token of its round.
        accepted, emitted = verify_speculative(
            p.expand(rounds, 2, -1), q.expand(rounds, 1, -1), drafted, uniforms[:, 1:], draft_vocab
        )
        drafted_ids = drafted if draft_vocab is None else draft_vocab[drafted]
        tokens.append(torch.where(accepted > 0, drafted_ids[:, 0], emitted))
    return torch.cat(tokens)


def goodness_of_fit(tokens: Tensor, p: Tensor) -> float:
    """Return the p-value of Pearson's chi-square test that tokens [n] were drawn from p [V]. Tokens with
    fewer than 5 expected draws share one cell."""
    p = p.cpu().double()
    p = p / p.sum()
    observed = torch.bincount(tokens.cpu(), minlength=len(p)).double()
    if (observed[p == 0] > 0).any():
        return 0.0
    expected = len(tokens) * p
    frequent = expected >= LEAST_EXPECTED
    rest = expected[~frequent].sum()
    if rest < LEAST_EXPECTED:  # still too few: merge them with the least frequent token of the others
        frequent[torch.where(frequent, expected, math.inf).argmin()] = False
        rest = expected[~frequent].sum()
    expected = torch.cat((expected[frequent], rest[None]))
    observed = torch.cat((observed[frequent], observed[~frequent].sum()[None]))
    if len(expected) == 1:
        return 1.0
    return float(chisquare(observed.numpy(), expected.numpy()).pvalue)


def _same_bits(pair: Pair, traces: list[Trace]) -> Measurement:
    """Compare the logits of tokens passed one at a time with the logits of several tokens at once."""
    texts = [_text_ids(pair, trace) for trace in traces]
    same = sum(same_bits(pair.target, ids, VERIFIED_AT_ONCE) for ids in texts)
    numbers = f"{same} of {len(texts)} texts, {sum(map(len, texts))} tokens"
    return Measurement(
        f"{pair.target.path} logits are the same bits alone and {VERIFIED_AT_ONCE} at once",
        same == len(texts),
        numbers,
    )


@torch.inference_mode()
def _same_logits(pair: Pair, model, traces: list[Trace]) -> Measurement:
    """Compare the runner's logits, a few tokens at a time as in verification, with one forward of
    transformers, at the positions that choose the tokens of the answer. Logits reach 40 here, and the logits
    of transformers are within 1e-4 of float64, hence the relative part of the limit."""
    limit = 1e-4 if pair.dtype == torch.float32 else 0.5
    largest, is_close = 0.0, True
    for trace in traces:
        ids = _text_ids(pair, trace)
        cache = pair.target.new_cache(len(ids))
        parts = [pair.target.forward(part, cache).logits for part in ids.split(VERIFIED_AT_ONCE)]
        answer = slice(trace.prompt_tokens - 1, None)
        logits, expected = torch.cat(parts)[answer], model(ids[None]).logits[0, answer]
        difference = (logits - expected).abs()
        largest = max(largest, difference.max().item())
        is_close = is_close and bool((difference <= limit + limit / 10 * expected.abs()).all())
    same = " (the same code)" if isinstance(pair.target, TransformersRunner) else ""
    numbers = (
        f"the largest difference is {largest:.1e}, at most {limit:g} + {limit / 10:g}·|logit| is allowed"
    )
    return Measurement(f"{pair.target.path} logits equal transformers'{same}", is_close, numbers)
