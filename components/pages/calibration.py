"""The Calibration page: how often AdaEDL's bound really is a lower bound. assets/js/explore/calibration.js
draws the page from the recording that Explore shows; adaedl.recordings.calibration computes the numbers when
the text is recorded."""

import gradio as gr

from components.parts.browser_part import browser_part
from components.parts.texts import text


def calibration_view() -> None:
    """Build the page, inside a tab."""
    gr.Markdown(text("calibration.introduction"), elem_id="calibration-introduction")
    browser_part("calibration", "", module="explore/calibration")
