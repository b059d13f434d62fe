"""The player for a trace, drawn in the browser by assets/js/player.js, and the feed of its data.

The browser receives lines of JSON; a running race only adds lines. gradio sends the difference from the last
value, but each time it also copies and compares the whole value in the browser. So the server drops the
value's oldest lines from time to time. Lines are numbered, and a browser that has missed some requests them.
"""

import json
import secrets
import sys
import threading
from dataclasses import asdict, replace

import gradio as gr

from adaedl.trace import MAX_TRACE_BYTES, Trace
from components.parts.assets import load_module

WINDOW = 50_000  # characters of a value; more if the last updates are large
KEPT = 8  # a value has at least this many updates, so that a browser may skip some values


class RaceFeed:
    """The lines of JSON for one trace, finished or still growing:

    {"trace": the trace without its rounds, "live": whether it grows, "seed": the digits of its seed,
    "most_bytes": the size limit of a file that the page opens} comes first;
    {"lane": n, "round": a Round}: a new round;
    {"lane": n, "drop": number, "text": more}: remove the last `drop` UTF-16 units of the lane's text, then
    append `text` (a character may come in the bytes of several tokens);
    {"lane": n, "drop": number, "pieces": more}: the same for the lane's list of pieces;
    {"token_bytes": more}: new entries of the trace's `token_bytes`;
    {"lane": n, "difference": a TextDifference}: the lane's text differs from the target's;
    {"lane": n, "failure": a sentence}: the lane's stopper ended the lane early;
    {"end": true}: the last line.

    A value for the browser has some of the lines, after {"feed": the feed's name, "from": the number of the
    first line}.

    One thread may add lines while others read them.

    Attributes:
        size: the bytes of the lines.
    """

    def __init__(self, trace: Trace, live: bool = True):
        self.trace = trace
        self.name = secrets.token_hex(8)
        lanes = [
            replace(
                lane,
                rounds=[],
                token_ids=[],
                text="",
                pieces=[],
                metrics=None,
                text_difference=None,
                failure="",
            )
            for lane in trace.lanes
        ]
        header = asdict(replace(trace, lanes=lanes, token_bytes={}))
        self.lines: list[str] = []
        self.size = 0
        self._rounds_sent = [0] * len(trace.lanes)
        self._text_sent = [""] * len(trace.lanes)
        self._pieces_sent: list[list[str]] = [[] for _ in trace.lanes]
        self._token_bytes_sent: set[str] = set()
        self._differences_sent: set[int] = set()
        self._failures_sent: set[int] = set()
        self._first = 0  # the first line of the window
        self._updates: list[int] = []  # the number of lines before each update
        self._lock = threading.RLock()
        self._ended = False
        self._add({"trace": header, "live": live, "seed": str(trace.seed), "most_bytes": MAX_TRACE_BYTES})

    @property
    def text(self) -> str:
        """All lines, for a browser that has none."""
        with self._lock:
            return self._value(0)

    def new_text(self) -> str:
        """Return the lines for a browser that follows the race: the previous value or only its end, and the
        new lines."""
        with self._lock:
            self._updates.append(len(self.lines))
            value = self._value(self._first)
            if len(value) > WINDOW and len(self._updates) > KEPT:
                end = self._value(self._updates[-KEPT - 1])
                if len(value) > 3 * len(end):  # rarely, because the browser receives the kept part again
                    self._first, value = self._updates[-KEPT - 1], end
            return value

    def add_new_rounds(self) -> None:
        """Add a line for everything in the trace that the lines lack. Nothing may change the trace during
        this.
        """
        with self._lock:
            if self._ended:
                return
            new = self.trace.token_bytes.keys() - self._token_bytes_sent
            if new:
                self._add({"token_bytes": {token: self.trace.token_bytes[token] for token in sorted(new)}})
                self._token_bytes_sent |= new
            for number, lane in enumerate(self.trace.lanes):
                for round_ in lane.rounds[self._rounds_sent[number] :]:
                    self._add_line(f'{{"lane":{number},"round":{_harmless(round_.to_json())}}}\n')
                    self._rounds_sent[number] += 1
                if lane.text != self._text_sent[number]:
                    self._add(_text_entry(number, self._text_sent[number], lane.text))
                    self._text_sent[number] = lane.text
                if lane.pieces != self._pieces_sent[number]:
                    self._add(_pieces_entry(number, self._pieces_sent[number], lane.pieces))
                    self._pieces_sent[number] = list(lane.pieces)
                if lane.text_difference and number not in self._differences_sent:
                    self._add({"lane": number, "difference": asdict(lane.text_difference)})
                    self._differences_sent.add(number)
                if lane.failure and number not in self._failures_sent:
                    self._add({"lane": number, "failure": lane.failure})
                    self._failures_sent.add(number)

    def end(self) -> None:
        """Add the remaining lines and the last one; release the trace."""
        with self._lock:
            if not self._ended:
                self.add_new_rounds()
                self._add({"end": True})
                self._ended, self.trace = True, None

    def _add(self, entry: dict) -> None:
        self._add_line(_line(entry))

    def _add_line(self, line: str) -> None:
        self.lines.append(line)
        self.size += sys.getsizeof(line)

    def _value(self, first: int) -> str:
        return _line({"feed": self.name, "from": first}) + "".join(self.lines[first:])


def player_view() -> gr.HTML:
    """Return the component; its value is a RaceFeed's text."""
    return gr.HTML(
        value="",
        html_template='<div class="player"></div>',
        js_on_load=load_module("player.js"),
        apply_default_css=False,
        elem_id="player",
    )


def _text_entry(number: int, sent: str, text: str) -> dict:
    same = next(
        (at for at, (a, b) in enumerate(zip(sent, text, strict=False)) if a != b), min(len(sent), len(text))
    )
    dropped = len(sent[same:].encode("utf-16-le", "surrogatepass")) // 2
    return {"lane": number, "drop": dropped, "text": text[same:]}


def _pieces_entry(number: int, sent: list[str], pieces: list[str]) -> dict:
    same = len(sent)
    while pieces[:same] != sent[:same]:  # only the last few pieces change
        same -= 1
    return {"lane": number, "drop": len(sent) - same, "pieces": pieces[same:]}


def _line(entry: dict) -> str:
    return _harmless(json.dumps(entry, separators=(",", ":"))) + "\n"


def _harmless(text: str) -> str:
    # The server never sends a literal <, so this text is harmless even if it is parsed as HTML.
    return text.replace("<", "\\u003c")
