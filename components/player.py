"""The player over a trace, drawn in the browser by assets/js/player.js, and what feeds it.

What the browser is given is lines of JSON that only ever grow while a race runs. gradio sends the
difference to the last value, so that an update carries the new rounds alone, and one that the browser
skips is made up for by the next.
"""

import json
from dataclasses import asdict, replace

import gradio as gr

from adaedl.trace import Trace
from components.assets import load_module


class RaceFeed:
    """The lines for one trace, finished or still growing. Line by line:

    {"trace": the trace without its rounds, "live": whether it grows, "seed": its seed's digits} begins it;
    {"lane": n, "round": a Round}, for every round;
    {"lane": n, "drop": characters, "text": more}: the lane's text, less its last `drop` UTF-16 units (a
    character may come in the bytes of several tokens), and `text` after it;
    {"end": true}: nothing more comes.
    """

    def __init__(self, trace: Trace, live: bool = True):
        self.trace = trace
        lanes = [replace(lane, rounds=[], token_ids=[], text="", metrics=None) for lane in trace.lanes]
        header = asdict(replace(trace, lanes=lanes))
        self.lines = [_line({"trace": header, "live": live, "seed": str(trace.seed)})]
        self.rounds_told = [0] * len(trace.lanes)
        self.text_told = [""] * len(trace.lanes)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def add_new_rounds(self) -> None:
        """Add what the trace has and the lines have not."""
        for number, lane in enumerate(self.trace.lanes):
            for played in lane.rounds[self.rounds_told[number] :]:
                self.lines.append(_line({"lane": number, "round": asdict(played)}))
            self.rounds_told[number] = len(lane.rounds)
            if lane.text != self.text_told[number]:
                self.lines.append(_line(_text_entry(number, self.text_told[number], lane.text)))
                self.text_told[number] = lane.text

    def end(self) -> None:
        """Add what is left, and that it is the end."""
        self.add_new_rounds()
        self.lines.append(_line({"end": True}))


def player_view() -> gr.HTML:
    """The component; its value is a RaceFeed's text."""
    return gr.HTML(
        value="",
        html_template='<div class="player"></div>',
        js_on_load=load_module("player.js"),
        apply_default_css=False,
        elem_id="player",
    )


def _text_entry(number: int, told: str, text: str) -> dict:
    same = next(
        (at for at, (a, b) in enumerate(zip(told, text, strict=False)) if a != b), min(len(told), len(text))
    )
    dropped = len(told[same:].encode("utf-16-le", "surrogatepass")) // 2
    return {"lane": number, "drop": dropped, "text": text[same:]}


def _line(entry: dict) -> str:
    # No < ever leaves the server as such, so that this text is harmless even where it is read as HTML.
    return json.dumps(entry, separators=(",", ":")).replace("<", "\\u003c") + "\n"
