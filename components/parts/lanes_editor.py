"""The editor of lanes: the stoppers to race, in order, each with its settings.

assets/js/lanes_editor.js draws it. Its value is a JSON list of specs, such as
["autoregressive", "adaedl:threshold=0.5"]; its menu and forms follow the stoppers' declarations.
"""

import json
from collections.abc import Sequence

import gradio as gr

from adaedl.errors import UserError
from adaedl.request import DEFAULT_LANES
from adaedl.stopping import format_spec, make_stopper
from components.parts.browser_part import browser_part
from components.parts.settings import MAX_LANES
from components.parts.texts import in_all_languages


def lanes_editor(
    name: str = "lanes",
    lanes: Sequence[str] = DEFAULT_LANES,
    most: int = MAX_LANES,
    *,
    of_pair: bool = False,
) -> gr.HTML:
    """Return the component with the elem_id `name`, the initial value `lanes` and room for `most` lanes.

    With `of_pair`, the editor marks the lane that is tuned for the pair chosen in the menu of pairs.
    """
    return browser_part(
        name,
        json.dumps(list(lanes)),
        module="lanes_editor",
        most=most,
        of_pair=of_pair,
        server_functions=[check_lane],
    )


def check_lane(spec: str) -> dict[str, object]:
    """Return a spec in its shortest form with all its settings, or an error sentence in every language."""
    try:
        stopper = make_stopper(str(spec))
    except UserError as error:
        return {"error": in_all_languages(error.sentence)}
    return {"spec": format_spec(stopper), "settings": stopper.settings}
