"""Chains of drafts: what the drafter proposes on its own from every position of a text.

If the drafter supports it, positions draft in parallel, as one batch over the shared prefix; otherwise one
after another. Chains of an independent drafter that follow the same tokens are one chain, drafted once.

How the tokens of a chain are chosen depends on the verification rule. Under shared noise and at temperature 0
they are the tokens that `decode()` drafts (`HighestScore`). Speculative sampling draws a draft first and the
target's token afterwards; here the target's text exists already, so the draft is drawn given the text
(`Coupling`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from adaedl.models.drafters.base import DraftSession
from adaedl.models.drafters.independent import IndependentSession
from adaedl.models.shared_noise import SharedNoise
from adaedl.pairs.pair import Pair
from adaedl.recordings.recording import Chain
from adaedl.request import Sampling
from adaedl.sampling import (
    acceptance_probability,
    choose_with_noise,
    draft_statistics,
    draw,
    residual,
    uniform_dtype,
    warp,
    warp_logits,
)

ROWS_AT_ONCE = 256  # positions that draft in parallel
DIGITS = 7  # significant digits of a float32 in a file


class Source(Protocol):
    """A source of drafts from N positions in parallel.

    Attributes:
        logits: [N, Vq] for the next token of each position.
        vocab: [Vq] the target's ids of the drafter's vocabulary; None if the vocabularies are the same.
    """

    logits: Tensor
    vocab: Tensor | None

    def extend(self, token_ids: Tensor) -> Tensor:
        """Append token_ids [N], a drafted token at each position; return the next logits [N, Vq]."""


class _OnePosition:
    """A single position, for sessions that cannot draft from several positions at once."""

    def __init__(self, session: DraftSession, token_ids: Tensor, features: Tensor | None):
        self.session = session
        self.logits = session.begin(token_ids, features)[None]
        self.vocab = session.vocab

    def extend(self, token_ids: Tensor) -> Tensor:
        return self.session.extend(token_ids)[None]


def sources(session: DraftSession, read: Tensor, features: Tensor | None) -> Iterator[tuple[int, Source]]:
    """Yield (first position, source) for sources that together cover all positions of a text.

    Args:
        session: the drafter's session after the prompt.
        read: [N] the token before each position.
        features: [N, F] the target's features one position before each of `read`; None for an independent
            drafter.
    """
    session = session.copy()
    start, rows = (session.unroll, ROWS_AT_ONCE) if hasattr(session, "unroll") else (None, 1)
    for first in range(0, len(read), rows):
        part = slice(first, first + rows)
        before = None if features is None else features[part]
        yield first, start(read[part], before) if start else _OnePosition(session, read[part], before)


class Choice(Protocol):
    """How drafts are chosen, for several chains in parallel. `vocab` [Vq] holds the target's ids of a trimmed
    vocabulary, or is None if q has the target's own."""

    def tokens(
        self, logits: Tensor, q: Tensor, vocab: Tensor | None, first: int, step: int, judged: Tensor
    ) -> Tensor:
        """Choose draft `step` (counted from 0) for each chain, where the chains begin at positions first,
        first + 1, …; return the indices [N] in q's vocabulary.

        Args:
            logits, q: [N, Vq] the drafter's logits and probabilities.
            judged: [N] whether the target judges the draft: every earlier draft of the chain is accepted, and
                the text is not over.
        """

    def leads(self, logits: Tensor, vocab: Tensor | None, position: int, chosen: Tensor) -> Tensor | None:
        """Return by how much [N] the scores of the chosen indices [N] at position, position + 1, … exceed the
        second best, at least 0; None if no score decides."""


@dataclass
class HighestScore:
    """Shared noise and temperature 0: choose the token that `decode()` drafts, with the highest
    log-probability plus noise. `noise` is None at temperature 0."""

    sampling: Sampling
    noise: SharedNoise | None

    def tokens(self, logits, q, vocab, first, step, judged) -> Tensor:
        return choose_with_noise(logits, self._noise(vocab, first + step, len(logits)), self.sampling)

    def leads(self, logits, vocab, position, chosen) -> Tensor:
        scores = logits.float()
        if self.noise:
            scores = warp_logits(logits, self.sampling) + self._noise(vocab, position, len(logits))
        own = scores.gather(-1, chosen[:, None])
        others = scores.scatter(-1, chosen[:, None], -torch.inf)
        lead = own.squeeze(-1) - others.max(-1).values
        return lead.clamp(min=0, max=1e6)  # the lead of the only token in a nucleus is infinite

    def _noise(self, vocab: Tensor | None, first: int, count: int) -> Tensor | None:
        """Return the noise [count, Vq] of positions first, first + 1, …"""
        if self.noise is None:
            return None
        rows = self.noise.at(first, count)
        return rows if vocab is None else rows[:, vocab]


