"""What the status line and the models line are told: data, which assets/js/status.js and models.js put into
the visitor's language."""

import json

from adaedl.models.pair import Pair
from components.models_state import LoadState
from components.texts import texts


def say(key: str, **values) -> str:
    """A text of assets/text for the status line.

    Raises:
        KeyError: there is no such text.
    """
    texts()[key]
    return json.dumps({"key": key, "values": values})


def say_error(sentence: str) -> str:
    """What will not do, and what would, for the status line."""
    return json.dumps({"error": sentence})


def tell_models(state: LoadState, pair: Pair | None) -> str:
    """Which models are here, or how far they are; once loaded, which weights they have."""
    told = {"phase": state.phase, "sentence": state.sentence, "fraction": state.fraction}
    if state.phase == "ready" and pair:
        dtype = str(pair.dtype).removeprefix("torch.")
        told |= {"device": f"{pair.device}/{dtype}", "target": pair.target_name, "draft": pair.draft_name}
        told["weights"] = pair.weights
    return json.dumps(told)
