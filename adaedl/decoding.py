"""Speculative decoding: draft until the stopper says stop, verify, emit, rewind, observe.

Algorithm 1 of AdaEDL (arXiv 2410.18351) with any stopper in its place, over the two exact
verification rules of `sampling.py`.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

from adaedl.errors import UserError
from adaedl.models.cpu.backends import kernels
from adaedl.models.drafters.base import DraftSession
from adaedl.models.protocol import Cache, prefill
from adaedl.noise import SharedNoise
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling, check_run
from adaedl.sampling import (
    acceptance_probability,
    choose_with_noise,
    draft_statistics,
    draw,
    gumbel_max,
    residual,
    uniform_dtype,
    verify_by_match,
    verify_speculative,
    warp,
    warp_logits,
)
from adaedl.stopping import DraftStep, Stopper, acceptance_lower_bound, check_live
from adaedl.trace import DraftedToken, Emitted, Round, TopToken

log = logging.getLogger(__name__)

TOP_TOKENS = 10
TOP_DIGITS = 6  # significant ones of their probabilities, which make up most of a trace's bytes
_NOT_NUMBERS = "{} gives logits that are not numbers (NaN); choose another pair or another dtype."


@dataclass
class Context:
    """A prompt that both models have read: the caches that every lane of a race starts from a copy of.

    `next_token` [1] is the prompt's last token, which no cache holds yet; `features` [1, F] are the
    target's, one position before it (None for an independent drafter)."""

    target_cache: Cache
    session: DraftSession | None
    next_token: Tensor
    features: Tensor | None
    prompt_tokens: int

    def copy(self) -> "Context":
        session = self.session.copy() if self.session else None
        return Context(self.target_cache.copy(), session, self.next_token, self.features, self.prompt_tokens)


@torch.inference_mode()
def read_prompt(pair: Pair, prompt_ids: Tensor, max_new_tokens: int, draft: bool = True) -> Context:
    """Prefill both models with prompt_ids [T], leaving room for max_new_tokens and the drafts after.

    Raises:
        UserError: the prompt is empty, or prompt and answer do not fit the context.
    """
    if len(prompt_ids) == 0:
        raise UserError("The prompt is empty; type a question or the beginning of a text.")
    if len(prompt_ids) + max_new_tokens > pair.max_context:
        raise UserError(
            "The prompt has {} tokens and {} new ones were asked for, but {} reads at most "
            "{}; shorten one of them.",
            len(prompt_ids),
            max_new_tokens,
            pair.name,
            pair.max_context,
        )
    # A round drafts no further than max_new_tokens, so its last draft is the last thing a cache holds.
    capacity = len(prompt_ids) + max_new_tokens
    layers = pair.drafter.feature_layers if draft else ()
    cache = pair.target.new_cache(capacity)
    before = prompt_ids[:-1]
    seen = prefill(pair.target, before, cache, layers) if len(before) else None
    session, features = None, None
    if draft:
        if layers and seen is None:
            width = len(layers) * pair.target.hidden_size
            seen = torch.zeros(0, width, device=pair.device)
        session = pair.drafter.start(before, seen, capacity)
        if layers:
            features = seen[-1:] if len(before) else seen.new_zeros(1, seen.shape[1])
    return Context(cache, session, prompt_ids[-1:], features, len(prompt_ids))


