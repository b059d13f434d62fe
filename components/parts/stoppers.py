"""The stoppers' declarations in every language, as assets/js/stoppers.js reads them.

The English words are the declarations' own; assets/text/stoppers.<language>.json translates them. What it
lacks stays English.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from adaedl.stopping import STOPPERS
from adaedl.stopping.describe import stopper_data
from components.parts.folders import ASSETS
from components.parts.texts import LANGUAGES

RULES = ASSETS / "js" / "explore" / "rules"
WORDS = ("summary", "compares", "stops_because")
SETTING_WORDS = ("words", "about")


def stoppers_json() -> str:
    """Return the registered stoppers as a JSON list, in the registry's order."""
    return json.dumps([page_data(stopper) for stopper in STOPPERS.values()], ensure_ascii=False)


def page_data(stopper: type) -> dict[str, Any]:
    """Return a stopper's declaration for the page: words as {language: text}, and as `rule` whether its rule
    also runs in the browser. Where it does not, Explore asks the server for its lanes."""
    data = stopper_data(stopper)
    settings = [_in_all_languages(setting, SETTING_WORDS) for setting in data["settings"]]
    return {**_in_all_languages(data, WORDS), "settings": settings, "rule": rule_file(stopper.name).is_file()}


def rule_file(name: str) -> Path:
    """Return where the JavaScript rule of a stopper belongs."""
    return RULES / f"{name}.js"


def words_of(stopper: type) -> list[str]:
    """Return the English words of a stopper that the page shows, all of which need a translation."""
    data = stopper_data(stopper)
    found = [data[key] for key in WORDS]
    found += [setting[key] for setting in data["settings"] for key in SETTING_WORDS]
    return [words for words in found if words]


@cache
def translations(language: str) -> dict[str, str]:
    """Return English words → words in a language; empty where there is no file for it."""
    path = ASSETS / "text" / f"stoppers.{language}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _in_all_languages(data: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    def translated(words: str) -> dict[str, str]:
        return {language: translations(language).get(words, words) for language in LANGUAGES}

    return {**data, **{key: data[key] and translated(data[key]) for key in keys}}
