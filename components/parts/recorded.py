"""The recorded races of assets/examples, the first of which plays when the page opens.

Drawn by assets/js/recorded.js from assets/examples/index.json; assets/examples/make.sh records them again.
The server is not involved: a recorded race plays while the models load, and for visitors who wait.
"""

import gradio as gr

from components.parts.browser_part import browser_part


def recorded_view() -> gr.HTML:
    """Build the list of recorded races."""
    return browser_part("recorded")
