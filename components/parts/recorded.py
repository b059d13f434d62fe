"""The recorded races of assets/examples, one of which plays when the page opens.

assets/js/recorded.js draws the list from assets/examples/index.json; assets/examples/make.sh remakes the
races. Recorded races need no server, so they play while the models load, and for visitors who wait.
"""

import json

import gradio as gr

from components.parts.browser_part import browser_part
from components.parts.folders import ASSETS
from components.parts.pair_note import offered_presets
from components.settings.hosting import may_have_second_pair

FOLDER = ASSETS / "examples"


def recorded_view() -> gr.HTML:
    """Return the list of recorded races."""
    return browser_part("recorded")


def second_pair() -> str | None:
    """Return the pair of the race that plays when the page opens, because a visitor's first Run uses that
    pair. It is loaded beside the host's first pair. None if it does not run here or only one pair may be
    loaded."""
    first, *_ = json.loads((FOLDER / "index.json").read_bytes())
    name = json.loads((FOLDER / first["file"]).read_bytes())["pair"]["name"]
    offered = any(preset.name == name for preset in offered_presets())
    return name if offered and may_have_second_pair() else None
