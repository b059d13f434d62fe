"""Turn the failures of models that cannot be decoded step by step into messages for users."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from adaedl.errors import UserError, first_line, is_failure
from adaedl.system.machine import is_out_of_memory


@contextlib.contextmanager
def failures_refused(kind: str) -> Iterator[None]:
    """Turn any failure of a model's own code into a UserError with the first line of the failure's message.

    Raises:
        UserError: the code failed. Errors about memory pass unchanged.
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
