"""What token ids mean to the two models of a pair, and which of them end a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaedl.errors import Sentence, UserError
from adaedl.pairs.chat import ChatTemplate

if TYPE_CHECKING:
    from torch import Tensor

    from adaedl.pairs.prompt_encoder import PromptEncoder


@dataclass(frozen=True)
class Difference:
    """Ids that mean another string, or nothing, to one of two tokenizers, and the first of them in words.

    All are tokens that were added to a vocabulary that the tokenizers share, such as reserved ones.
    """

    ids: frozenset[int]
    first: Sentence

    @property
    def sentence(self) -> Sentence:
        """What becomes of them, in words."""
        if len(self.ids) == 1:
            return Sentence("the tokenizers differ in one token, which is never drafted: {}", self.first)
        return Sentence(
            "the tokenizers differ in {:,} tokens, which are never drafted: {}", len(self.ids), self.first
        )


def check_same_tokenizer(target_tokenizer, draft_tokenizer) -> Difference | None:
    """Return where two tokenizers differ; None where every id means the same to both.

    Speculative decoding compares token ids, so the draft model may propose only ids that the target reads as
    the same string. Where the target writes another one, the draft model misreads it, which changes what it
    proposes next and never what the target accepts.

    Raises:
        UserError: they differ in more than added tokens; the message names the first difference.
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


def check_rows(model, tokenizer, name: str) -> None:
    """Raises UserError where a tokenizer has a token that its model has no embedding for."""
    tokens, rows = tokens_of(tokenizer), _rows(model)
    if tokens > rows:
        raise UserError(
            "The tokenizer of {} has {:,} tokens, but its weights have {:,}; choose another model.",
            name,
            tokens,
            rows,
        )


def tokens_of(tokenizer) -> int:
    """Return the number of ids that a tokenizer may give, from 0 to the largest."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def share_vocabulary(target, draft, tokenizer, difference: Difference | None) -> None:
    """Bring both models' logits to one width. Sizes of a family often pad their vocabulary differently
    (Qwen2.5: 152,064 and 151,936 rows for 151,665 tokens); rows that no token uses are dropped. Tokens that
    only the target has become the draft's average token.

    Args:
        target, draft: models of transformers; the target has a row for every token of its tokenizer.
        tokenizer: the target's.
        difference: where the draft's tokenizer differs from it.

    Raises:
        UserError: the draft lacks a token that both tokenizers have.
    """
    import torch

    from adaedl.models.checkpoints import quiet_transformers

    widths = target_rows, draft_rows = _rows(target), _rows(draft)
    if target_rows == draft_rows:
        return
    tokens = tokens_of(tokenizer)
    shared = max(shared_ids(tokenizer, difference), default=-1) + 1
    if draft_rows < shared:
        raise UserError(
            "The target has {:,} logits and the draft {:,} for {:,} tokens, so one of them cannot produce "
            "every token; choose a draft model from the target's family.",
            *widths,
            shared,
        )
    with quiet_transformers(), torch.no_grad():
        if draft_rows < tokens:
            draft.resize_token_embeddings(target_rows, mean_resizing=False)
            for table in {draft.get_input_embeddings().weight, draft.get_output_embeddings().weight}:
                table[draft_rows:] = table[:draft_rows].float().mean(0).to(table)
            changed = draft
        else:
            changed = target if target_rows > draft_rows else draft
            changed.resize_token_embeddings(min(widths), mean_resizing=False)
    changed.requires_grad_(False)


def shared_ids(tokenizer, difference: Difference | None) -> list[int]:
    """Return the ids, in ascending order, that mean the same to the target, whose tokenizer this is, and to
    the draft."""
    return sorted(set(tokenizer.get_vocab().values()) - (difference.ids if difference else set()))


def drafted_vocabulary(tokenizer, difference: Difference | None) -> Tensor | None:
    """Return the ids [Vq] that the draft may propose where the tokenizers differ; None for all of them."""
    import torch

    return torch.tensor(shared_ids(tokenizer, difference)) if difference else None


def end_tokens(model, encoder: PromptEncoder, template: ChatTemplate | None) -> frozenset[int]:
    """Return the ids that end a text: those that the model's configurations and its tokenizer name, and the
    control token that its chat template writes right after an answer."""
    settings = (model.generation_config, model.config, model.config.get_text_config())
    named = [getattr(setting, "eos_token_id", None) for setting in settings]
    named = [index for ids in named for index in (ids if isinstance(ids, list | tuple) else [ids])]
    named.append(encoder.tokenizer.eos_token_id)
    if template:
        named.append(encoder.leading_control_token(template.after_answer))
    ids = range(_rows(model))
    return frozenset(i for i in named if isinstance(i, int) and not isinstance(i, bool) and i in ids)


def _rows(model) -> int:
    return model.get_input_embeddings().weight.shape[0]
