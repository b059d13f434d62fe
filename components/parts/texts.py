"""The words of the page in English and Chinese, from assets/text/. The browser picks the language."""

import json
import re
from functools import cache
from urllib.parse import quote

import gradio as gr
from gradio.i18n import I18nData

from adaedl.errors import Parameter, Sentence, UserError
from components.parts.folders import ASSETS

LANGUAGES = ("en", "zh")
# Parameter → the label of its field on the page, or a form of the label for use in a sentence.
LABELS = {
    "temperature": "page.temperature",
    "max_new_tokens": "page.tokens",
    "top_k": "page.parameter.top_k",
    "top_p": "page.parameter.top_p",
    "continuation": "page.continuation",
    "lanes": "page.lanes",
    "kinds": "page.parameter.kinds",
    "count": "sweep.count",
    "temperatures": "page.parameter.temperatures",
    "seeds": "page.parameter.seeds",
}

_PLACE = re.compile(r"\{(\w+)(?::([^{}|]*)\|([^{}|]*))?\}")  # {rounds}, or {rounds:round|rounds}
_labels: set[str] = set()  # the keys passed to `text`
_links: dict[str, tuple[str, str, str]] = {}  # the arguments of `text_with_link`, by the name of its label


@cache
def texts(language: str = "en") -> dict[str, str]:
    """Return the texts of a language by key; they may hold {placeholders}."""
    return json.loads((ASSETS / "text" / f"{language}.json").read_text("utf-8"))


def text(key: str) -> I18nData:
    """Return a label, or another property of a gradio component, in the visitor's language. Call this only
    while the page is built: `translations` holds the labels requested by then.

    Raises:
        KeyError: there is no such text.
    """
    texts()[key]
    _labels.add(key)
    return gr.I18n()(key)


def text_with_link(key: str, words: str, address: str) -> I18nData:
    """Return a Markdown text followed by a link. Call it like `text`.

    Args:
        key: the key of the text.
        words: the key of what the link says.
        address: where the link leads.

    Raises:
        KeyError: there is no such text.
    """
    texts()[key], texts()[words]
    name = f"{key} {words}"
    _links[name] = (key, words, quote(address, safe="/:@%+~"))
    return gr.I18n()(name)


def english(key: str, values: dict) -> str:
    """Return a text in English with its {placeholders} and plurals filled in, like assets/js/text.js."""
    words = {name: value["en"] if isinstance(value, dict) else value for name, value in values.items()}

    def fill(place: re.Match) -> str:
        name, one, others = place.groups()
        if one is None:
            return str(words.get(name, place[0]))
        return one if words.get(name) == 1 else others

    return _PLACE.sub(fill, texts()[key])


def in_all_languages(sentence: str) -> dict[str, str]:
    """Return a sentence of the engine (`Sentence`) in each language. A sentence that is missing in
    assets/text/sentences.<language>.json stays English; the keys of that file are the engine's templates.
    """
    return {language: _translated(sentence, language) for language in LANGUAGES}


def _translated(sentence, language: str):
    """Translate a value of a sentence: a nested sentence, or a parameter, which becomes its label. Return any
    other value unchanged."""
    if isinstance(sentence, UserError):
        sentence = sentence.sentence
    if isinstance(sentence, Parameter):
        return _label(sentence, language)
    if not isinstance(sentence, Sentence):
        return sentence
    template = _sentences(language).get(sentence.template)
    if template is None:
        return sentence.naming(lambda parameter: _label(parameter, language))
    values = [_translated(value, language) for value in sentence.values]
    return template.format(*values) if values else template


def _label(parameter: Parameter, language: str) -> str:
    """Return the label of a parameter's field, by which visitors know the parameter."""
    if parameter.words:
        words = stopper_words(language).get(parameter.words, parameter.words)
        return f"{words} {parameter.symbol}".strip()
    key = LABELS.get(parameter)
    return texts(language)[key] if key else parameter


@cache
def stopper_words(language: str) -> dict[str, str]:
    """Return the translations of the English words in the stoppers' declarations; an empty dict for a
    language without a file."""
    path = ASSETS / "text" / f"stoppers.{language}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


@cache
def _sentences(language: str) -> dict[str, str]:
    path = ASSETS / "text" / f"sentences.{language}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def translations() -> gr.I18n:
    """Return the translations of the labels of gradio's own components, for `launch`. gradio writes all of
    them into the page, so they include no other texts."""
    return gr.I18n(**{language: _labels_in(texts(language)) for language in LANGUAGES})


def _labels_in(words: dict[str, str]) -> dict[str, str]:
    """Return the labels by name, from the texts of a language."""
    linked = {
        name: f"{words[key]} · [{words[link]}]({address})" for name, (key, link, address) in _links.items()
    }
    return {key: words[key] for key in sorted(_labels)} | linked
