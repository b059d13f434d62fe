"""Messages for the status line and the models line, as data that assets/js/status.js and models.js put into
the visitor's language."""

import json
from typing import TYPE_CHECKING

from adaedl.errors import Sentence, UserError
from adaedl.pairs.pair import Pair
from components.parts.texts import in_all_languages, texts

if TYPE_CHECKING:
    from components.serving.models_state import LoadState


def say(key: str, **values) -> str:
    """Return a text of assets/text for the status line. A value may be a Sentence of the engine.

    Raises:
        KeyError: there is no such text.
    """
    texts()[key]
    told = {
        name: in_all_languages(value) if isinstance(value, Sentence) else value
        for name, value in values.items()
    }
    return json.dumps({"key": key, "values": told})


def say_error(error: UserError) -> str:
    """Return an error as words for the status line."""
    return json.dumps({"error": in_all_languages(error.sentence)})


def tell_models(state: "LoadState", pair: Pair | None) -> str:
    """Return which models are loaded, and from which weights, or the loading progress."""
    told = {"phase": state.phase, "sentence": in_all_languages(state.sentence), "fraction": state.fraction}
    if state.phase == "ready" and pair:
        told |= {"device": pair.runs_on, "target": pair.target_name, "draft": pair.draft_name}
        told["weights"] = pair.weights
    return json.dumps(told)
