"""The two exact verification rules over `adaedl.sampling`: how the drafter's tokens are chosen, and how the
target judges them.

Under both the text is distributed as the target's own. Temperature 0 is argmax under both.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from adaedl.models.shared_noise import SharedNoise
from adaedl.models.token_choice import draft_numbers, read_draft
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling
from adaedl.sampling import (
    DraftNumbers,
    choose_with_noise,
    draw,
    score_sampling,
    uniform_dtype,
    verify_by_match,
    verify_speculative,
    warp,
)
from adaedl.stopping import DraftStep


@dataclass
class Draft:
    """A drafted token in hand.

    Attributes:
        id, token_id: the target's id, on the host and on the device [1].
        index: [1] its place in q's own vocabulary.
        logits: [Vq] the drafter's, before warping.
        q: [Vq]; None where nothing on the clock needs all of it.
        q_token: q's probability of the token.
        step: what the stopper sees.
        score, threshold: what the stopper compared.
    """

    id: int
    token_id: Tensor
    index: Tensor
    logits: Tensor
    q: Tensor | None
    q_token: float
    step: DraftStep
    score: float | None = None
    threshold: float | None = None

    @classmethod
    def of(cls, made: DraftNumbers, logits: Tensor, q: Tensor | None, position: int) -> "Draft":
        """Bring a draft's numbers to the host, which waits for the device here; `position` counts from 1 in
        the round."""
        token, entropy, top_prob, margin, token_prob, q_token = made.numbers.tolist()
        step = DraftStep(max(entropy, 0.0), top_prob, margin, token_prob, position)
        return cls(int(token), made.token_id, made.index, logits, q, q_token, step)


@dataclass
class Verdict:
    """What the target made of a round's drafts.

    Attributes:
        accepted: how many of them it accepted, from the first.
        emitted_id: the token that the target adds itself.
        certain: [accepted + 1] the accepted drafts and the emitted token, on the device.
        undefined: whether the target's logits hold a NaN.
        draws: [k + 1] the uniform numbers used, None where nothing was drawn.
        choices: [k + 1] the target's own tokens, None where the rule fixes none.
    """

    accepted: int
    emitted_id: int
    certain: Tensor
    undefined: bool
    draws: list[float] | None = None
    choices: list[int] | None = None


class Rule(Protocol):
    """A verification rule. `vocab` [Vq] are the target's ids of q's vocabulary, None where they are the same;
    `written` counts the tokens of the text before the round."""

    def read(self, logits: Tensor, vocab: Tensor | None, written: int, position: int) -> Draft:
        """Choose a token from the drafter's logits [Vq], the `position`-th of the round, counted from 1."""

    def verify(self, logits: Tensor, drafts: list[Draft], vocab: Tensor | None, written: int) -> Verdict:
        """Judge k drafts by the target's logits [k + 1, V]."""


def make_rule(
    pair: Pair, sampling: Sampling, verification: str, seed: int, score_temperature: float | None
) -> Rule:
    """Return the rule that a run decodes with; `score_temperature` is its stopper's."""
    scoring = score_sampling(score_temperature, sampling)
    if sampling.greedy:
        return MatchRule(sampling, scoring, None, pair.read_draft, pair.choose)
    if verification == "speculative":
        return SpeculativeRule(sampling, scoring, Uniforms(seed, pair.device))
    noise = SharedNoise(seed, pair.target.vocab_size, pair.device)
    return MatchRule(sampling, scoring, noise, pair.read_draft, pair.choose)


