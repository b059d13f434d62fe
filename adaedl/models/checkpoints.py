"""What reading a checkpoint with transformers takes, whoever reads it."""

import contextlib
import re
from collections.abc import Iterator

# What earlier versions of transformers saved beside the weights: masks, positions and angles.
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
