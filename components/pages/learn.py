"""The Learn page: five steps from drafting to speedup. assets/js/learn/page.js draws it from the reader's own
numbers and the recorded races, without the server."""

import gradio as gr

from components.parts.browser_part import browser_part


def learn_view() -> gr.HTML:
    """Build the page, inside a tab."""
    return browser_part("learn", module="learn/page", frame='<article class="learn"></article>')
