"""Losslessness measured on a loaded pair: each property with the number that was found."""

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
from adaedl.race import new_trace, race
from adaedl.request import MAX_LANES, Sampling
from adaedl.sampling import draw, uniform_dtype, verify_speculative, warp, warp_logits
from adaedl.stopping import LIVE_STOPPERS
from adaedl.text_difference import first_difference, rounding_of
from adaedl.trace import Trace

NOISE_TEMPERATURES = (0.7, 1.0)
RULE_TEMPERATURES = (0.7, 1.0, 1.3)
SMALLEST_P = 1e-4  # a correct rule fails one case in ten thousand
LEAST_EXPECTED = 5  # draws in a cell, for the chi-square distribution to hold
DRAWS_AT_ONCE = 250
NEGLIGIBLE = 1e-5
VERIFIED_AT_ONCE = 5


@dataclass(frozen=True)
class Measurement:
    """A property, whether it held, and the numbers as text."""

    name: str
    passed: bool
    found: str


def check(
    pair: Pair, prompts: list[str], *, max_new_tokens: int = 32, draws: int = 5000, seed: int = 0
) -> Iterator[Measurement]:
    """Measure one property after another.

    Args:
        draws: samples of a round's first token for each case of the speculative rule.

    Raises:
        UserError: a value is invalid, or a prompt does not fit.
    """
    # Quantised to int8, numbers that differ in their last bit can end up far apart, and transformers' do.
    # Ours must be bitwise identical however they are verified, so no tie explains a different text.
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
    """Finds pairs of tokens so close that rounding alone decides between them. Without a model nothing is a
    tie."""

    def __init__(self, pair: Pair, model=None):
        self.pair, self.model = pair, model

    @torch.inference_mode()
    def explains(self, trace: Trace, position: int) -> bool:
        """Return whether the target's two best choices at a position of the autoregressive text are that
        close."""
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
        """Return how close two scores of a trace's race must be to be a tie."""
        return rounding_of(self.pair.dtype, _sampling_of(trace))


def races_of_every_stopper() -> list[list[str]]:
    """Return the lanes of as many races as every stopper needs, the autoregressive lane first in each."""
    rivals = [name for name in LIVE_STOPPERS if name != BASELINE]
    most = MAX_LANES - 1
    return [[BASELINE, *rivals[first : first + most]] for first in range(0, len(rivals), most)]


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
    """Compare texts with the autoregressive lane of their trace; return whether all are the same, and how
    many in words."""
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
    found = f"{same} of {len(texts)} texts the same ({tokens} tokens)"
    if tied:
        found += f", {tied} to where the two best choices are within {ties.tolerance(texts[0][0]):g}"
    return same + tied == len(texts), found


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
    """Test that the first token of a round, drawn many times by the speculative rule from a real p and q, is
    distributed as p."""
    generator = torch.Generator().manual_seed(seed)
    cases = [(trace, temperature) for trace in traces for temperature in RULE_TEMPERATURES]
    values = []
    for trace, temperature in tqdm(cases, "drawing", leave=False, file=sys.stderr):
        p, q, draft_vocab = without_negligible(*_uncertain_round(pair, trace, Sampling(temperature)))
        tokens = _first_tokens(p, q, draft_vocab, draws, generator)
        values.append(goodness_of_fit(tokens, p))
    found = (
        f"smallest of {len(values)} chi-square p-values {min(values):.2g}, at least {SMALLEST_P:g} wanted "
        f"({draws:,} draws each)"
    )
    name = "the speculative rule draws from the target's distribution"
    return Measurement(name, min(values) >= SMALLEST_P, found)


