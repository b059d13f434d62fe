"""The editor of lanes: which stoppers race, in which order, each with its own settings.

Drawn by assets/js/lanes_editor.js. Its value is a JSON list of specs, such as
["autoregressive", "adaedl:threshold=0.5"]; what a stopper takes, and what its values may be, is asked of
the registry, so that a new stopper needs nothing here.
"""

import inspect
import json
import re
from collections.abc import Sequence

import gradio as gr

from adaedl.errors import UserError
from adaedl.request import DEFAULT_LANES
from adaedl.stopping import LIVE_STOPPERS, Stopper, format_spec, make_stopper, setting_names
from components.parts.browser_part import browser_part
from components.parts.settings import MAX_LANES
from components.parts.texts import in_all_languages


def lanes_editor(name: str = "lanes", lanes: Sequence[str] = DEFAULT_LANES, most: int = MAX_LANES) -> gr.HTML:
    """The component, with the elem_id `name`, holding `lanes` at first and `most` of them at most."""
    return browser_part(
        name,
        json.dumps(list(lanes)),
        module="lanes_editor",
        stoppers=[describe(stopper) for stopper in LIVE_STOPPERS.values()],
        most=most,
        server_functions=[check_lane],
    )


def check_lane(spec: str) -> dict[str, object]:
    """A spec as it is written shortest, with all its settings; or what is wrong with it, in a sentence."""
    try:
        stopper = make_stopper(str(spec))
    except UserError as error:
        return {"error": in_all_languages(error.sentence)}
    return {"spec": format_spec(stopper), "settings": stopper.settings}


def describe(stopper: type[Stopper]) -> dict[str, object]:
    """What the editor's menu and form need to know of a stopper."""
    defaults = {**make_stopper(stopper.name).settings}
    settings = [
        {
            "name": name,
            "value": defaults[name],
            "optional": default is None,
            "switch": isinstance(default, bool),
            "whole": isinstance(defaults[name], int),
            "range": None if isinstance(default, bool) else setting_range(stopper.name, name),
        }
        for name, default in setting_names(stopper).items()
        if default is not inspect.Parameter.empty
    ]
    return {"name": stopper.name, "summary": stopper.summary, "source": stopper.source, "settings": settings}


def setting_range(stopper: str, setting: str) -> list[float] | None:
    """The least and the most that a number setting takes, in the stopper's own words for a bad one."""
    try:
        make_stopper(f"{stopper}:{setting}=?")
    except UserError as error:
        found = re.search(r"from (\S+) to (\S+)\.$", str(error))
        return [float(found[1]), float(found[2])] if found else None
    return None
