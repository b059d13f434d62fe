"""Chains of drafts: what the drafter proposes on its own from every position of a text.

Positions draft side by side, as one batch over the shared prefix, where the drafter can; otherwise in turn.

How a chain's tokens are chosen depends on the verification rule. Under shared noise and at temperature 0 they
are the tokens that `decode()` drafts (`HighestScore`). Speculative sampling draws a draft first and the
target's token afterwards; here the target's text is there already, so the draft is drawn given the text
(`Coupling`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from adaedl.models.drafters.base import DraftSession
from adaedl.models.shared_noise import SharedNoise
from adaedl.pairs.pair import Pair
from adaedl.replay.recording import Chain
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

ROWS_AT_ONCE = 256  # positions that draft side by side
DIGITS = 7  # significant digits that are kept of a float32


class Source(Protocol):
    """Where the drafts from N positions come from, side by side.

    Attributes:
        logits: [N, Vq] for the next token of each position.
        vocab: [Vq] the target's ids that logits are for, None where they are all of the target's own.
    """

    logits: Tensor
    vocab: Tensor | None

    def extend(self, token_ids: Tensor) -> Tensor:
        """Append a drafted token to each position, token_ids [N]; return the logits [N, Vq] for the next."""


class _OnePosition:
    """One position, of a session that cannot draft from several at once."""

    def __init__(self, session: DraftSession, token_ids: Tensor, features: Tensor | None):
        self.session = session
        self.logits = session.begin(token_ids, features)[None]
        self.vocab = session.vocab

    def extend(self, token_ids: Tensor) -> Tensor:
        return self.session.extend(token_ids)[None]


def sources(session: DraftSession, read: Tensor, features: Tensor | None) -> Iterator[tuple[int, Source]]:
    """Yield sources that cover all positions of a text, each with its first position.

    Args:
        session: the drafter's, after the prompt.
        read: [N] the token before each position.
        features: [N, F] the target's one position before each of `read`; None for an independent drafter.
    """
    session = session.copy()
    start, rows = (session.unroll, ROWS_AT_ONCE) if hasattr(session, "unroll") else (None, 1)
    for first in range(0, len(read), rows):
        part = slice(first, first + rows)
        before = None if features is None else features[part]
        yield first, start(read[part], before) if start else _OnePosition(session, read[part], before)


class Choice(Protocol):
    """How the drafts of several chains are chosen, side by side. `vocab` [Vq] are the target's ids of a
    trimmed vocabulary, None where q has the target's own."""

    def tokens(
        self, logits: Tensor, q: Tensor, vocab: Tensor | None, first: int, step: int, judged: Tensor
    ) -> Tensor:
        """Return the indices [N], in q's vocabulary, of the drafts number `step` (from 0) of the chains from
        the positions first, first + 1, …

        Args:
            logits, q: [N, Vq] the drafter's, and its probabilities.
            judged: [N] whether the target judges the draft: all before it are accepted, and the text is not
                over.
        """

    def leads(self, logits: Tensor, vocab: Tensor | None, position: int, chosen: Tensor) -> Tensor | None:
        """Return by how much the scores of the chosen indices [N] at position, position + 1, … exceed the
        next best, [N], at least 0; None where no score decides."""


@dataclass
class HighestScore:
    """Shared noise and temperature 0: the token that `decode()` drafts, which has the highest log-probability
    plus noise. `noise` is None at temperature 0."""

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
        return lead.clamp(min=0, max=1e6)  # alone in its nucleus, it leads without bound

    def _noise(self, vocab: Tensor | None, first: int, count: int) -> Tensor | None:
        """Return the noise [count, Vq] of the positions from `first`."""
        if self.noise is None:
            return None
        rows = self.noise.at(first, count)
        return rows if vocab is None else rows[:, vocab]


