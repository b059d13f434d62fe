"""The two exact verification rules, built on `adaedl.sampling`: how the drafter's tokens are chosen, and how
the target judges them.

Under both rules the text is distributed as the target's own, and temperature 0 is argmax.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from adaedl.models.draft_reading import draft_numbers, read_draft
from adaedl.request import Sampling
from adaedl.sampling import (
    DraftNumbers,
    choose_with_noise,
    draw,
    uniform_dtype,
    verify_by_match,
    verify_speculative,
    warp,
)
from adaedl.stopping import DraftStep

if TYPE_CHECKING:
    from adaedl.models.shared_noise import SharedNoise


@dataclass
class Draft:
    """A drafted token before verification.

    Attributes:
        id, token_id: the target's id, on the host and on the device [1].
        index: [1] its index in q's own vocabulary.
        logits: [Vq] the drafter's logits, before warping.
        q: [Vq]; None if nothing on the clock needs the whole distribution.
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
    def of(cls, drawn: DraftNumbers, logits: Tensor, q: Tensor | None, position: int) -> Draft:
        """Copy a draft's numbers to the host, which waits for the device here; `position` counts from 1 in
        the round."""
        token, entropy, top_prob, margin, token_prob, q_token = drawn.numbers.tolist()
        step = DraftStep(max(entropy, 0.0), top_prob, margin, token_prob, position)
        return cls(int(token), drawn.token_id, drawn.index, logits, q, q_token, step)


@dataclass
class Verdict:
    """The result of verifying a round's drafts.

    Attributes:
        accepted: number of accepted drafts, counted from the first draft.
        emitted_id: the token that the target adds itself.
        certain: [accepted + 1] the accepted drafts and the emitted token, on the device.
        undefined: whether the target's logits contain a NaN.
        draws: [k + 1] the uniform numbers used; None if nothing was drawn.
        choices: [k + 1] the target's own tokens; None if the rule does not fix them.
    """

    accepted: int
    emitted_id: int
    certain: Tensor
    undefined: bool
    draws: list[float] | None = None
    choices: list[int] | None = None


class Rule(Protocol):
    """A verification rule. `vocab` [Vq] holds the target's ids of q's vocabulary, or is None if the
    vocabularies are the same; `written` is the number of tokens in the text before the round."""

    def read(
        self,
        logits: Tensor,
        vocab: Tensor | None,
        written: int,
        position: int,
        scored: Tensor | None = None,
    ) -> Draft:
        """Choose the round's `position`-th token, counted from 1, from the drafter's logits [Vq]. `scored`
        [Vq] are the logits that the stopper judges, if they are not the ones that the token is drawn from."""

    def verify(self, logits: Tensor, drafts: list[Draft], vocab: Tensor | None, written: int) -> Verdict:
        """Judge k drafts by the target's logits [k + 1, V]."""


class MatchRule:
    """Shared noise, and temperature 0: a draft is accepted if it is the target's choice at its position.

    Args:
        scoring: how q is warped for the stopper; None to use q as it is sampled.
        noise: None at temperature 0.
        read_draft, choose: the device's kernels, see `adaedl.models.token_choice`, for sampling without top-k
            and top-p.
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

    def read(
        self,
        logits: Tensor,
        vocab: Tensor | None,
        written: int,
        position: int,
        scored: Tensor | None = None,
    ) -> Draft:
        text_position = written + position - 1
        if self.read_draft is None:
            drawn, q = read_draft(
                logits, vocab, self.noise, text_position, self.sampling, self.scoring, scored
            )
            return Draft.of(drawn, logits, q, position)
        place = self.noise.place(text_position) if self.noise else None
        drawn = self.read_draft(logits, place, vocab, self.sampling.temperature, self.score_temperature)
        return Draft.of(drawn, logits, None, position)

    def verify(self, logits: Tensor, drafts: list[Draft], vocab: Tensor | None, written: int) -> Verdict:
        if self.choose:
            return self._verify_with_kernel(logits, drafts, written)
        noise = self.noise.at(written, len(logits)) if self.noise else None
        choices = choose_with_noise(logits, noise, self.sampling)
        drafted_ids = torch.cat([choices[:0], *(draft.token_id for draft in drafts)])
        accepted, emitted = verify_by_match(choices, drafted_ids)
        chosen_logits = logits.gather(-1, choices[:, None])  # argmax chooses a NaN if there is one
        undefined = chosen_logits.isnan().any().long()
        numbers = torch.cat((accepted[None], emitted[None], undefined[None], choices)).tolist()
        accepted, emitted_id, undefined, *chosen_ids = numbers
        return Verdict(accepted, emitted_id, choices[: accepted + 1], bool(undefined), choices=chosen_ids)

    def _verify_with_kernel(self, logits: Tensor, drafts: list[Draft], written: int) -> Verdict:
        place = self.noise.place(written) if self.noise else None
        chosen, undefined = self.choose(logits, place, self.sampling.temperature)
        choices, accepted = chosen.tolist(), 0
        while accepted < len(drafts) and drafts[accepted].id == choices[accepted]:
            accepted += 1
        return Verdict(accepted, choices[accepted], chosen[: accepted + 1], undefined, choices=choices)


class SpeculativeRule:
    """Speculative sampling; `scoring` as in `MatchRule`."""

    def __init__(self, sampling: Sampling, scoring: Sampling | None, uniforms: Uniforms):
        self.sampling, self.scoring, self.uniforms = sampling, scoring, uniforms

    def read(
        self,
        logits: Tensor,
        vocab: Tensor | None,
        written: int,
        position: int,
        scored: Tensor | None = None,
    ) -> Draft:
        q = warp(logits, self.sampling)
        index = draw(q, self.uniforms.take(1)[1][0])
        judged = logits if scored is None else scored
        return Draft.of(draft_numbers(judged, index, q, vocab, self.scoring), logits, q, position)

    def verify(self, logits: Tensor, drafts: list[Draft], vocab: Tensor | None, written: int) -> Verdict:
        p = warp(logits, self.sampling)
        draws, uniforms = self.uniforms.take(len(drafts) + 1)
        undefined = p[:, 0].isnan().any().long()  # one NaN makes the whole softmax NaN
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
    """Uniform numbers, drawn on the host so that a seed means the same on every device. They are copied to
    the device in blocks, since each copy waits for the device's queued work. The first block is drawn in the
    first round that needs it, so that its cost is on that round's clock."""

    BLOCK = 1024

    def __init__(self, seed: int, device: torch.device):
        self.random = random.Random(seed)
        self.device = device
        self.numbers: list[float] = []
        self.taken = 0

    def take(self, count: int) -> tuple[list[float], Tensor]:
        """Return the next `count` numbers, on the host and on the device [count]; all are below 1, even after
        rounding to the device's float type."""
        if self.taken + count > len(self.numbers):
            del self.numbers[: self.taken]
            self.numbers += [self.random.random() for _ in range(self.BLOCK)]
            dtype = uniform_dtype(self.device)
            below_one = 1 - torch.finfo(dtype).eps / 2
            self.on_device = torch.tensor(self.numbers, dtype=dtype).clamp_(max=below_one).to(self.device)
            self.taken = 0
        taken = slice(self.taken, self.taken + count)
        self.taken += count
        return self.numbers[taken], self.on_device[taken]