@torch.inference_mode()
def decode(
    pair: Pair,
    prompt_ids: Tensor | None,
    stopper: Stopper,
    sampling: Sampling,
    *,
    max_new_tokens: int = 96,
    seed: int = 0,
    verification: str = "shared_noise",
    context: Context | None = None,
    record: bool = True,
) -> Iterator[Round]:
    """Write up to max_new_tokens after a prompt, yielding one Round at a time.

    The text is distributed exactly as the target's own, whatever the stopper. Close the generator
    between any two rounds to cancel: its caches are freed.

    Args:
        prompt_ids: [T] on the pair's device; may be None where `context` is given.
        stopper: a fresh one; it keeps state over the rounds.
        max_new_tokens: at least 1; the text ends earlier at an end-of-sequence token.
        seed: same seed, same text (under shared noise: for every stopper).
        verification: "shared_noise" or "speculative".
        context: a prefilled prompt to use up, from `read_prompt`.
        record: keep p, β and the ten most probable tokens too. That is done off the clock.

    Raises:
        UserError: a bad verification or length, a stopper that needs a recording, or a prompt that does not
            fit.
    """
    check_run(max_new_tokens, seed, verification)
    check_live(stopper)
    drafting = stopper.max_draft > 0
    state = context or read_prompt(pair, prompt_ids, max_new_tokens, drafting)
    vocab = None
    layers = pair.drafter.feature_layers if drafting else ()
    scoring = score_sampling(stopper.score_temperature, sampling)
    if sampling.greedy:
        rule = _Match(sampling, None, pair.read_draft, pair.choose)
    elif verification == "shared_noise":
        noise = SharedNoise(seed, pair.target.vocab_size, pair.device)
        rule = _Match(sampling, noise, pair.read_draft, pair.choose)
    else:
        rule = _Speculative(sampling, _Uniforms(seed, pair.device))

    # Tokens that are certain but that the drafter has not read, and the target's features before each.
    new_tokens, features = state.next_token, state.features
    written, clock_s, ended = 0, 0.0, False
    learning_s = 0.0  # that a stopper took to learn from a round's time: the next round is charged for it
    try:
        while written < max_new_tokens and not ended:
            clock = _Clock(pair.device, learning_s)

            # Draft until the stopper says stop.
            drafted: list[_Draft] = []
            dropped = 0
            room = max_new_tokens - written - 1  # the target adds a token of its own
            limit = min(stopper.max_draft, room)
            stop_reason = "max_draft" if stopper.max_draft <= room else "length"
            if not stopper.begin_round() and limit:
                limit, stop_reason = 0, "threshold"
            while len(drafted) < limit:
                with clock.drafting:
                    if drafted:
                        logits = state.session.extend(drafted[-1].token_id)
                    else:
                        logits = state.session.begin(new_tokens, features)
                        vocab = state.session.vocab
                draft = rule.read(logits, vocab, scoring, written, position=len(drafted) + 1)
                if math.isnan(draft.step.entropy):
                    raise UserError(_NOT_NUMBERS, pair.draft_name)
                stop = stopper.should_stop(draft.step)
                draft.score, draft.threshold = stopper.score, stopper.threshold
                if stop and not stopper.keep_last:
                    dropped, stop_reason = 1, "threshold"
                    break
                drafted.append(draft)
                if draft.id in pair.eos_ids:
                    stop_reason = "eos"
                    break
                if stop:
                    stop_reason = "threshold"
                    break

            # Verify all of them in one forward pass of the target.
            ids = torch.cat([new_tokens[-1:], *(draft.token_id for draft in drafted)])
            with clock.verifying:
                output = pair.target.forward(ids, state.target_cache, "all", layers)
            verdict = rule.verify(output.logits, drafted, vocab, written)
            if verdict.undefined:
                raise UserError(_NOT_NUMBERS, pair.target_name)

            # Emit, rewind, observe.
            accepted, emitted_id = verdict.accepted, verdict.emitted_id
            state.target_cache.rewind(state.target_cache.length - len(drafted) + accepted)
            if limit:
                state.session.rewind(accepted)
            certain = verdict.certain
            seen = output.features[: 1 + accepted] if layers else None
            if drafting and not limit:  # the drafter has not read the last ones yet
                certain = torch.cat((new_tokens, certain))
                seen = torch.cat((features, seen)) if layers else None
            new_tokens, features = certain, seen
            stopper.observe(len(drafted), accepted, dropped)
            ended_by_draft = accepted > 0 and drafted[accepted - 1].id in pair.eos_ids
            ended = ended_by_draft or emitted_id in pair.eos_ids
            duration_s = clock.elapsed()
            stopper.observe_times(accepted + (not ended_by_draft), clock.verifying.seconds, duration_s)
            learning_s = clock.elapsed() - duration_s

            played = Round(
                start_s=clock_s,
                duration_s=duration_s,
                draft_s=clock.drafting.seconds,
                verify_s=clock.verifying.seconds,
                accepted=accepted,
                stop_reason=stop_reason,
                drafted=[
                    _describe_draft(pair, draft, stopper.gamma, index, verdict)
                    for index, draft in enumerate(drafted)
                ],
                emitted=None if ended_by_draft else _describe_emitted(pair, len(drafted), verdict),
                dropped=dropped,
            )
            if record:
                _record_probabilities(pair, played, drafted, output.logits, sampling, vocab)
            clock_s += duration_s
            written += len(played.token_ids)
            yield played
    finally:
        del state


