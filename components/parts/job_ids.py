"""The ids of a tab's jobs, which the browser keeps while the page reloads (assets/js/kept.js)."""

import gradio as gr

from components.parts.browser_part import browser_part


def kept_job(name: str) -> gr.HTML:
    """Build an invisible part. Its value is the id of the tab's last job of that name; its `input` event says
    that the tab had one before the page was loaded."""
    return browser_part(f"{name}-job", "", module="kept", job=name, elem_classes="kept-job")
