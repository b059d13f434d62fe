"""Adaptive speculative decoding, traced token by token.

    import adaedl

    pair = adaedl.load_pair()
    trace = adaedl.race(pair, "Why is the sky blue?", lanes=["autoregressive", "fixed:k=4", "adaedl"])
    print(adaedl.to_frame(trace))

The names in `__all__` and in `adaedl.stopping.__all__` are public (docs/library.md); everything else may
change between versions. Importing this package loads neither torch nor any other library: each name is
imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adaedl.version import __version__

if TYPE_CHECKING:
    from adaedl.errors import UserError
    from adaedl.generation import generate
    from adaedl.html import to_html
    from adaedl.library import decode, race, record, replay
    from adaedl.metrics import to_frame
    from adaedl.pairs.loading import load_pair
    from adaedl.pairs.pair import Pair
    from adaedl.recordings.recording import Recording
    from adaedl.request import Sampling
    from adaedl.stopping import Stopper, make_stopper, register_stopper
    from adaedl.trace import Lane, Round, Trace

# Where each public name is defined.
_HOMES = {
    "Lane": "adaedl.trace",
    "Pair": "adaedl.pairs.pair",
    "Recording": "adaedl.recordings.recording",
    "Round": "adaedl.trace",
    "Sampling": "adaedl.request",
    "Stopper": "adaedl.stopping",
    "Trace": "adaedl.trace",
    "UserError": "adaedl.errors",
    "decode": "adaedl.library",
    "generate": "adaedl.generation",
    "load_pair": "adaedl.pairs.loading",
    "make_stopper": "adaedl.stopping",
    "race": "adaedl.library",
    "record": "adaedl.library",
    "register_stopper": "adaedl.stopping",
    "replay": "adaedl.library",
    "to_frame": "adaedl.metrics",
    "to_html": "adaedl.html",
}

__all__ = [
    "Lane",
    "Pair",
    "Recording",
    "Round",
    "Sampling",
    "Stopper",
    "Trace",
    "UserError",
    "__version__",
    "decode",
    "generate",
    "load_pair",
    "make_stopper",
    "race",
    "record",
    "register_stopper",
    "replay",
    "to_frame",
    "to_html",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next access skips this function
    return value


def __dir__() -> list[str]:
    return list(__all__)