class _Stopwatch:
    """Sums the seconds spent under `with`, work queued on the device included."""

    def __init__(self, now: Callable[[], float]):
        self.now = now
        self.seconds = 0.0

    def __enter__(self):
        self.seconds -= self.now()

    def __exit__(self, *_):
        self.seconds += self.now()


class _CudaStopwatch:
    """The same from events in a GPU's own queue: the host goes on to queue what follows a forward while that
    runs. `seconds` may be read once the device has done all that was queued."""

    def __init__(self, device: torch.device):
        self.device = device
        self.events: list[torch.cuda.Event] = []

    def __enter__(self):
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        self.events.append(event)

    def __exit__(self, *_):
        self.__enter__()

    @property
    def seconds(self) -> float:
        began, ended = self.events[::2], self.events[1::2]
        return sum(map(torch.cuda.Event.elapsed_time, began, ended)) / 1000


class _Clock:
    """The clock of one round, and of the two models' forwards in it. `spent_s` is charged to the round before
    it starts."""

    def __init__(self, device: torch.device, spent_s: float = 0.0):
        self.device = device
        on_cuda = device.type == "cuda"
        self.drafting, self.verifying = (
            _CudaStopwatch(device) if on_cuda else _Stopwatch(self.now) for _ in range(2)
        )
        self.began = self.now() - spent_s

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()

    def elapsed(self) -> float:
        return self.now() - self.began


@dataclass
class _Draft:
    """A token in hand during the draft phase. `index`, of one element, counts in q's own vocabulary."""

    id: int
    token_id: Tensor  # [1]
    index: Tensor
    logits: Tensor  # [Vq], before warping
    q: Tensor | None  # [Vq], None where nothing on the clock needs all of it
    q_token: float
    step: DraftStep
    score: float | None = None
    threshold: float | None = None

    @classmethod
    def of(
        cls,
        numbers: Tensor,
        token_id: Tensor,
        index: Tensor,
        logits: Tensor,
        q: Tensor | None,
        position: int,
    ) -> "_Draft":
        """From numbers [6] on the device: the token's id, its statistics, its probability as it is scored,
        and q of it. Reading them is what the host waits for."""
        token, entropy, top_prob, margin, token_prob, q_token = numbers.tolist()
        step = DraftStep(max(entropy, 0.0), top_prob, margin, token_prob, position)
        return cls(int(token), token_id, index, logits, q, q_token, step)


@dataclass
class _Verdict:
    """`undefined` is whether the target's logits hold a NaN; `draws` are the uniform numbers used, `choices`
    the target's own tokens, where there are any."""

    accepted: int
    emitted_id: int
    certain: Tensor  # [accepted + 1], the accepted drafts and the emitted token, on the device
    undefined: bool
    draws: list[float] | None = None
    choices: list[int] | None = None


