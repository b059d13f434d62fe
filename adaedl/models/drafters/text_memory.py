"""What a text itself says of its next token: a drafter's second source, beside its network.

A text repeats its own rare words and its own phrases, which a small network with a trimmed vocabulary
does not foresee. So the tokens of the text join that vocabulary, and a token that followed the latest
ones before gains a constant in its logit for each token of that match. The idea is that of cache models
(Kuhn and De Mori, IEEE PAMI 1990; Grave et al., arXiv 1612.04426) with the matches of prompt lookup
(Saxena 2023). It reads nothing but the text, so q stays a distribution that depends on the text alone,
and whatever it proposes is verified like any other draft.
"""

from collections.abc import Container, Iterable

LONGEST_MATCH = 5
MATCH_BONUS = 0.5  # nats for each matched token
MOST_FOLLOWERS = 1024  # of one context; more than an ordinary text of 8,192 tokens has of any

Table = dict[tuple[int, ...], dict[int, int]]


class TextMemory:
    """The certain tokens of one text, oldest first, and what followed each of its n-grams.

    Which tokens followed a context depends only on the text before, so a text remembered whole answers for
    each of its beginnings as that beginning does. A lookup costs as much as there are different followers,
    however often each of them occurred.

    Attributes:
        text: the tokens.
        extra: the tokens outside the drafter's own vocabulary, numbered in the order they appeared.
        extra_since: for each of `extra`, how long the text was with its first appearance.
        tables: for every context of 1 to LONGEST_MATCH tokens, the place of each follower's first
            appearance, in ascending order; at most MOST_FOLLOWERS of them. Copies share all tables but the
            last, which is the only one that grows.
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
        if known < MOST_FOLLOWERS:
            self.tables[-1].setdefault(context, {})[follower] = len(self.text)

    def followers(self, certain: int, drafted: list[int]) -> dict[int, int]:
        """Return the tokens that followed the latest ones before, each with the length of the longest match,
        from 1 to LONGEST_MATCH.

        The latest tokens are the first `certain` tokens of the text and `drafted` after them; matches and
        followers are found among those first `certain` tokens alone.
        """
        latest = (*self.text[max(0, certain - LONGEST_MATCH) : certain], *drafted)[-LONGEST_MATCH:]
        matched: dict[int, int] = {}
        for length in range(1, len(latest) + 1):
            for table in self.tables:
                for follower, place in table.get(latest[-length:], {}).items():
                    if place >= certain:
                        break
                    matched[follower] = length
            if not matched:
                break  # what a longer context would match, this one would
        return matched

    def copy(self) -> "TextMemory":
        """Return an independent memory of the same text."""
        clone = TextMemory(self.vocab)
        clone.text, clone.extra, clone.extra_since = self.text[:], self.extra.copy(), self.extra_since[:]
        if self.tables[-1]:
            self.tables = [*self.tables, {}]
        clone.tables = [*self.tables[:-1], {}]
        return clone
