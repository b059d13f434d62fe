"""Repeat: run the race of the controls several times with successive seeds, and summarise the races
(assets/js/repeats.js). Every repeat is a race like Run's: it waits for its turn on the device, the player
shows it, and Stop and the host's time limit end it."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace

import gradio as gr

from adaedl.repeats import check_count, summarise_repeats, without_rounds
from adaedl.trace import Trace
from components.pages.race import RaceEvents, RaceWork
from components.parts.browser_part import browser_part
from components.parts.controls import unchecked
from components.parts.messages import say
from components.parts.settings import RaceSettings, whole
from components.parts.texts import text
from components.serving.models_state import ModelsState
from components.serving.race_session import RaceUpdate, play

COUNT = 5  # the fewest races that give a confidence interval


class RepeatWork(RaceWork):
    """Several races, one after the other, as a job.

    Args:
        count: how many races; the unchecked value from the page.

    Attributes:
        finished: the finished races, reduced to their numbers.
    """

    def __init__(
        self, models: ModelsState, read: Callable[[], RaceSettings], visitor: str | None, count: object
    ):
        super().__init__(models, read, visitor)
        self.count = whole(count)
        self.finished: list[Trace] = []

    @property
    def state(self) -> int:
        """The number of finished races, on which the results depend."""
        return len(self.finished)

    @property
    def value(self) -> str:
        """The results; "" if there are none yet, which removes an earlier job's results."""
        finished = list(self.finished)
        return describe_repeats(finished, self.count) if finished else ""

    def play(self, settings: RaceSettings) -> Iterator[RaceUpdate]:
        """Yield the updates of every race; the last one ends the job."""
        check_count(self.count)
        settings.check()
        replace(settings, seed=settings.seed + self.count - 1).check()
        update = None
        for number in range(self.count):
            each = replace(settings, seed=settings.seed + number)
            with closing(play(self.models, each, self.session)) as updates:
                for update in updates:
                    if not update.ended:
                        yield self._numbered(update, number)
            if update.key != "page.status_finished":  # stopped, or ended by a limit of the host
                yield update
                return
            self.feed.end()
            self.finished.append(without_rounds(self.session.trace))
        yield RaceUpdate(say("repeat.finished", count=self.count), ended=True)

    def _numbered(self, update: RaceUpdate, number: int) -> RaceUpdate:
        if update.key != "page.status_racing":
            return update
        return RaceUpdate(say("repeat.racing", number=number + 1, count=self.count))


def describe_repeats(traces: list[Trace], count: int) -> str:
    """Return the value of the results: a summary of the finished races, and how many of `count` they are."""
    rows = summarise_repeats(traces)
    lanes = [
        {**asdict(row), "lane": _described(lane)} for row, lane in zip(rows, traces[0].lanes, strict=True)
    ]
    results = {
        "lanes": lanes,
        "done": len(traces),
        "count": count,
        "seeds": {"first": str(traces[0].seed), "last": str(traces[-1].seed)},
        "interval": any(row.speedup_low is not None for row in rows),
        "greedy": traces[0].sampling.greedy,
    }
    # The server never sends a literal <, so this text is harmless even if it is parsed as HTML.
    return json.dumps(results).replace("<", "\\u003c")


def _described(lane) -> dict:
    """Return the data that the browser needs to name a lane (titleOf in assets/js/trace.js)."""
    return {**asdict(lane), "metrics": None}


def repeat_view(race: RaceEvents) -> None:
    """Build the part, below the Race page's player, and connect it."""
    with gr.Column(elem_id="repeat-part"):
        gr.Markdown(text("repeat.about"))
        with gr.Row(equal_height=True):
            count = unchecked(
                gr.Number(COUNT, label=text("repeat.count"), elem_id="repeat-count", scale=0, min_width=170)
            )
            race.repeat.render()
        results = browser_part("repeats", "")

    race.show_results(race.start_by(race.repeat, RepeatWork, count), RepeatWork, results)
