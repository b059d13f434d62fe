"""The types of layers whose caches can be rewound."""

from collections.abc import Iterable

from adaedl.errors import UserError

# Settings of attention windows in a configuration, and the types of the layers that they apply to.
WINDOWS = {"sliding_window": "sliding_attention", "attention_chunk_size": "chunked_attention"}


def cannot_rewind(kind: str, layer_types: Iterable[str]) -> UserError:
    """Return the error for a model that has layers of these types."""
    return UserError(
        "{} has a cache that cannot be rewound ({}); choose a model with full attention in every layer.",
        kind,
        ", ".join(sorted(set(layer_types))),
    )
