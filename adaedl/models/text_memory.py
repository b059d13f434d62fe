"""What a text itself says of its next token: a drafter's second source, beside its network.

A text repeats its own rare words and its own phrases, which a small network with a trimmed vocabulary
does not foresee. So the tokens of the text join that vocabulary, and a token that followed the latest
ones before gains a constant in its logit for each token of that match. The idea is that of cache models
(Kuhn and De Mori, IEEE PAMI 1990; Grave et al., arXiv 1612.04426) with the matches of prompt lookup
(Saxena 2023). It reads nothing but the text, so q stays a distribution that depends on the text alone,
and whatever it proposes is verified like any other draft.
"""

from collections.abc import Container

LONGEST_MATCH = 5
MATCH_BONUS = 0.5  # nats for each matched token


class TextMemory:
    """The certain tokens of one text, oldest first.

    Attributes:
        text: the tokens.
        extra: those of them outside the drafter's own vocabulary, numbered in the order they appeared.
        extra_since: for each of `extra`, how long the text was with its first appearance.
    """

    def __init__(self, vocab: Container[int]):
        self.vocab = vocab
        self.text: list[int] = []
        self.extra: dict[int, int] = {}
        self.extra_since: list[int] = []
        self.places: dict[int, list[int]] = {}

    def append(self, token_ids: list[int]) -> None:
        """Add tokens that became certain."""
        for token in token_ids:
            if token not in self.places and token not in self.vocab:
                self.extra[token] = len(self.extra)
                self.extra_since.append(len(self.text) + 1)
            self.places.setdefault(token, []).append(len(self.text))
            self.text.append(token)

    def followers(self, certain: int, drafted: list[int]) -> dict[int, int]:
        """The tokens that came next where the latest ones stood before, and how many of those, at most
        LONGEST_MATCH, matched. The latest are the first `certain` tokens of the text and `drafted` after
        them; before means among the certain ones."""
        latest = (self.text[max(0, certain - LONGEST_MATCH) : certain] + drafted)[-LONGEST_MATCH:]
        matched: dict[int, int] = {}
        for place in self.places.get(latest[-1], ()) if latest else ():
            if place + 1 >= certain:
                break
            length = 1
            while length < min(len(latest), place + 1) and self.text[place - length] == latest[-1 - length]:
                length += 1
            follower = self.text[place + 1]
            matched[follower] = max(length, matched.get(follower, 0))
        return matched

    def copy(self) -> "TextMemory":
        """An independent memory of the same text."""
        clone = TextMemory(self.vocab)
        clone.text, clone.extra, clone.extra_since = self.text[:], self.extra.copy(), self.extra_since[:]
        clone.places = {token: places[:] for token, places in self.places.items()}
        return clone
