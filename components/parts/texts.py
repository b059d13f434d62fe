"""The words of the page in English and Chinese, from assets/text/. The browser picks the language."""

import json
from functools import cache

import gradio as gr
from gradio.i18n import I18nData

from adaedl.errors import Sentence, UserError
from components.parts.folders import ASSETS

LANGUAGES = ("en", "zh")


@cache
def texts(language: str = "en") -> dict[str, str]:
    """Return the texts of a language by key; they may hold {placeholders}."""
    return json.loads((ASSETS / "text" / f"{language}.json").read_text("utf-8"))


def text(key: str) -> I18nData:
    """Return a label, or another property of a gradio component, in the visitor's language.

    Raises:
        KeyError: there is no such text.
    """
    texts()[key]
    return gr.I18n()(key)


def in_all_languages(sentence: str) -> dict[str, str]:
    """Return a sentence of the engine (`Sentence`) in each language. A sentence that
    assets/text/sentences.<language>.json lacks stays English; the keys there are the engine's own templates.
    """
    return {language: _translated(sentence, language) for language in LANGUAGES}


def _translated(sentence, language: str):
    """Return a sentence in a language, and any other value unchanged, since the values in a sentence may be
    either."""
    if isinstance(sentence, UserError):
        sentence = sentence.sentence
    if not isinstance(sentence, Sentence):
        return sentence
    template = _sentences(language).get(sentence.template)
    if template is None:
        return str(sentence)
    values = [_translated(value, language) for value in sentence.values]
    return template.format(*values) if values else template


@cache
def _sentences(language: str) -> dict[str, str]:
    path = ASSETS / "text" / f"sentences.{language}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def translations() -> gr.I18n:
    """Return what `launch` needs to translate the texts of gradio's own components."""
    return gr.I18n(**{language: texts(language) for language in LANGUAGES})
