"""Helpers for reading checkpoints with transformers."""

import contextlib
import re
from collections.abc import Iterator

# Buffers that earlier versions of transformers saved with the weights: masks, positions, rotary frequencies.
BUFFERS = re.compile(
    r"(^|\.)(attn|attention|self_attn)\.(masked_)?bias$|(^|\.)(inv_freq|position_ids|version)$"
)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the progress bars and advice that transformers prints to stderr."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
