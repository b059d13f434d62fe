"""The rounds of a call: draft until the stopper says stop, verify, emit, rewind, observe.

The same loop as `adaedl.decoding.loop`, with transformers' models, caches, logits processors, criteria and
streamers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from adaedl.decoding.clock import RoundClock
from adaedl.decoding.verification import Draft, MatchRule, Rule, SpeculativeRule, Uniforms
from adaedl.draft_phase import draft_until_stop
from adaedl.errors import UserError
from adaedl.generation.output import GenerationRound
from adaedl.generation.processing import fit_vocabulary, processed
from adaedl.generation.reader import Reader
from adaedl.request import Sampling
from adaedl.sampling import score_sampling
from adaedl.stopping import Stopper

UNDEFINED = "The {} gives logits that are not numbers (NaN); load it in another dtype, such as float32."


@dataclass
class Call:
    """The request of a call, as transformers prepared it."""

    processors: LogitsProcessorList
    criteria: StoppingCriteriaList
    config: GenerationConfig
    streamer: BaseStreamer | None = None

    @property
    def max_length(self) -> int:
        """Maximum number of tokens, prompt included."""
        lengths = (self.config.max_length, self.criteria.max_length)
        return min(length for length in lengths if length is not None)

    @property
    def eos_ids(self) -> set[int]:
        """The tokens that end the text."""
        criteria = (getattr(criterion, "eos_token_id", None) for criterion in self.criteria)
        return {token for tokens in criteria if tokens is not None for token in tokens.tolist()}

    def keeps(self, what: str) -> bool:
        """Return whether the output includes `what`, "scores" or "logits"."""
        return bool(self.config.return_dict_in_generate and getattr(self.config, f"output_{what}"))


@dataclass
class Text:
    """The text so far, prompt included. Each token goes to the streamer and the stopping criteria one by one,
    as in transformers' own decoding.

    Attributes:
        ids: [1, T].
        scores, logits: the target's processed and raw logits [1, V] of each new token; None if the call does
            not ask for them.
        ended: whether a criterion ended the text.
    """

    call: Call
    ids: Tensor
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    ended: bool = False
    rounds: list[GenerationRound] = field(default_factory=list)

    def __post_init__(self):
        self.scores = () if self.call.keeps("scores") else None
        self.logits = () if self.call.keeps("logits") else None

    def __len__(self) -> int:
        return self.ids.shape[1]

    def extend(self, tokens: Tensor, scores: Tensor, logits: Tensor) -> int:
        """Append tokens [n] until one ends the text; return the number of appended tokens.

        Args:
            scores, logits: [n or more, V] the target's processed and raw logits for each token.
        """
        for count, token in enumerate(tokens.split(1)):
            self.ids = torch.cat((self.ids, token[None]), dim=1)
            if self.scores is not None:
                self.scores += (scores[count][None],)
            if self.logits is not None:
                self.logits += (logits[count][None],)
            if self.call.streamer is not None:
                self.call.streamer.put(token.cpu())
            self.ended = bool(self.call.criteria(self.ids, self.scores).all())
            if self.ended:
                return count + 1
        return len(tokens)


def make_rule(config: GenerationConfig, stopper: Stopper, device: torch.device) -> Rule:
    """Return the verification rule over processed logits: argmax, or speculative sampling with torch's own
    random numbers, which `torch.manual_seed` fixes."""
    if not config.do_sample:
        greedy = Sampling(0.0)
        return MatchRule(greedy, score_sampling(stopper.score_temperature, greedy), None)
    top_k = 1 if config.top_k == 1 else 0
    scoring = score_sampling(stopper.score_temperature, Sampling(1.0, top_k))
    seed = int(torch.randint(2**62, ()))
    return SpeculativeRule(Sampling(1.0), scoring, Uniforms(seed, device))


def write(call: Call, ids: Tensor, target: Reader, draft: Reader | None, stopper: Stopper) -> Text:
    """Continue a prompt ids [1, T] until a criterion ends the text.

    Args:
        draft: None if the stopper drafts nothing.

    Raises:
        UserError: a model returns NaN.
    """
    text = Text(call, ids)
    rule = make_rule(call.config, stopper, ids.device)
    max_length, eos_ids = call.max_length, call.eos_ids
    context = min(target.context, draft.context) if draft else 0
    readers = [target, draft] if draft else [target]
    # Without chunks each model reads the prompt in its first forward pass, which saves a pass for each model.
    if chunk := call.config.prefill_chunk_size:
        target.prefill(ids[:, target.length : -1], chunk)
        if draft and len(text) < min(max_length - 1, context):
            draft.prefill(ids[:, :-1], chunk)
    target.record_past(True)
    learning_s = 0.0  # how long the stopper took to observe the last round's times; part of the next round

    def next_draft(drafts: list[Draft]) -> Draft:
        assert draft is not None  # the stopper drafts
        prefix = torch.cat((text.ids, *(draft_in_hand.token_id[None] for draft_in_hand in drafts)), dim=1)
        with clock.drafting:
            logits = draft.read(prefix[:, draft.length :])
        logits = fit_vocabulary(logits, target.vocabulary)
        drawn_from = processed(call.processors, prefix, logits)
        next_one = rule.read(drawn_from[0], None, len(text), len(drafts) + 1, scored=logits[0])
        if math.isnan(next_one.step.entropy):
            raise UserError(UNDEFINED, "assistant model")
        return next_one

    while not text.ended:
        clock = RoundClock(target.home, learning_s)
        reads_prompt = any(reader.length == 0 for reader in readers)
        length = len(text)

        # Draft until the stopper says stop, leaving room for the token that the target adds.
        remaining = max(0, min(max_length - 1, context) - length)
        phase = draft_until_stop(stopper, remaining, eos_ids, next_draft)

        # Verify all drafts in one forward pass of the target.
        drafts = phase.drafts
        prefix = torch.cat((text.ids, *(draft.token_id[None] for draft in drafts)), dim=1)
        with clock.verifying:
            logits = target.read(prefix[:, target.length :], len(drafts) + 1)
        scores = processed(call.processors, prefix, logits)
        verdict = rule.verify(scores, drafts, None, length)
        if verdict.undefined:
            raise UserError(UNDEFINED, "model")

        # Emit the accepted drafts and the target's own token, up to the one that ends the text.
        tokens = text.extend(verdict.certain, scores, logits)
        accepted = min(verdict.accepted, tokens)

        # Rewind both caches to all tokens but the last, which the next round reads first.
        target.rewind(len(text) - 1)
        if draft:
            draft.rewind(min(draft.length, len(text) - 1))

        # Let the stopper observe the round.
        stopper.observe(len(drafts), verdict.accepted, phase.dropped)
        duration_s = clock.elapsed()
        if not reads_prompt:
            stopper.observe_times(tokens, clock.verifying.seconds, duration_s)
        learning_s = clock.elapsed() - duration_s
        times = (clock.drafting.seconds, clock.verifying.seconds, duration_s)
        text.rounds.append(GenerationRound.of(phase, accepted, tokens, stopper.gamma, *times))

    target.record_past(False)
    return text
