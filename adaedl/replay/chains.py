"""Chains of drafts: what the drafter proposes on its own from every position of a text.

Positions draft side by side, as one batch over the shared prefix, where the drafter can; otherwise in turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

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


@dataclass
class TokenChoice:
    """The choice that decode() makes, at several positions at once. `vocab` [Vq] are the ids of a trimmed
    vocabulary; `noise` is None at temperature 0."""

    sampling: Sampling
    noise: SharedNoise | None
    vocab: Tensor | None

    def noise_at(self, first: int, count: int) -> Tensor | None:
        """Noise [count, Vq] for the positions from `first`."""
        if self.noise is None:
            return None
        rows = self.noise.at(first, count)
        return rows if self.vocab is None else rows[:, self.vocab]

    def token(self, logits: Tensor, first: int) -> Tensor:
        """Return the indices [N] chosen from logits [N, Vq] at the positions first, first + 1, …"""
        return choose_with_noise(logits, self.noise_at(first, len(logits)), self.sampling)

    def gap(self, logits: Tensor, first: int, chosen: Tensor) -> Tensor:
        """Return by how much the scores of the chosen tokens [N] exceed the next best, [N], at least 0."""
        scores = logits.float()
        if not self.sampling.greedy:
            scores = warp_logits(logits, self.sampling) + self.noise_at(first, len(logits))
        own = scores.gather(-1, chosen[:, None])
        others = scores.scatter(-1, chosen[:, None], -torch.inf)
        lead = own.squeeze(-1) - others.max(-1).values
        return lead.clamp(min=0, max=1e6)  # alone in its nucleus, it leads without bound


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
    noise: SharedNoise | None
    p: Tensor
    text: Tensor
    depth: int
    max_new_tokens: int

    def chains(self, first: int, source: Source) -> list[list[Chain]]:
        """Return, for each scoring, a chain for each position of a source, whose first one is `first`."""
        vocab = source.vocab
        choice = TokenChoice(self.sampling, self.noise, vocab)
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
            index = choice.token(logits, first + step)
            ids = index if vocab is None else vocab[index]
            reached = reached & growing & (here < len(self.text))
            columns.append(self._column(logits, choice, index, ids, first + step, growing, reached))
            reached = reached & (self.text[here.clamp(max=len(self.text) - 1)] == ids)
            growing = growing & ~torch.isin(ids, eos)
            if step + 1 < self.depth and growing.any():
                logits = source.extend(ids)
        by_scoring = range(len(self.scorings))
        scored = [[column | scores[number] for column, scores in columns] for number in by_scoring]
        return [[self._chain(own, row) for row in range(rows)] for own in scored]

    def _column(
        self, logits, choice, index, ids, first, growing, reached
    ) -> tuple[dict[str, list], list[dict[str, list]]]:
        """Return the numbers of one draft of every row: those that all scorings share, and those of each
        scoring. p and β are computed where the draft is `reached` alone."""
        q = warp(logits, self.sampling)
        p, beta = (q.new_zeros(len(q)) for _ in range(2))
        places = reached.nonzero().squeeze(-1)
        target = self.p[first + places]
        p[places] = target.gather(-1, ids[places, None]).squeeze(-1).to(p)
        beta[places] = acceptance_probability(target, q[places], choice.vocab).to(beta)
        column = {
            "growing": growing,
            "reached": reached,
            "ids": ids,
            "q": q.gather(-1, index[:, None]).squeeze(-1),
            "gap": choice.gap(logits, first, index),
            "p": p,
            "beta": beta,
        }
        scores = [self._scores(warp(logits, s) if s else q, index) for s in self.scorings]
        return {name: _plain(values) for name, values in column.items()}, scores

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
        return Chain(**{name: [c[name][row] for c in columns[:count]] for name, count in lengths.items()})


def _plain(values: Tensor) -> list:
    return rounded(values) if values.is_floating_point() else values.tolist()


def rounded(values: Tensor) -> list[float]:
    """Return values [N] with the digits that a file keeps, so that a saved recording replays as before."""
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
