"""The line under the menu of pairs: what the chosen pair teaches, and which pairs are not offered here.

assets/js/pair_note.js draws it. It also knows each pair's default lanes, which the lanes follow until the
visitor changes them.
"""

import gradio as gr

from adaedl.errors import Sentence
from adaedl.pairs.presets import PRESETS, Preset
from adaedl.request import DEFAULT_LANES
from components.parts.browser_part import browser_part
from components.parts.texts import in_all_languages
from components.settings.hosting import why_no_int8_pairs


def pair_note(chosen: str) -> gr.HTML:
    """Return the component; its value is the name of the chosen pair, initially `chosen`."""
    return browser_part(
        "pair-note",
        chosen,
        module="pair_note",
        pairs=[_page_data(preset) for preset in offered_presets()],
        lanes=list(DEFAULT_LANES),
        missing=in_all_languages(missing) if (missing := _not_offered()) else None,
    )


def offered_presets() -> list[Preset]:
    """Return the presets that run on this machine's device."""
    has_int8 = why_no_int8_pairs() is None
    return [preset for preset in PRESETS.values() if has_int8 or not preset.needs_int8]


def _page_data(preset: Preset) -> dict:
    return {
        "name": preset.name,
        "about": in_all_languages(Sentence(preset.description)),
        "lanes": list(preset.lanes),
        "tuned": preset.tuned,
    }


def _not_offered() -> Sentence | None:
    """Return the presets that are not offered here, and the reason; None if all are offered."""
    reason = why_no_int8_pairs()
    names = [preset.name for preset in PRESETS.values() if preset.needs_int8]
    return reason and Sentence("Not offered here: {}, because {}.", ", ".join(names), reason)
