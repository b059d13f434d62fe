"""Check that two tokenizers give every token id the same meaning."""

from dataclasses import dataclass

from adaedl.errors import Sentence, UserError


@dataclass(frozen=True)
class Difference:
    """The difference between two tokenizers: ids that do not mean the same string to both, and a description
    of the first one.

    All of these ids are tokens that were added to a shared vocabulary, such as reserved tokens.
    """

    ids: frozenset[int]
    first: Sentence

    @property
    def sentence(self) -> Sentence:
        """A sentence on the consequence for drafting."""
        if len(self.ids) == 1:
            return Sentence("the tokenizers differ in one token, which is never drafted: {}", self.first)
        return Sentence(
            "the tokenizers differ in {:,} tokens, which are never drafted: {}", len(self.ids), self.first
        )


def check_same_tokenizer(target_tokenizer, draft_tokenizer) -> Difference | None:
    """Return the difference between two tokenizers, or None if every id means the same to both.

    Speculative decoding compares token ids, so the draft model may propose only ids that mean the same string
    to the target. If the target writes one of the other ids, the draft model misreads it. That changes the
    next proposals, but never which tokens the target accepts.

    Raises:
        UserError: the tokenizers differ in more than added tokens; the message names the first difference.
    """
    target, draft = (_tokens(tokenizer) for tokenizer in (target_tokenizer, draft_tokenizer))
    differing = sorted(i for i in target.keys() | draft.keys() if target.get(i) != draft.get(i))
    if not differing:
        return None
    sides = ((target, target_tokenizer.added_tokens_decoder), (draft, draft_tokenizer.added_tokens_decoder))
    ordinary = [i for i in differing if any(i in tokens and i not in added for tokens, added in sides)]
    if not ordinary:
        return Difference(frozenset(differing), _difference(differing[0], target, draft))
    if len(target) != len(draft):
        difference = Sentence("the target's has {:,} tokens, the draft's {:,}", len(target), len(draft))
    else:
        difference = _difference(ordinary[0], target, draft)
    raise UserError(
        "These two models have different tokenizers: {}; choose a draft model from the target's family.",
        difference,
    )


def _tokens(tokenizer) -> dict[int, str]:
    return {index: token for token, index in tokenizer.get_vocab().items()}


def _difference(index: int, target: dict[int, str], draft: dict[int, str]) -> Sentence:
    if index not in draft:
        return Sentence("only the target has token {}, {!r}", index, target[index])
    if index not in target:
        return Sentence("only the draft has token {}, {!r}", index, draft[index])
    return Sentence(
        "token {} is {!r} in the target and {!r} in the draft", index, target[index], draft[index]
    )
