"""Predictions from the text itself, a drafter's second source besides its network.

A text repeats its own rare words and phrases, which a small network with a trimmed vocabulary cannot predict.
So the tokens of the text join the vocabulary. If the latest tokens occurred before, the logit of each token
that followed them gains a constant for each matched token. The idea comes from cache models (Kuhn and De
Mori, IEEE PAMI 1990; Grave et al., arXiv 1612.04426), with matches as in prompt lookup (Saxena 2023). The
memory reads only the text, so q stays a distribution that depends on the text alone, and its proposals are
verified like any other draft.
"""

from collections.abc import Container, Iterable

LONGEST_MATCH = 5
MATCH_BONUS = 0.5  # nats for each matched token
MAX_FOLLOWERS = 1024  # per context; more than any context has in an ordinary text of 8,192 tokens

Table = dict[tuple[int, ...], dict[int, int]]


class TextMemory:
    """The certain tokens of one text, oldest first, and the tokens that followed each of its n-grams.

    The followers of a context depend only on earlier text, so a memory of the whole text also gives the
    answers for each prefix of the text. The cost of a lookup is the number of distinct followers, however
    often each of them occurred.

    Attributes:
        text: the tokens.
        extra: the tokens outside the drafter's own vocabulary, numbered in the order of their appearance.
        extra_since: for each token of `extra`, the length of the text up to and including its first
            appearance.
        tables: for every context of 1 to LONGEST_MATCH tokens, the position of each follower's first
            appearance, in ascending order; at most MAX_FOLLOWERS per context. Copies share all tables except
            the last, the only table that grows.
    """

    def __init__(self, vocab: Container[int]):
        self.vocab = vocab
        self.text: list[int] = []
        self.extra: dict[int, int] = {}
        self.extra_since: list[int] = []
        self.tables: list[Table] = [{}]

    def append(self, token_ids: Iterable[int]) -> None:
        """Add tokens that became certain."""
        for token in token_ids:
            if token not in self.extra and token not in self.vocab:
                self.extra[token] = len(self.extra)
                self.extra_since.append(len(self.text) + 1)
            context = tuple(self.text[-LONGEST_MATCH:])
            for start in range(len(context)):
                self._note(context[start:], token)
            self.text.append(token)

    def _note(self, context: tuple[int, ...], follower: int) -> None:
        known = 0
        for table in self.tables:
            followers = table.get(context)
            if followers:
                if follower in followers:
                    return
                known += len(followers)
        if known < MAX_FOLLOWERS:
            self.tables[-1].setdefault(context, {})[follower] = len(self.text)

    def followers(self, certain: int, drafted: list[int]) -> dict[int, int]:
        """Return the tokens that followed earlier occurrences of the latest tokens, each with the length of
        the longest match, from 1 to LONGEST_MATCH.

        The latest tokens are the end of the first `certain` tokens of the text followed by `drafted`. Matches
        and followers are searched only in the first `certain` tokens.
        """
        latest = (*self.text[max(0, certain - LONGEST_MATCH) : certain], *drafted)[-LONGEST_MATCH:]
        matched: dict[int, int] = {}
        for length in range(1, len(latest) + 1):
            for table in self.tables:
                for follower, position in table.get(latest[-length:], {}).items():
                    if position >= certain:
                        break
                    matched[follower] = length
            if not matched:
                break  # a longer context has no match if a shorter one has none
        return matched

    def copy(self) -> "TextMemory":
        """Return an independent memory of the same text."""
        clone = TextMemory(self.vocab)
        clone.text, clone.extra, clone.extra_since = self.text[:], self.extra.copy(), self.extra_since[:]
        if self.tables[-1]:
            self.tables = [*self.tables, {}]
        clone.tables = [*self.tables[:-1], {}]
        return clone