class Coupling:
    """Speculative sampling in reverse: draw what was drafted, given the text that was written.

    At a position that the target judges, let p and q be the two distributions, Y ~ q the draft, and X the
    token that is written there (Leviathan et al., arXiv 2211.17192, algorithm 1; Chen et al., arXiv
    2302.01318, algorithm 2). Then

        P(Y = X = x) = min(p(x), q(x)),
        P(Y = y, X = x) = (q(y) − p(y))+ · (p(x) − q(x))+ / (1 − β)  for a rejected y,

    so X ~ p. Given X = x, the draft was x itself with probability min(1, q(x) / p(x)), and otherwise a draw
    from (q − p)+, whatever x is. After its first rejected draft a chain continues with plain draws from q:
    the target never judges those drafts, but they cost time, and stoppers look at them.

    One uniform number per position decides for all chains, and chains may share a rejected draft and its
    continuation. In any single run a position is judged at most once, whatever the stopper. So sharing does
    not change the distribution of any run, and reduces the variance of differences between stoppers.

    Args:
        seed: the recording's seed. The numbers are independent of the ones that drew the text.
        p: [tokens, V] the target's probabilities at every position of the text.
        text: [tokens] the ids of the text.
        depth: maximum number of drafts in a chain.
    """

    def __init__(self, seed: int, p: Tensor, text: Tensor, depth: int):
        numbers = np.random.default_rng((seed, 1)).random((len(text), 1 + depth))
        uniforms = torch.from_numpy(numbers).to(p.device, uniform_dtype(p.device))
        self.p, self.text = p, text
        self.accepting, self.drawing = uniforms[:, 0], uniforms[:, 1:]

    def tokens(self, logits, q, vocab, first, step, judged) -> Tensor:
        uniforms = self.drawing[first : first + len(q), step]
        chosen = draw(q, uniforms)
        rows = judged.nonzero().squeeze(-1)
        here = first + step + rows
        p, q, written = self.p[here], q[rows], self.text[here][:, None]
        p_written = p.gather(-1, written).squeeze(-1)
        index, p_of_vocab = written, p
        if vocab is not None:
            matches = vocab == written
            index, p_of_vocab = matches.long().argmax(-1, keepdim=True), p[:, vocab]
            p_written[~matches.any(-1)] = torch.inf  # q is 0 there
        accepted = self.accepting[here] * p_written < q.gather(-1, index).squeeze(-1)
        rejected = draw(residual(q, p_of_vocab), uniforms[rows])
        chosen[rows] = torch.where(accepted, index.squeeze(-1), rejected)
        return chosen

    def leads(self, logits, vocab, position, chosen) -> None:
        return None


