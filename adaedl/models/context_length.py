"""The longest text that a transformers model can decode step by step.

A rotary embedding may change with the length of the text (longrope, dynamic NTK). The cached keys would then
have to be rotated again, so a text may grow only as long as the embedding stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from adaedl.errors import UserError

# Configuration fields that hold the context length; the first one present is used.
LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_target_positions",
    "max_seq_len",
    "seq_length",
    "n_ctx",
    "context_length",
)
# For a configuration without a length, as models without positions (ALiBi) may have: BLOOM's training length.
DEFAULT_LENGTH = 2048
SHORTEST = 12  # tokens that a model must be able to read: the length of the text in `stepwise.Probe`


def longest_text(model) -> int:
    """Return the length, in tokens, of the longest text that a transformers model can decode step by step.

    Raises:
        UserError: the length in its configuration is not a whole number, or is too small.
    """
    config = model.config.get_text_config()
    lengths = {name: getattr(config, name, None) for name in LENGTHS}
    name, length = next((item for item in lengths.items() if item[1] is not None), ("", DEFAULT_LENGTH))
    if not isinstance(length, int) or length < SHORTEST:
        raise UserError(
            "{} is {!r} in the configuration of this {} model; choose a model that reads at least {} tokens.",
            name,
            length,
            config.model_type,
            SHORTEST,
        )
    return min([length, *_table_lengths(model, length), *_constant_lengths(model)])


def _table_lengths(model, length: int) -> Iterator[int]:
    """Yield the number of tokens that each table of positions covers. RoBERTa reserves the first rows for
    padding."""
    words = model.get_input_embeddings()
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module is not words and module.num_embeddings == length:
            yield length if module.padding_idx is None else length - module.padding_idx - 1


def _constant_lengths(model) -> Iterator[int]:
    """Yield, for each rotary embedding that changes with the length, the number of tokens up to which it
    rotates each position by the same angles."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        for layer_type, kind in (kinds if isinstance(kinds, dict) else {None: kinds}).items():
            if kind == "longrope":
                settings = module.config.rope_parameters
                settings = settings if layer_type is None else settings[layer_type]
                yield int(settings["original_max_position_embeddings"])
            elif isinstance(kind, str) and "dynamic" in kind:
                yield int(module.original_max_seq_len)