class MatchRule:
    """Shared noise, and temperature 0: the target's choice at each position is already fixed.

    Args:
        scoring: how q is warped for the stopper; None for as it is sampled from.
        noise: None at temperature 0.
        read_draft, choose: the device's kernels, see `adaedl.models.token_choice`; they serve sampling
            without top-k and top-p.
    """

    def __init__(
        self,
        sampling: Sampling,
        scoring: Sampling | None,
        noise: SharedNoise | None,
        read_draft: Callable | None = None,
        choose: Callable | None = None,
    ):
        self.sampling, self.scoring, self.noise = sampling, scoring, noise
        self.score_temperature = scoring.temperature if scoring else sampling.temperature
        untruncated = sampling.greedy or (sampling.top_k == 0 and sampling.top_p == 1)
        self.read_draft, self.choose = (read_draft, choose) if untruncated else (None, None)

    def read(self, logits: Tensor, vocab: Tensor | None, written: int, position: int) -> Draft:
        place = written + position - 1
        if self.read_draft is None:
            made, q = read_draft(logits, vocab, self.noise, place, self.sampling, self.scoring)
            return Draft.of(made, logits, q, position)
        at = self.noise.place(place) if self.noise else None
        made = self.read_draft(logits, at, vocab, self.sampling.temperature, self.score_temperature)
        return Draft.of(made, logits, None, position)

    def verify(self, logits: Tensor, drafts: list[Draft], vocab: Tensor | None, written: int) -> Verdict:
        if self.choose:
            return self._verify_with_kernel(logits, drafts, written)
        noise = self.noise.at(written, len(logits)) if self.noise else None
        choices = choose_with_noise(logits, noise, self.sampling)
        drafted_ids = torch.cat([choices[:0], *(draft.token_id for draft in drafts)])
        accepted, emitted = verify_by_match(choices, drafted_ids)
        chosen = logits.gather(-1, choices[:, None])  # argmax takes a NaN for the largest
        undefined = chosen.isnan().any().long()
        numbers = torch.cat((accepted[None], emitted[None], undefined[None], choices)).tolist()
        accepted, emitted_id, undefined, *chosen = numbers
        return Verdict(accepted, emitted_id, choices[: accepted + 1], bool(undefined), choices=chosen)

    def _verify_with_kernel(self, logits: Tensor, drafts: list[Draft], written: int) -> Verdict:
        place = self.noise.place(written) if self.noise else None
        chosen, undefined = self.choose(logits, place, self.sampling.temperature)
        choices, accepted = chosen.tolist(), 0
        while accepted < len(drafts) and drafts[accepted].id == choices[accepted]:
            accepted += 1
        return Verdict(accepted, choices[accepted], chosen[: accepted + 1], undefined, choices=choices)


class SpeculativeRule:
    """Speculative sampling. `scoring` as in `MatchRule`."""

    def __init__(self, sampling: Sampling, scoring: Sampling | None, uniforms: "Uniforms"):
        self.sampling, self.scoring, self.uniforms = sampling, scoring, uniforms

    def read(self, logits: Tensor, vocab: Tensor | None, written: int, position: int) -> Draft:
        q = warp(logits, self.sampling)
        index = draw(q, self.uniforms.take(1)[1][0])
        return Draft.of(draft_numbers(logits, index, q, vocab, self.scoring), logits, q, position)

    def verify(self, logits: Tensor, drafts: list[Draft], vocab: Tensor | None, written: int) -> Verdict:
        p = warp(logits, self.sampling)
        draws, uniforms = self.uniforms.take(len(drafts) + 1)
        undefined = p[:, 0].isnan().any().long()  # one NaN makes its whole softmax NaN
        if not drafts:
            emitted = draw(p[0], uniforms[0])
            emitted_id, undefined = torch.stack((emitted, undefined)).tolist()
            return Verdict(0, emitted_id, emitted[None], bool(undefined), draws)
        q = torch.stack([draft.q for draft in drafts])
        indices = torch.cat([draft.index for draft in drafts])
        accepted, emitted = verify_speculative(p, q, indices, uniforms, vocab)
        accepted, emitted_id, undefined = torch.stack((accepted, emitted, undefined)).tolist()
        certain = torch.cat((*(draft.token_id for draft in drafts[:accepted]), emitted[None]))
        return Verdict(accepted, emitted_id, certain, bool(undefined), draws)


class Uniforms:
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
        """Return the next `count` numbers, on the host and on the device [count]; none is 1, not where it is
        rounded either."""
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
