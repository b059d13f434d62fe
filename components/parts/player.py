"""The player over a trace, drawn in the browser by assets/js/player.js, and the feed of its data.

The browser is given lines of JSON, which only grow in number while a race runs. gradio sends the difference
to the last value, but each time it also copies and compares the whole value in the browser, so the value is
cut off at its beginning now and then. Lines are numbered: a browser that has missed some asks for them.
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
KEPT = 8  # the fewest updates in a value, so that a browser may skip all but the last


class RaceFeed:
    """The lines of JSON for one trace, finished or still growing. Line by line:

    {"trace": the trace without its rounds, "live": whether it grows, "seed": its seed's digits,
    "most_bytes": of a file that can be opened again} begins it;
    {"lane": n, "round": a Round}, for every round;
    {"lane": n, "drop": characters, "text": more}: the lane's text, less its last `drop` UTF-16 units (a
    character may come in the bytes of several tokens), and `text` after it;
    {"lane": n, "drop": pieces, "pieces": more}: the lane's pieces likewise;
    {"token_bytes": more}: the trace's `token_bytes` that are new;
    {"lane": n, "difference": a TextDifference}, where the lane's text is not the target's;
    {"end": true}: nothing more comes.

    A value for the browser is some of them, after {"feed": which one, "from": the number of the first}.

    Lines may be added in one thread and read in others.

    Attributes:
        size: bytes that its lines take.
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
            )
            for lane in trace.lanes
        ]
        header = asdict(replace(trace, lanes=lanes, token_bytes={}))
        self.lines: list[str] = []
        self.size = 0
        self.rounds_told = [0] * len(trace.lanes)
        self.text_told = [""] * len(trace.lanes)
        self.pieces_told: list[list[str]] = [[] for _ in trace.lanes]
        self.token_bytes_told: set[str] = set()
        self.differences_told: set[int] = set()
        self._first = 0  # of the window
        self._updates: list[int] = []  # the number of lines at each
        self._lock = threading.RLock()
        self._ended = False
        self._add({"trace": header, "live": live, "seed": str(trace.seed), "most_bytes": MAX_TRACE_BYTES})

    @property
    def text(self) -> str:
        """Return all lines, for a browser that has none."""
        with self._lock:
            return self._value(0)

    def new_text(self) -> str:
        """Return the lines so far for a browser that follows: the last value and what is new, or only its end
        and what is new."""
        with self._lock:
            self._updates.append(len(self.lines))
            value = self._value(self._first)
            if len(value) > WINDOW and len(self._updates) > KEPT:
                end = self._value(self._updates[-KEPT - 1])
                if len(value) > 3 * len(end):  # seldom, because the kept part is sent again
                    self._first, value = self._updates[-KEPT - 1], end
            return value

    def add_new_rounds(self) -> None:
        """Add the rounds of the trace that the lines lack. Nothing may write to the trace meanwhile."""
        with self._lock:
            if self._ended:
                return
            new = self.trace.token_bytes.keys() - self.token_bytes_told
            if new:
                self._add({"token_bytes": {token: self.trace.token_bytes[token] for token in sorted(new)}})
                self.token_bytes_told |= new
            for number, lane in enumerate(self.trace.lanes):
                for played in lane.rounds[self.rounds_told[number] :]:
                    self._add_line(f'{{"lane":{number},"round":{_harmless(played.to_json())}}}\n')
                    self.rounds_told[number] += 1
                if lane.text != self.text_told[number]:
                    self._add(_text_entry(number, self.text_told[number], lane.text))
                    self.text_told[number] = lane.text
                if lane.pieces != self.pieces_told[number]:
                    self._add(_pieces_entry(number, self.pieces_told[number], lane.pieces))
                    self.pieces_told[number] = list(lane.pieces)
                if lane.text_difference and number not in self.differences_told:
                    self._add({"lane": number, "difference": asdict(lane.text_difference)})
                    self.differences_told.add(number)

    def end(self) -> None:
        """Add the rest and the end; the trace is not needed afterwards."""
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


def _text_entry(number: int, told: str, text: str) -> dict:
    same = next(
        (at for at, (a, b) in enumerate(zip(told, text, strict=False)) if a != b), min(len(told), len(text))
    )
    dropped = len(told[same:].encode("utf-16-le", "surrogatepass")) // 2
    return {"lane": number, "drop": dropped, "text": text[same:]}


def _pieces_entry(number: int, told: list[str], pieces: list[str]) -> dict:
    same = len(told)
    while pieces[:same] != told[:same]:  # only the last few pieces change
        same -= 1
    return {"lane": number, "drop": len(told) - same, "pieces": pieces[same:]}


def _line(entry: dict) -> str:
    return _harmless(json.dumps(entry, separators=(",", ":"))) + "\n"


def _harmless(text: str) -> str:
    # The server never sends a literal <, so this text is harmless even if it is parsed as HTML.
    return text.replace("<", "\\u003c")