class _Match:
    """Shared noise, and temperature 0: the target's choice at each position is already fixed."""

    def __init__(
        self,
        sampling: Sampling,
        noise: SharedNoise | None,
        read_draft: Callable | None = None,
        choose: Callable | None = None,
    ):
        self.sampling, self.noise = sampling, noise
        whole = sampling.greedy or (sampling.top_k == 0 and sampling.top_p == 1)
        self.read_draft, self.choose = (read_draft, choose) if whole else (None, None)

    def read(
        self, logits: Tensor, vocab: Tensor | None, scoring: Sampling | None, written: int, position: int
    ) -> _Draft:
        """The token drafted at a position of the round, which begins after `written` tokens."""
        if self.read_draft is None:
            chosen = self.draft(logits, vocab, written + position - 1)
            return _read_draft(logits, chosen, vocab, scoring, position)
        place = self.noise.place(written + position - 1) if self.noise else None
        temperature = self.sampling.temperature
        score_temperature = scoring.temperature if scoring else temperature
        made = self.read_draft(logits, place, vocab, temperature, score_temperature)
        return _Draft.of(made.numbers, made.token_id, made.index, logits, None, position)

    def draft(self, logits: Tensor, vocab: Tensor | None, position: int) -> tuple[Tensor, Tensor]:
        """A token's index [] in q's vocabulary, and q [Vq]."""
        if self.noise is None:
            return logits.argmax(-1), warp(logits, self.sampling)
        noise = self.noise.at(position)[0] if vocab is None else self.noise.of(position, vocab)
        warped = warp_logits(logits, self.sampling)
        return gumbel_max(warped, noise), warped.softmax(-1)

    def verify(self, logits: Tensor, drafted: list[_Draft], vocab: Tensor | None, position: int) -> _Verdict:
        if self.choose:
            place = self.noise.place(position) if self.noise else None
            chosen, undefined = self.choose(logits, place, self.sampling.temperature)
            choices, accepted = chosen.tolist(), 0
            while accepted < len(drafted) and drafted[accepted].id == choices[accepted]:
                accepted += 1
            return _Verdict(accepted, choices[accepted], chosen[: accepted + 1], undefined, choices=choices)
        noise = self.noise.at(position, len(logits)) if self.noise else None
        choices = choose_with_noise(logits, noise, self.sampling)
        drafted_ids = torch.cat([choices[:0], *(draft.token_id for draft in drafted)])
        accepted, emitted = verify_by_match(choices, drafted_ids)
        chosen = logits.gather(-1, choices[:, None])  # argmax takes a NaN for the largest
        undefined = chosen.isnan().any().long()
        numbers = torch.cat((accepted[None], emitted[None], undefined[None], choices)).tolist()
        accepted, emitted_id, undefined, *chosen = numbers
        return _Verdict(accepted, emitted_id, choices[: accepted + 1], bool(undefined), choices=chosen)


class _Speculative:
    """Speculative sampling."""

    def __init__(self, sampling: Sampling, uniforms: "_Uniforms"):
        self.sampling, self.uniforms = sampling, uniforms

    def read(
        self, logits: Tensor, vocab: Tensor | None, scoring: Sampling | None, written: int, position: int
    ) -> _Draft:
        """As `_Match.read`."""
        return _read_draft(logits, self.draft(logits, vocab), vocab, scoring, position)

    def draft(self, logits: Tensor, vocab: Tensor | None) -> tuple[Tensor, Tensor]:
        """A token's index [] in q's vocabulary, and q [Vq]."""
        q = warp(logits, self.sampling)
        return draw(q, self.uniforms.take(1)[1][0]), q

    def verify(self, logits: Tensor, drafted: list[_Draft], vocab: Tensor | None, position: int) -> _Verdict:
        p = warp(logits, self.sampling)
        draws, uniforms = self.uniforms.take(len(drafted) + 1)
        undefined = p[:, 0].isnan().any().long()  # one NaN makes its whole softmax NaN
        if not drafted:
            emitted = draw(p[0], uniforms[0])
            emitted_id, undefined = torch.stack((emitted, undefined)).tolist()
            return _Verdict(0, emitted_id, emitted[None], bool(undefined), draws)
        q = torch.stack([draft.q for draft in drafted])
        indices = torch.stack([draft.index for draft in drafted])
        accepted, emitted = verify_speculative(p, q, indices, uniforms, vocab)
        accepted, emitted_id, undefined = torch.stack((accepted, emitted, undefined)).tolist()
        certain = torch.cat((*(draft.token_id for draft in drafted[:accepted]), emitted[None]))
        return _Verdict(accepted, emitted_id, certain, bool(undefined), draws)


