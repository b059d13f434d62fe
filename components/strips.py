"""A strip of tokens per lane, drawn in the browser by assets/strips.js.

What the browser is given is lines of JSON that only ever grow while a race runs. gradio sends the
difference to the last value, so that an update carries the new rounds alone, and one that the browser
skips is made up for by the next.
"""

import json
import uuid
from pathlib import Path

import gradio as gr

from adaedl.trace import Lane, Round, Trace
from components.metrics_table import describe, format_metric
from components.words import KINDS, lane_title, stop_words, token_marks

SCRIPT = Path(__file__).resolve().parents[1] / "assets" / "strips.js"
HEAD_METRICS = ("speedup", "tokens_per_s", "acceptance_rate", "draft_length", "block_efficiency")


class StripFeed:
    """The lines for one race. Line by line:

    {"race": id, "lanes": [label …]} begins it;
    {"lane": n, "round": i, "tokens": [[kind, text, words] …], "stop": [reason, words] | null};
    {"heads": [[[metric, text, words] …] …], "same": [true | false | null …]}, the lanes' numbers so far.
    """

    def __init__(self, trace: Trace):
        self.trace = trace
        self.lines = [_line({"race": uuid.uuid4().hex, "lanes": [lane_title(lane) for lane in trace.lanes]})]
        self.rounds_told = [0] * len(trace.lanes)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def add_new_rounds(self) -> None:
        """Add what the trace has and the lines have not."""
        for number, lane in enumerate(self.trace.lanes):
            for index in range(self.rounds_told[number], len(lane.rounds)):
                self.lines.append(_line(round_entry(number, index, lane)))
            self.rounds_told[number] = len(lane.rounds)

    def add_numbers(self) -> None:
        """Add the lanes' metrics as they are now."""
        heads, same = [], []
        for lane in self.trace.lanes:
            values = [(name, getattr(lane.metrics, name, None)) for name in HEAD_METRICS]
            heads.append([[n, format_metric(n, v), describe(n)] for n, v in values if v is not None])
            baseline = lane.stopper == "autoregressive"
            same.append(lane.metrics.same_text if lane.metrics and not baseline else None)
        self.lines.append(_line({"heads": heads, "same": same}))


def round_entry(number: int, index: int, lane: Lane) -> dict:
    """What the browser draws of a lane's round: its tokens in order, and why its draft ended."""
    played: Round = lane.rounds[index]
    words = stop_words(played, lane.stopper)
    return {
        "lane": number,
        "round": index,
        "tokens": [[mark.kind, mark.text, mark.words] for mark in token_marks(played)],
        "stop": [played.stop_reason, words] if words else None,
    }


def strips_view() -> gr.HTML:
    """The component; its value is a StripFeed's text."""
    return gr.HTML(
        value="",
        html_template='<div class="strips"></div>',
        js_on_load=SCRIPT.read_text("utf-8"),
        apply_default_css=False,
        elem_id="strips",
    )


def legend_html() -> str:
    """What the marks mean. Made of constants only."""
    tokens = "".join(
        f'<li><span class="token" data-kind="{kind}">token</span> {words}</li>'
        for kind, words in KINDS.items()
    )
    stops = "".join(
        f'<li><span class="stop" data-reason="{reason}"></span> {words}</li>'
        for reason, words in (
            ("threshold", "drafting stopped: the score fell below λ"),
            ("max_draft", "drafting stopped: as many tokens as it may"),
            ("eos", "drafting stopped: the text ended"),
            ("length", "drafting stopped: the length asked for"),
        )
    )
    return f'<ul class="legend" aria-label="What the marks mean">{tokens}{stops}</ul>'


def _line(entry: dict) -> str:
    # No < ever leaves the server as such, so that this text is harmless even where it is read as HTML.
    return json.dumps(entry, separators=(",", ":")).replace("<", "\\u003c") + "\n"
