"""Messages for the status lines, as data that assets/js/status.js puts into the visitor's language."""

import json

from adaedl.errors import Sentence, UserError
from components.parts.texts import in_all_languages, texts


def say(key: str, **values) -> str:
    """Return a text of assets/text for the status line. A value may be a Sentence of the engine.

    Raises:
        KeyError: there is no such text.
    """
    texts()[key]
    translated = {
        name: in_all_languages(value) if isinstance(value, Sentence) else value
        for name, value in values.items()
    }
    return json.dumps({"key": key, "values": translated})


def say_error(error: UserError) -> str:
    """Return an error for the status line."""
    return json.dumps({"error": in_all_languages(error.sentence)})
