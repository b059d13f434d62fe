"""Describe a round for the trace. None of this is on the clock."""

from torch import Tensor

from adaedl.decoding.clock import RoundClock
from adaedl.decoding.verification import Draft, Verdict
from adaedl.draft_phase import DraftPhase
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling
from adaedl.sampling import acceptance_probability, residual, warp
from adaedl.stopping import acceptance_lower_bound
from adaedl.trace import DraftedToken, Emitted, Round, TopToken, emitted_kind

TOP_TOKENS = 10
TOP_DIGITS = 6  # significant digits of their probabilities, which take up most of a trace


def describe_round(
    pair: Pair,
    phase: DraftPhase,
    verdict: Verdict,
    gamma: float,
    clock: RoundClock,
    start_s: float,
    duration_s: float,
) -> Round:
    """Return a round without p, β and the most probable tokens.

    Args:
        gamma: AdaEDL's γ, for the acceptance lower bound of each draft.
        start_s, duration_s: when the round began on the lane's clock and how long it took, in seconds.
    """
    ended_by_draft = phase.ends_text(verdict.accepted)
    return Round(
        start_s=start_s,
        duration_s=duration_s,
        draft_s=clock.drafting.seconds,
        verify_s=clock.verifying.seconds,
        accepted=verdict.accepted,
        stop_reason=phase.stop_reason,
        drafted=[
            _describe_draft(pair, draft, gamma, index, verdict) for index, draft in enumerate(phase.drafts)
        ],
        emitted=None if ended_by_draft else _describe_emitted(pair, len(phase.drafts), verdict),
        dropped=phase.dropped,
        ends_text=ended_by_draft or verdict.emitted_id in pair.eos_ids,
    )


def _describe_draft(pair: Pair, draft: Draft, gamma: float, index: int, verdict: Verdict) -> DraftedToken:
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


def _describe_emitted(pair: Pair, drafted: int, verdict: Verdict) -> Emitted:
    kind = emitted_kind(drafted, verdict.accepted)
    text = pair.token_text(verdict.emitted_id)
    return Emitted(verdict.emitted_id, text, kind, u=verdict.draws[-1] if verdict.draws else None)


def add_probabilities(
    pair: Pair,
    round_: Round,
    drafts: list[Draft],
    logits: Tensor,
    sampling: Sampling,
    vocab: Tensor | None,
) -> None:
    """Add p, β and the most probable tokens to a round, for display. At temperature 0, where distributions
    are one-hot, the most probable tokens are those of the models' softmax at temperature 1.

    Args:
        logits: [k + 1, V] the target's logits.
        vocab: [Vq] the target's ids of q's vocabulary; None if the vocabularies are the same.
    """
    p = warp(logits, sampling)
    qs = [warp(draft.logits, sampling) if draft.q is None else draft.q for draft in drafts]
    shown = Sampling(1.0) if sampling.greedy else sampling
    shown_p = warp(logits, shown) if sampling.greedy else p
    for row, (token, draft, q) in enumerate(zip(round_.drafted, drafts, qs, strict=True)):
        token.p = p[row, token.id].item()
        token.beta = acceptance_probability(p[row], q, vocab).item()
        token.top_q = _top_tokens(pair, warp(draft.logits, shown) if sampling.greedy else q, vocab)
        token.top_p = _top_tokens(pair, shown_p[row], None)
    if round_.emitted is None:
        return
    row = round_.accepted
    round_.emitted.p = p[row, round_.emitted.id].item()
    round_.emitted.top_p = _top_tokens(pair, shown_p[row], None)
    if round_.emitted.kind == "correction" and round_.emitted.u is not None:
        unnormalised = residual(p[row], qs[row], vocab)
        round_.emitted.top_residual = _top_tokens(pair, unnormalised / unnormalised.sum(), None)


def _top_tokens(pair: Pair, probs: Tensor, vocab: Tensor | None) -> list[TopToken]:
    top = probs.topk(min(TOP_TOKENS, probs.shape[-1]))
    ids = top.indices if vocab is None else vocab[top.indices]
    return [
        (i, pair.token_text(i), float(f"{p:.{TOP_DIGITS}g}"))
        for i, p in zip(ids.tolist(), top.values.tolist(), strict=True)
        if p > 0
    ]
