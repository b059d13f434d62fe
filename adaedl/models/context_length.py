"""How long a text may get that a transformers model decodes in steps.

A rotary embedding may change with the length of the text (longrope, dynamic NTK). The keys in the cache would
have to be rotated anew, so a text may only get as long as the embedding stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from adaedl.errors import UserError

# The names of a context's length in a configuration; the first one that is there counts.
LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_target_positions",
    "max_seq_len",
    "seq_length",
    "n_ctx",
    "context_length",
)
# For a configuration without a length, which models without positions (ALiBi) may have: BLOOM's in training.
DEFAULT_LENGTH = 2048
SHORTEST = 12  # tokens that a model must be able to read, which are those that measure it


def longest_text(model) -> int:
    """Return the number of tokens up to which a transformers model can be decoded in steps.

    Raises:
        UserError: its configuration gives a length that is no whole number, or too small.
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
    """Yield the tokens that a table of positions is for: RoBERTa's keeps its first rows for padding."""
    words = model.get_input_embeddings()
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module is not words and module.num_embeddings == length:
            yield length if module.padding_idx is None else length - module.padding_idx - 1


def _constant_lengths(model) -> Iterator[int]:
    """Yield the tokens up to which a rotary embedding rotates each position by the same angles."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        for layer_type, kind in (kinds if isinstance(kinds, dict) else {None: kinds}).items():
            if kind == "longrope":
                settings = module.config.rope_parameters
                settings = settings if layer_type is None else settings[layer_type]
                yield int(settings["original_max_position_embeddings"])
            elif isinstance(kind, str) and "dynamic" in kind:
                yield int(module.original_max_seq_len)