@dataclass
class ChainDrafting:
    """Drafts the chains of a text, with the numbers that stoppers and charts need.

    Attributes:
        scorings: how q is warped for stoppers, with one set of chains for each; None to use q as it is
            sampled.
        p: [tokens, V] the target's probabilities at every position of the text.
        text: [tokens] the ids of the text.
        depth: maximum number of drafts in a chain.
        max_new_tokens: maximum length of the text.
    """

    pair: Pair
    sampling: Sampling
    scorings: list[Sampling | None]
    choice: Choice
    p: Tensor
    text: Tensor
    depth: int
    max_new_tokens: int

    def of_text(
        self, session: DraftSession, read: Tensor, features: Tensor | None
    ) -> Iterator[list[list[Chain]]]:
        """Yield the chains from all positions of the text in parts, each with one list for each scoring.

        Args:
            session: the drafter's session after the prompt.
            read, features: as in `sources`.
        """
        if isinstance(session, IndependentSession):
            yield from self._merging(session.copy(), read)
            return
        for first, source in sources(session, read, features):
            yield self._in_parallel(first, source)

    def _in_parallel(self, first: int, source: Source) -> list[list[Chain]]:
        """Draft from each position of a source, beginning with position `first`."""
        positions = torch.arange(first, first + len(source.logits), device=self.p.device)
        growing, judged = (torch.ones_like(positions, dtype=torch.bool) for _ in range(2))
        chains: list[list[_Drafted]] = [[] for _ in positions]
        logits = source.logits
        for step in range(self.depth):
            here = positions + step
            growing = growing & (here < self.max_new_tokens - 1)
            if not growing.any():
                break
            judged = judged & growing & (here < len(self.text))
            ids, drafts = self._draft(logits, source.vocab, first, step, judged)
            for chain, draft, grows in zip(chains, drafts, growing.tolist(), strict=True):
                chain += [draft] if grows else []
            judged = judged & (self.text[here.clamp(max=len(self.text) - 1)] == ids)
            growing = growing & ~torch.isin(ids, self._eos)
            if step + 1 < self.depth and growing.any():
                logits = source.extend(ids)
        return self._by_scoring(chains)

    def _merging(self, session: IndependentSession, read: Tensor) -> Iterator[list[list[Chain]]]:
        """Draft with a model whose q depends only on the tokens before a position, not on where the round
        began. Chains that reach the same position of the text have the same continuation. So each position is
        drafted once, and if that draft differs from the text, its continuation is drafted once."""
        prompt = session.certain
        drafts: list[_Drafted] = []
        for block in read.split(ROWS_AT_ONCE):
            first = len(drafts)
            logits = session.follow(block)
            judged = torch.arange(first, first + len(block), device=read.device) < self.max_new_tokens - 1
            drafts += self._draft(logits, session.vocab, first, 0, judged)[1]
        written = self.text.tolist()
        chains: list[list[_Drafted]] = [[] for _ in drafts]
        for position in reversed(range(min(len(drafts), self.max_new_tokens - 1))):
            draft = drafts[position]
            if draft.id != written[position]:
                session.keep(prompt + position + 1)
                continuation = self._beyond(session, position, draft)
            else:  # the chain from the next position, if the text does not end here
                continuation = chains[position + 1] if position + 1 < len(chains) else []
            chains[position] = [draft, *continuation][: self.depth]
        for first in range(0, len(chains), ROWS_AT_ONCE):
            yield self._by_scoring(chains[first : first + ROWS_AT_ONCE])

    def _beyond(self, session: IndependentSession, position: int, draft: "_Drafted") -> list["_Drafted"]:
        """Return the drafts after a draft that differs from the text at its position. The session has read
        the text before it."""
        drafts: list[_Drafted] = []
        unjudged = torch.zeros(1, dtype=torch.bool, device=self.p.device)
        for step in range(1, min(self.depth, self.max_new_tokens - 1 - position)):
            if draft.id in self.pair.eos_ids:
                break
            logits = session.extend(self.text.new_tensor([draft.id]))[None]
            _, (draft,) = self._draft(logits, session.vocab, position, step, unjudged)
            drafts.append(draft)
        return drafts

    def _draft(
        self, logits: Tensor, vocab: Tensor | None, first: int, step: int, judged: Tensor
    ) -> tuple[Tensor, list["_Drafted"]]:
        """Draft one more token in each of several chains; arguments as in `Choice.tokens`. Return the ids [N]
        and the drafts, with p and β only for drafts that the target judges."""
        q = warp(logits, self.sampling)
        index = self.choice.tokens(logits, q, vocab, first, step, judged)
        gap = self.choice.leads(logits, vocab, first + step, index)
        ids = index if vocab is None else vocab[index]
        rows = judged.nonzero().squeeze(-1)
        target = self.p[first + step + rows]
        p = rounded(target.gather(-1, ids[rows, None]).squeeze(-1))
        beta = rounded(acceptance_probability(target, q[rows], vocab))
        p_of, beta_of = (dict(zip(rows.tolist(), values, strict=True)) for values in (p, beta))
        numbers = zip(
            ids.tolist(),
            rounded(q.gather(-1, index[:, None]).squeeze(-1)),
            [None] * len(ids) if gap is None else rounded(gap),
            *(self._scores(warp(logits, s) if s else q, index) for s in self.scorings),
            strict=True,
        )
        return ids, [
            _Drafted(token, own_q, lead, p_of.get(row), beta_of.get(row), tuple(scores))
            for row, (token, own_q, lead, *scores) in enumerate(numbers)
        ]

    @staticmethod
    def _scores(q: Tensor, index: Tensor) -> list[tuple[float, ...]]:
        """Return the statistics that stoppers see, in the order of `DraftStep`, for q [N, Vq] as they judge
        it and the drafted indices [N]."""
        statistics = draft_statistics(q)
        columns = (
            statistics.entropy.clamp(min=0),
            statistics.top_prob,
            statistics.margin,
            q.gather(-1, index[:, None]).squeeze(-1),
        )
        return list(zip(*map(rounded, columns), strict=True))

    def _by_scoring(self, chains: list[list["_Drafted"]]) -> list[list[Chain]]:
        return [[_chain(drafts, number) for drafts in chains] for number in range(len(self.scorings))]

    @cached_property
    def _eos(self) -> Tensor:
        return torch.tensor(sorted(self.pair.eos_ids), dtype=torch.long, device=self.p.device)


class _Drafted(NamedTuple):
    """One draft of a chain. `p` and `beta` are None if the target does not judge it, `gap` if no score
    decides; `scores` holds (entropy, top_prob, margin, token_prob) for each scoring."""

    id: int
    q: float
    gap: float | None
    p: float | None
    beta: float | None
    scores: tuple[tuple[float, ...], ...]


def _chain(drafts: list[_Drafted], scoring: int) -> Chain:
    scores = [draft.scores[scoring] for draft in drafts]
    entropy, top_prob, margin, token_prob = ([values[n] for values in scores] for n in range(4))
    return Chain(
        ids=[draft.id for draft in drafts],
        q=[draft.q for draft in drafts],
        entropy=entropy,
        top_prob=top_prob,
        margin=margin,
        token_prob=token_prob,
        gap=[draft.gap for draft in drafts if draft.gap is not None],
        p=[draft.p for draft in drafts if draft.p is not None],
        beta=[draft.beta for draft in drafts if draft.beta is not None],
    )


def rounded(values: Tensor) -> list[float]:
    """Return values [N] rounded to the digits in a file, so that a saved recording replays the same."""
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
