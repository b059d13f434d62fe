"""Speculative decoding: draft until the stopper says stop, verify, emit, rewind, observe.

Algorithm 1 of AdaEDL (arXiv 2410.18351), with any stopper in place of its stopping rule.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from adaedl.acceptance import DraftCount
from adaedl.decoding.clock import RoundClock
from adaedl.decoding.context import Context, read_prompt
from adaedl.decoding.describe import add_probabilities, describe_round
from adaedl.decoding.rule_choice import make_rule
from adaedl.decoding.verification import Draft
from adaedl.draft_phase import draft_until_stop
from adaedl.errors import UserError
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling, check_run
from adaedl.stopping import Stopper, check_live, checked
from adaedl.times import Times
from adaedl.trace import Round

NOT_NUMBERS = "{} produces logits that are not numbers (NaN); choose another pair or dtype."


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
    expected_times: Times | None = None,
    expected_acceptance: Sequence[DraftCount] = (),
    context: Context | None = None,
    record: bool = True,
) -> Iterator[Round]:
    """Write up to max_new_tokens after a prompt, yielding one Round at a time.

    The text is distributed exactly as the target's own, whatever the stopper. To cancel, close the generator
    between two rounds; this frees its caches.

    Args:
        prompt_ids: [T] on the pair's device; may be None if there is a `context`.
        stopper: a fresh stopper, since it keeps state from round to round.
        max_new_tokens: at least 1; the text ends earlier at an end-of-sequence token.
        seed: under shared noise and at temperature 0 it fixes the text, whatever the stopper. Under
            speculative sampling it fixes the text of each stopper that does not look at times.
        verification: "shared_noise" or "speculative".
        expected_times: times of rounds in earlier texts, see `pair.earlier_texts`.
        expected_acceptance: how often drafts were accepted in earlier texts, see `pair.earlier_texts`.
        context: a prefilled prompt from `read_prompt`, which this run uses up.
        record: whether to add p, β and the ten most probable tokens, which is not on the clock.

    Raises:
        UserError: the verification rule or the length is invalid, the stopper needs a recording, or the
            prompt does not fit.
        StopperFault: an external stopper fails (`adaedl.stopping.fault_checks`).
    """
    check_run(max_new_tokens, seed, verification)
    check_live(stopper)
    stopper = checked(stopper)
    stopper.expect(expected_times)
    stopper.expect_acceptance(expected_acceptance)
    drafting = stopper.max_draft > 0
    context = context or read_prompt(pair, prompt_ids, max_new_tokens, drafting)
    context = context if drafting else context.without_drafter()
    layers = pair.drafter.feature_layers if drafting else ()
    rule = make_rule(pair, sampling, verification, seed, stopper.score_temperature)
    written, clock_s, ended = 0, 0.0, False
    learning_s = 0.0  # time that the stopper took to learn from a round's times, charged to the next round

    def next_draft(drafts: list[Draft]) -> Draft:
        with clock.drafting:
            if drafts:
                logits = context.session.extend(drafts[-1].token_id)
            else:
                logits = context.session.begin(context.unread, context.features)
        draft = rule.read(logits, context.vocab, written, position=len(drafts) + 1)
        if math.isnan(draft.step.entropy):
            raise UserError(NOT_NUMBERS, pair.draft_name)
        return draft

    try:
        while written < max_new_tokens and not ended:
            clock = RoundClock(pair.device, learning_s)

            # Draft until the stopper says stop; the target adds one token after the drafts.
            phase = draft_until_stop(stopper, max_new_tokens - written - 1, pair.eos_ids, next_draft)
            drafts = phase.drafts

            # Verify all drafts in one forward pass of the target.
            ids = torch.cat([context.unread[-1:], *(draft.token_id for draft in drafts)])
            with clock.verifying:
                output = pair.target.forward(ids, context.target_cache, "all", layers)
            verdict = rule.verify(output.logits, drafts, context.vocab, written)
            if verdict.undefined:
                raise UserError(NOT_NUMBERS, pair.target_name)

            # Emit the accepted drafts, and the target's own token unless a draft ends the text.
            ended_by_draft = phase.ends_text(verdict.accepted)
            ended = ended_by_draft or verdict.emitted_id in pair.eos_ids
            tokens = verdict.accepted + (not ended_by_draft)

            # Rewind both caches to the tokens that are certain now.
            context.rewind(phase, verdict, output.features)

            # Let the stopper observe the round.
            stopper.observe(len(drafts), verdict.accepted, phase.dropped)
            duration_s = clock.elapsed()
            stopper.observe_times(tokens, clock.verifying.seconds, duration_s)
            learning_s = clock.elapsed() - duration_s

            round_ = describe_round(pair, phase, verdict, stopper.gamma, clock, clock_s, duration_s)
            if record:
                add_probabilities(pair, round_, drafts, output.logits, sampling, context.vocab)
            clock_s, written = clock_s + duration_s, written + tokens
            yield round_
    finally:
        context = None  # otherwise the traceback of an error would keep the caches alive
