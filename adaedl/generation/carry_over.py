"""What stoppers learned in earlier calls with the same two models.

It lives as long as both models do, and no longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from transformers import GenerationConfig

from adaedl.stopping import Stopper, format_spec

MOST_KEPT = 32  # stoppers for each pair of models

Kept = dict[tuple, Stopper]
_KEPT: WeakKeyDictionary[Any, WeakKeyDictionary[Any, Kept]] = WeakKeyDictionary()


@contextmanager
def continued(stopper: Stopper, model: Any, assistant: Any, config: GenerationConfig) -> Iterator[Stopper]:
    """Yield the stopper of the last call with these models, this spec and this sampling, or else the given
    one, and keep it for the next call.

    A call that starts while another one is using the stopper starts afresh, and one that fails keeps nothing.
    """
    kept = _KEPT.setdefault(assistant, WeakKeyDictionary()).setdefault(model, {})
    sampling = (config.temperature, config.top_k, config.top_p) if config.do_sample else None
    key = (format_spec(stopper), sampling)
    stopper = kept.pop(key, stopper)
    yield stopper
    kept[key] = stopper
    while len(kept) > MOST_KEPT:
        kept.pop(next(iter(kept)), None)