class Coupling:
    """Speculative sampling run backwards: what was drafted, given the text that came of it.

    At a position that the target judges, let p and q be the two distributions, Y ~ q the draft, and X the
    token that is written there (Leviathan et al., arXiv 2211.17192, algorithm 1; Chen et al., arXiv
    2302.01318, algorithm 2). Then

        P(Y = X = x) = min(p(x), q(x)),
        P(Y = y, X = x) = (q(y) − p(y))+ · (p(x) − q(x))+ / (1 − β)  for a rejected y,

    so X ~ p. Given X = x, the draft was x itself with probability min(1, q(x) / p(x)), and otherwise a draw
    from (q − p)+, whatever x is. After its first rejected draft a chain goes on by plain draws from q: the
    target never judges those drafts, but they cost time, and stoppers look at them.

    One uniform number per position decides for all chains. In any one run a position is judged at most once,
    whatever the stopper. So sharing the number leaves the distribution of every run as it is, and makes
    stoppers differ less by chance.

    Args:
        seed: of the recording. The numbers are independent of those that the text was drawn with.
        p: [tokens, V] the target's probabilities at every position of the text.
        text: [tokens] its ids.
        depth: drafts in a chain at most.
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
            found = vocab == written
            index, p_of_vocab = found.long().argmax(-1, keepdim=True), p[:, vocab]
            p_written[~found.any(-1)] = torch.inf  # q is 0 there
        accepted = self.accepting[here] * p_written < q.gather(-1, index).squeeze(-1)
        rejected = draw(residual(q, p_of_vocab), uniforms[rows])
        chosen[rows] = torch.where(accepted, index.squeeze(-1), rejected)
        return chosen

    def leads(self, logits, vocab, position, chosen) -> None:
        return None


@dataclass
class ChainDrafting:
    """Drafts chains from sources, with the numbers that stoppers and pictures need.

    Attributes:
        scorings: how q is warped for stoppers, one set of chains for each; None for as it is sampled from.
        p: [tokens, V] the target's probabilities at every position of the text.
        text: [tokens] its ids.
        depth: drafts in a chain at most.
        max_new_tokens: the length that the text was allowed.
    """

    pair: Pair
    sampling: Sampling
    scorings: list[Sampling | None]
    choice: Choice
    p: Tensor
    text: Tensor
    depth: int
    max_new_tokens: int

    def chains(self, first: int, source: Source) -> list[list[Chain]]:
        """Return, for each scoring, a chain for each position of a source, whose first one is `first`."""
        vocab = source.vocab
        rows = len(source.logits)
        positions = torch.arange(first, first + rows, device=self.p.device)
        eos = torch.tensor(sorted(self.pair.eos_ids), dtype=torch.long, device=self.p.device)
        growing, reached = (torch.ones_like(positions, dtype=torch.bool) for _ in range(2))
        columns: list[tuple[dict[str, list], list[dict[str, list]]]] = []
        logits = source.logits
        for step in range(self.depth):
            here = positions + step
            growing = growing & (here < self.max_new_tokens - 1)
            if not growing.any():
                break
            reached = reached & growing & (here < len(self.text))
            q = warp(logits, self.sampling)
            index = self.choice.tokens(logits, q, vocab, first, step, reached)
            gap = self.choice.leads(logits, vocab, first + step, index)
            ids = index if vocab is None else vocab[index]
            column = self._column(q, vocab, index, ids, first + step, reached)
            column["growing"] = growing.tolist()
            if gap is not None:
                column["gap"] = rounded(gap)
            scores = [self._scores(warp(logits, s) if s else q, index) for s in self.scorings]
            columns.append((column, scores))
            reached = reached & (self.text[here.clamp(max=len(self.text) - 1)] == ids)
            growing = growing & ~torch.isin(ids, eos)
            if step + 1 < self.depth and growing.any():
                logits = source.extend(ids)
        by_scoring = range(len(self.scorings))
        scored = [[column | scores[number] for column, scores in columns] for number in by_scoring]
        return [[self._chain(own, row) for row in range(rows)] for own in scored]

    def _column(self, q, vocab, index, ids, first, reached) -> dict[str, list]:
        """Return the numbers of one draft of every row that all scorings share. p and β are computed where
        the draft is `reached` alone."""
        p, beta = (q.new_zeros(len(q)) for _ in range(2))
        places = reached.nonzero().squeeze(-1)
        target = self.p[first + places]
        p[places] = target.gather(-1, ids[places, None]).squeeze(-1).to(p)
        beta[places] = acceptance_probability(target, q[places], vocab).to(beta)
        column = {
            "reached": reached,
            "ids": ids,
            "q": q.gather(-1, index[:, None]).squeeze(-1),
            "p": p,
            "beta": beta,
        }
        return {name: _plain(values) for name, values in column.items()}

    @staticmethod
    def _scores(q: Tensor, index: Tensor) -> dict[str, list]:
        """Return what stoppers look at, for q [N, Vq] as they judge it and the drafted indices [N]."""
        statistics = draft_statistics(q)
        scores = {
            "entropy": statistics.entropy.clamp(min=0),
            "top_prob": statistics.top_prob,
            "margin": statistics.margin,
            "token_prob": q.gather(-1, index[:, None]).squeeze(-1),
        }
        return {name: _plain(values) for name, values in scores.items()}

    @staticmethod
    def _chain(columns: list[dict[str, list]], row: int) -> Chain:
        length = sum(column["growing"][row] for column in columns)
        reached = sum(column["reached"][row] for column in columns)
        lengths = dict.fromkeys(("ids", "q", "entropy", "top_prob", "margin", "token_prob", "gap"), length)
        lengths |= {"p": reached, "beta": reached}
        if columns and "gap" not in columns[0]:
            lengths["gap"] = 0
        return Chain(**{name: [c[name][row] for c in columns[:count]] for name, count in lengths.items()})


def _plain(values: Tensor) -> list:
    return rounded(values) if values.is_floating_point() else values.tolist()


def rounded(values: Tensor) -> list[float]:
    """Return values [N] with the digits that a file keeps, so that a saved recording replays as before."""
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
