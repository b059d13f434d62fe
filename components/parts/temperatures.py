"""Races at several temperatures side by side, drawn in the browser by assets/js/temperatures/panel.js."""

import json
from dataclasses import dataclass

import gradio as gr

from components.parts.browser_part import browser_part
from components.parts.player import RaceFeed
from components.parts.texts import text

TEMPERATURES = (0, 0.7, 1.3)


@dataclass(frozen=True)
class ComparedRace:
    """One race of a comparison, after its end.

    Attributes:
        feed: the race's lines for the player.
        whole: whether the race ran to the end of its text.
    """

    feed: RaceFeed
    whole: bool


def comparison_value(races: list[ComparedRace], running: int | None) -> str:
    """Return the panel's value: the races that have ended, in the order of TEMPERATURES.

    Args:
        running: the index of the race that runs or waits for the device; None if there is no such race.
    """
    ended = [{"feed": race.feed.text, "whole": race.whole} for race in races]
    return json.dumps({"temperatures": TEMPERATURES, "races": ended, "running": running})


def temperatures_panel(compare: gr.Button) -> gr.HTML:
    """Build the panel, with an introduction and the button that fills it above; return the panel."""
    with gr.Column(elem_id="temperatures-part"):
        gr.Markdown(text("temperatures.introduction"))
        with gr.Row():
            compare.render()
        return browser_part("temperatures", "", module="temperatures/panel")