class _Uniforms:
    """Uniform numbers, drawn on the host so that a seed means the same everywhere. Many cross to the device
    at once, since a crossing waits for whatever the device is at. The first ones are drawn in the first round
    that needs them, so that they are on its clock."""

    AT_ONCE = 1024

    def __init__(self, seed: int, device: torch.device):
        self.random = random.Random(seed)
        self.device = device
        self.numbers: list[float] = []
        self.taken = 0

    def take(self, count: int) -> tuple[list[float], Tensor]:
        """The next ones, as numbers and as a tensor [count]; none is 1, not where it is rounded either."""
        if self.taken + count > len(self.numbers):
            del self.numbers[: self.taken]
            self.numbers += [self.random.random() for _ in range(self.AT_ONCE)]
            dtype = uniform_dtype(self.device)
            below_one = 1 - torch.finfo(dtype).eps / 2
            self.on_device = torch.tensor(self.numbers, dtype=dtype).clamp_(max=below_one).to(self.device)
            self.taken = 0
        these = slice(self.taken, self.taken + count)
        self.taken += count
        return self.numbers[these], self.on_device[these]


@torch.inference_mode()
def make_read_draft(device: torch.device) -> Callable | None:
    """`read_draft` of a device's kernels where they run on it and give what `_Match` gives without them, else
    None; the log says why."""
    if device.type == "cpu":
        return kernels().read_draft if kernels() else None
    if device.type != "cuda" or not find_spec("triton"):
        return None
    try:
        from adaedl.models.cuda.triton_draft import AT_ONCE, read_draft

        logits = 3 * torch.randn(2 * AT_ONCE + 5, generator=torch.Generator().manual_seed(0)).to(device)
        vocab = torch.arange(len(logits), device=device).flip(0)
        noise = SharedNoise(0, len(logits), device)
        off = 0.0
        for rule, scoring in (((Sampling(0), None), Sampling(1.0)), ((Sampling(0.7), noise), None)):
            ours, theirs = (
                _Match(*rule, kernel).read(logits, vocab, scoring, 0, 1) for kernel in (read_draft, None)
            )
            pairs = zip(astuple(ours.step), astuple(theirs.step), strict=True)
            off = max(off, abs(ours.q_token - theirs.q_token), *(abs(a - b) for a, b in pairs))
            if ours.id != theirs.id or off > 1e-4:
                raise ValueError(f"token {ours.id} for {theirs.id}, numbers {off:.2g} off")
    except Exception:  # whatever it was, torch can do without
        log.exception("The kernel that reads drafts failed; torch does it.")
        return None
    return read_draft


def make_choose(device: torch.device) -> Callable | None:
    """`choose` of a CPU's kernels, where there are any; else None."""
    return kernels().choose if device.type == "cpu" and kernels() else None


def score_sampling(score_temperature: float | None, sampling: Sampling) -> Sampling | None:
    """How q is warped for a stopper with this score temperature; None for as it is sampled from. Where
    sampling leaves q a single token, all scores of it would be alike, so it is judged at temperature 1."""
    if score_temperature:
        return Sampling(score_temperature)
    return Sampling(1.0) if sampling.greedy or sampling.top_k == 1 else None


