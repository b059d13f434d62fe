"""The words of the page in English and Chinese, from assets/text/. The browser picks the language."""

import json
from functools import cache

import gradio as gr
from gradio.i18n import I18nData

from components.assets import ASSETS

LANGUAGES = ("en", "zh")


@cache
def texts(language: str = "en") -> dict[str, str]:
    """Key → text with {placeholders}."""
    return json.loads((ASSETS / "text" / f"{language}.json").read_text("utf-8"))


def text(key: str) -> I18nData:
    """A label or other property of a gradio component, in the visitor's language.

    Raises:
        KeyError: there is no such text.
    """
    texts()[key]
    return gr.I18n()(key)


def translations() -> gr.I18n:
    """What `launch` needs for the texts that gradio's own components show."""
    return gr.I18n(**{language: texts(language) for language in LANGUAGES})
