"""The HTML file that plays a race: race.html with a race inserted.

`python -m components.race_page` builds race.html from the page's player. assets/js/race_page.js inserts races
in the same way.
"""

import json
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path

from adaedl.stopping import STOPPERS
from adaedl.stopping.describe import stopper_data

PAGE = Path(__file__).with_name("race.html")
TITLE, RACE, STOPPERS_HERE = "{{title}}", "{{race}}", "{{stoppers}}"  # placeholders in it
NAME = "AdaEDL"  # the player replaces this title by one with the prompt, in the reader's language
FRAME_HEIGHT = 640  # pixels, in a notebook
# The player runs scripts and saves files, and its link to the paper opens a tab. It cannot see the notebook.
SANDBOX = "allow-scripts allow-downloads allow-popups allow-popups-to-escape-sandbox"
ESCAPED = {ord("<"): "\\u003c", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@cache
def _page() -> str:
    return PAGE.read_text("utf-8")


def page_of(race_json: str, stoppers: Iterable[str], title: str = "") -> str:
    """Return the HTML file of a race.

    Args:
        race_json: the trace as JSON. Every `<` in it is escaped, so that its texts cannot become markup.
        stoppers: the names of its stoppers. race.html knows adaedl's own stoppers; the declarations of other
            registered stoppers are added.
        title: the title of the file; if empty, the prompt.
    """
    registered = [stopper_data(STOPPERS[name]) for name in dict.fromkeys(stoppers) if name in STOPPERS]
    external = [declaration for declaration in registered if not declaration["of_engine"]]
    values = {
        TITLE: escape(title.strip() or NAME),
        RACE: race_json.translate(ESCAPED),
        STOPPERS_HERE: json.dumps(external).translate(ESCAPED),
    }
    return re.sub(r"\{\{(?:title|race|stoppers)\}\}", lambda match: values[match[0]], _page())


def frame_of(page: str, title: str) -> str:
    """Return a frame with an HTML file, for a notebook. The styles and scripts of each cannot affect the
    other."""
    return (
        f'<iframe title="{escape(title)}" sandbox="{SANDBOX}" height="{FRAME_HEIGHT}" '
        f'style="width: 100%; border: 0" srcdoc="{escape(page)}"></iframe>'
    )