@torch.inference_mode()
def _uncertain_round(pair: Pair, trace: Trace, sampling: Sampling) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return p [V], q [Vq] and q's vocabulary [Vq] at the position of a text where the target is least
    certain: there rejection and resampling have most to do."""
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
    """Return p [V], q [Vq] and draft_vocab [Vq] restricted to the tokens that p or q give more than one in a
    hundred thousand, and normalised again: a fraction of the vocabulary, so that many draws are quick."""
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
    """Return the first token [draws] of each of many rounds of one draft."""
    tokens = []
    for first in range(0, draws, DRAWS_AT_ONCE):
        rounds = min(DRAWS_AT_ONCE, draws - first)
        uniforms = torch.rand(rounds, 3, generator=generator, dtype=torch.float64)
        uniforms = uniforms.to(p.device, uniform_dtype(p.device))
        drafted = draw(q.expand(rounds, -1), uniforms[:, 0])[:, None]
        # The second row would be the bonus token's, which is not the first of its round.
        accepted, emitted = verify_speculative(
            p.expand(rounds, 2, -1), q.expand(rounds, 1, -1), drafted, uniforms[:, 1:], draft_vocab
        )
        drafted_ids = drafted if draft_vocab is None else draft_vocab[drafted]
        tokens.append(torch.where(accepted > 0, drafted_ids[:, 0], emitted))
    return torch.cat(tokens)


def goodness_of_fit(tokens: Tensor, p: Tensor) -> float:
    """Return the p-value of Pearson's chi-square test that tokens [n] were drawn from p [V]; tokens that are
    expected less than 5 times are counted as one."""
    p = p.cpu().double()
    p = p / p.sum()
    observed = torch.bincount(tokens.cpu(), minlength=len(p)).double()
    if (observed[p == 0] > 0).any():
        return 0.0
    expected = len(tokens) * p
    frequent = expected >= LEAST_EXPECTED
    rest = expected[~frequent].sum()
    if rest < LEAST_EXPECTED:  # too few even together: merge them with the least frequent of the others
        frequent[torch.where(frequent, expected, math.inf).argmin()] = False
        rest = expected[~frequent].sum()
    expected = torch.cat((expected[frequent], rest[None]))
    observed = torch.cat((observed[frequent], observed[~frequent].sum()[None]))
    if len(expected) == 1:
        return 1.0
    return float(chisquare(observed.numpy(), expected.numpy()).pvalue)


def _same_bits(pair: Pair, traces: list[Trace]) -> Measurement:
    """Compare the logits of one token at a time with the logits of several at once."""
    texts = [_text_ids(pair, trace) for trace in traces]
    same = sum(same_bits(pair.target, ids, VERIFIED_AT_ONCE) for ids in texts)
    found = f"{same} of {len(texts)} texts, {sum(map(len, texts))} tokens"
    return Measurement(
        f"{pair.target.path} logits are the same bits alone and {VERIFIED_AT_ONCE} at once",
        same == len(texts),
        found,
    )


@torch.inference_mode()
def _same_logits(pair: Pair, model, traces: list[Trace]) -> Measurement:
    """Compare the runner's logits, a few tokens at a time as in verification, with one forward of
    transformers, at the positions that choose the answer's tokens. Logits reach 40 here and transformers' own
    are within 1e-4 of float64's, hence the relative part of the limit."""
    limit = 1e-4 if pair.dtype == torch.float32 else 0.5
    furthest, within = 0.0, True
    for trace in traces:
        ids = _text_ids(pair, trace)
        cache = pair.target.new_cache(len(ids))
        parts = [pair.target.forward(part, cache).logits for part in ids.split(VERIFIED_AT_ONCE)]
        answer = slice(trace.prompt_tokens - 1, None)
        ours, theirs = torch.cat(parts)[answer], model(ids[None]).logits[0, answer]
        difference = (ours - theirs).abs()
        furthest = max(furthest, difference.max().item())
        within = within and bool((difference <= limit + limit / 10 * theirs.abs()).all())
    same = " (the same code)" if isinstance(pair.target, TransformersRunner) else ""
    found = f"largest difference {furthest:.1e}, at most {limit:g} + {limit / 10:g}·|logit| wanted"
    return Measurement(f"{pair.target.path} logits equal transformers'{same}", within, found)
