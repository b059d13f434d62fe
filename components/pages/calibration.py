"""The Calibration page: does AdaEDL's bound hold? Drawn by assets/js/explore/calibration.js from the
recording that Explore shows; adaedl.replay.calibration computes the numbers when the text is recorded."""

import gradio as gr

from components.parts.browser_part import browser_part
from components.parts.texts import text


def calibration_view() -> None:
    """Build the page, inside a tab."""
    gr.Markdown(text("calibration.introduction"), elem_id="calibration-introduction")
    browser_part("calibration", "", module="explore/calibration")
