"""The shared vocabulary of a pair's two models, and the token ids that end a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaedl.errors import UserError
from adaedl.pairs.chat import ChatTemplate
from adaedl.pairs.same_tokenizer import Difference

if TYPE_CHECKING:
    from torch import Tensor

    from adaedl.pairs.prompt_encoder import PromptEncoder


def check_rows(model, tokenizer, name: str) -> None:
    """Check that a model has an embedding for every token of its tokenizer.

    Raises:
        UserError: it does not.
    """
    tokens, rows = tokens_of(tokenizer), _rows(model)
    if tokens > rows:
        raise UserError(
            "The tokenizer of {} has {:,} tokens, but its weights have {:,}; choose another model.",
            name,
            tokens,
            rows,
        )


def tokens_of(tokenizer) -> int:
    """Return the number of ids from 0 to the largest id of a tokenizer."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def share_vocabulary(target, draft, tokenizer, difference: Difference | None) -> None:
    """Give both models' logits the same width. Models of one family often pad their vocabularies differently
    (Qwen2.5: 152,064 and 151,936 rows for 151,665 tokens), so rows that no token uses are dropped. In the
    draft, tokens that only the target has get the average row.

    Args:
        target, draft: transformers models; the target has a row for every token of its tokenizer.
        tokenizer: the target's.
        difference: between the draft's tokenizer and the target's.

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
    """Return in ascending order the ids that mean the same to both models. `tokenizer` is the target's."""
    return sorted(set(tokenizer.get_vocab().values()) - (difference.ids if difference else set()))


def drafted_vocabulary(tokenizer, difference: Difference | None) -> Tensor | None:
    """Return the ids [Vq] that the draft may propose if the tokenizers differ, or None for all ids."""
    import torch

    return torch.tensor(shared_ids(tokenizer, difference)) if difference else None


def end_tokens(model, encoder: PromptEncoder, template: ChatTemplate | None) -> frozenset[int]:
    """Return the ids that end a text: the end-of-sequence tokens of the model's configurations and of its
    tokenizer, and the control token that its chat template writes right after an answer."""
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
