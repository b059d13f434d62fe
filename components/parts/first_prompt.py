"""The initial prompt of a field in the visitor's language, which only the browser knows."""

import json

import gradio as gr

from components.parts.assets import open_module
from components.parts.texts import texts


def begin_in_language(page: gr.Blocks, field: gr.Textbox, key: str) -> None:
    """Replace the English text of `key` in a field by the text in the visitor's language when the page
    loads."""
    module, english = open_module("first_prompt.js"), json.dumps(texts()[key])
    page.load(
        None,
        field,
        field,
        js=f"async (prompt) => (await {module}).inLanguage(prompt, {english}, {json.dumps(key)})",
        show_progress="hidden",
        api_visibility="private",
    )