def _read_draft(
    logits: Tensor,
    chosen: tuple[Tensor, Tensor],
    vocab: Tensor | None,
    scoring: Sampling | None,
    position: int,
) -> _Draft:
    """A drafted token with its numbers, which cross to the host in one small tensor."""
    index, q = chosen
    scored = warp(logits, scoring) if scoring else q
    statistics = draft_statistics(scored)
    # Not by indexing, for which a GPU's tensor of one number first comes to the host.
    token_id, token_prob, q_token = (
        index.view(1) if values is None else values.gather(-1, index.view(1)) for values in (vocab, scored, q)
    )
    numbers = (
        token_id[0],
        statistics.entropy,
        statistics.top_prob,
        statistics.margin,
        token_prob[0],
        q_token[0],
    )
    return _Draft.of(torch.stack([n.float() for n in numbers]), token_id, index, logits, q, position)


def _describe_draft(pair: Pair, draft: _Draft, gamma: float, index: int, verdict: _Verdict) -> DraftedToken:
    choice = verdict.choices[index] if verdict.choices else None
    return DraftedToken(
        id=draft.id,
        text=pair.token_text(draft.id),
        entropy=draft.step.entropy,
        bound=acceptance_lower_bound(draft.step.entropy, gamma),
        score=draft.score,
        threshold=draft.threshold,
        top_prob=draft.step.top_prob,
        q=draft.q_token,
        p=None,
        beta=None,
        u=verdict.draws[index] if verdict.draws else None,
        accepted=index < verdict.accepted,
        target_id=choice,
        target_text=None if choice is None else pair.token_text(choice),
    )


def _describe_emitted(pair: Pair, drafted: int, verdict: _Verdict) -> Emitted:
    kind = "plain" if drafted == 0 else "bonus" if verdict.accepted == drafted else "correction"
    text = pair.token_text(verdict.emitted_id)
    return Emitted(verdict.emitted_id, text, kind, u=verdict.draws[-1] if verdict.draws else None)


def _record_probabilities(
    pair: Pair,
    played: Round,
    drafted: list[_Draft],
    logits: Tensor,
    sampling: Sampling,
    vocab: Tensor | None,
) -> None:
    """Add p, β and the most probable tokens to a round, for the picture; logits are the target's
    [k + 1, V]. A point says nothing in a picture, so at temperature 0 the models' own softmax is shown."""
    p = warp(logits, sampling)
    qs = [warp(draft.logits, sampling) if draft.q is None else draft.q for draft in drafted]
    shown = Sampling(1.0) if sampling.greedy else sampling
    shown_p = warp(logits, shown) if sampling.greedy else p
    for row, (token, draft, q) in enumerate(zip(played.drafted, drafted, qs, strict=True)):
        token.p = p[row, token.id].item()
        token.beta = acceptance_probability(p[row], q, vocab).item()
        token.top_q = _top_tokens(pair, warp(draft.logits, shown) if sampling.greedy else q, vocab)
        token.top_p = _top_tokens(pair, shown_p[row], None)
    if played.emitted is None:
        return
    row = played.accepted
    played.emitted.p = p[row, played.emitted.id].item()
    played.emitted.top_p = _top_tokens(pair, shown_p[row], None)
    if played.emitted.kind == "correction" and played.emitted.u is not None:
        rest = residual(p[row], qs[row], vocab)
        played.emitted.top_residual = _top_tokens(pair, rest / rest.sum(), None)


def _top_tokens(pair: Pair, probs: Tensor, vocab: Tensor | None) -> list[TopToken]:
    top = probs.topk(min(TOP_TOKENS, probs.shape[-1]))
    ids = top.indices if vocab is None else vocab[top.indices]
    return [
        (i, pair.token_text(i), float(f"{p:.{TOP_DIGITS}g}"))
        for i, p in zip(ids.tolist(), top.values.tolist(), strict=True)
        if p > 0
    ]
