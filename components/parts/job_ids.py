"""The ids of a tab's jobs, which the browser keeps across reloads (assets/js/kept.js)."""

import gradio as gr

from components.parts.browser_part import browser_part


def kept_job(name: str) -> gr.HTML:
    """Return an invisible part. Its value is the id of the tab's last job of that name; its `input` event
    occurs if the tab had a job before the page was loaded."""
    return browser_part(f"{name}-job", "", module="kept", job=name, elem_classes="kept-job")
