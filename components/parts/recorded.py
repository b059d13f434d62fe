"""The recorded races of assets/examples, one of which plays when the page opens.

assets/js/recorded.js draws the list from assets/examples/index.json; assets/examples/make.sh remakes the
races. The server has no part in it: a recorded race plays while the models load, and for visitors who wait.
"""

import gradio as gr

from components.parts.browser_part import browser_part


def recorded_view() -> gr.HTML:
    """Return the list of recorded races."""
    return browser_part("recorded")
