"""Sentences for models that cannot be decoded in steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from adaedl.errors import UserError, first_line, is_failure
from adaedl.system.machine import is_out_of_memory

# The names of windows in a configuration, and the types of the layers that have them.
WINDOWS = {"sliding_window": "sliding_attention", "attention_chunk_size": "chunked_attention"}


def cannot_rewind(kind: str, layer_types: Iterable[str]) -> UserError:
    """Return the error for a model with layers of these types."""
    return UserError(
        "{} has a cache that cannot be rewound ({}); choose a model with full attention in every layer.",
        kind,
        ", ".join(sorted(set(layer_types))),
    )


@contextlib.contextmanager
def failures_refused(kind: str) -> Iterator[None]:
    """Turn any failure of a model's own code into a UserError with the first line of what it says.

    Raises:
        UserError: it failed. Errors about memory are raised as they are.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, UserError) or not is_failure(error) or is_out_of_memory(error):
            raise
        raise UserError(
            "This {} model cannot be decoded step by step ({}); choose a causal model with a key–value "
            "cache, such as Llama or Qwen2.",
            kind,
            first_line(error),
        ) from error
