"""The stoppers' declarations in every language, for assets/js/stoppers.js.

The English words come from the declarations; assets/text/stoppers.<language>.json translates them. Words that
it lacks stay English.
"""

import json
from pathlib import Path
from typing import Any

from adaedl.stopping import STOPPERS
from adaedl.stopping.describe import stopper_data
from components.parts.folders import ASSETS
from components.parts.texts import LANGUAGES, stopper_words

RULES = ASSETS / "js" / "explore" / "rules"
WORDS = ("title", "lane_title", "lane_detail", "summary", "compares", "stops_because")
SETTING_WORDS = ("words", "about")


def stoppers_json() -> str:
    """Return the registered stoppers as a JSON list, in the registry's order."""
    return json.dumps([page_data(stopper) for stopper in STOPPERS.values()], ensure_ascii=False)


def page_data(stopper: type) -> dict[str, Any]:
    """Return a stopper's declaration for the page, with words as {language: text}. `rule` says whether the
    stopper's rule also runs in the browser; otherwise Explore requests its lanes from the server."""
    data = stopper_data(stopper)
    settings = [_in_all_languages(setting, SETTING_WORDS) for setting in data["settings"]]
    return {**_in_all_languages(data, WORDS), "settings": settings, "rule": rule_file(stopper.name).is_file()}


def rule_file(name: str) -> Path:
    """Return the path for a stopper's rule in JavaScript."""
    return RULES / f"{name}.js"


def words_of(stopper: type) -> list[str]:
    """Return a stopper's English words that the page shows, all of which need a translation."""
    data = stopper_data(stopper)
    words = [data[key] for key in WORDS]
    words += [setting[key] for setting in data["settings"] for key in SETTING_WORDS]
    return [text for text in words if text]


def _in_all_languages(data: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    def translated(words: str) -> dict[str, str]:
        return {language: stopper_words(language).get(words, words) for language in LANGUAGES}

    return {**data, **{key: data[key] and translated(data[key]) for key in keys}}
