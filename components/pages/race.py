"""The Race page: an introduction, a race at a glance, the controls, and the player. The same player draws a
live race, a recorded one and one from a file."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Protocol
from urllib.parse import parse_qs

import gradio as gr

from adaedl.errors import UserError
from adaedl.metrics import compute_metrics
from adaedl.request import MAX_LANES
from adaedl.trace import Trace
from components.parts.assets import open_module
from components.parts.browser_events import when_over
from components.parts.browser_part import browser_part
from components.parts.controls import EXAMPLES, Controls, controls_view, defaults
from components.parts.first_prompt import begin_in_language
from components.parts.messages import say, say_error
from components.parts.player import RaceFeed, player_view
from components.parts.recorded import recorded_view
from components.parts.settings import RaceSettings, draws_other_noise
from components.parts.texts import text, text_with_link
from components.serving.api import add_api
from components.serving.jobs import GRACE_S
from components.serving.models_state import ModelsState, describe_models
from components.serving.race_session import RaceUpdate, Session, play
from components.settings.hosting import host

PRIVATE = {"show_progress": "hidden", "api_visibility": "private"}

TRACE_BYTES = 4  # bytes of memory per byte of a trace's lines (measured: 3.3)
FAILED = UserError("The race failed; try again. The server log has the reason.")

log = logging.getLogger(__name__)


class RaceWork:
    """A race as a job (components/serving/jobs.py)."""

    grace_s = GRACE_S

    def __init__(self, models: ModelsState, read: Callable[[], RaceSettings], visitor: str | None):
        self.models = models
        self.read = read
        self.session = Session(visitor=visitor)

    @property
    def feed(self) -> RaceFeed | None:
        """The player's feed, once the race has begun."""
        return self.session.feed

    @property
    def size(self) -> int:
        """The bytes of the feed, and of the trace while it grows."""
        feed = self.feed  # read once, because another thread may replace it
        if feed is None:
            return 0
        return feed.size * (1 + (TRACE_BYTES if self.session.trace else 0))

    def stop(self) -> None:
        """End the race within a round."""
        self.session.stop_requested = True

    def run(self) -> Iterator[RaceUpdate]:
        """Yield the updates of the race; the last one comes once the race has freed the device. If the
        settings are invalid or the race fails, the last update says so."""
        last = None
        try:
            settings = self.read()
            self.read = None  # frees the values of the controls, which may be long
            with closing(self.play(settings)) as updates:
                for last in updates:
                    if self.feed:
                        self.feed.add_new_rounds()
                    if not last.ended:
                        yield last
        except UserError as error:
            last = RaceUpdate(say_error(error), ended=True)
        except Exception:
            log.exception("a race failed")
            last = RaceUpdate(say_error(FAILED), ended=True)
        finally:
            if self.feed:
                self.feed.end()
            self.session.trace = None
        yield last

    def play(self, settings: RaceSettings) -> Iterator[RaceUpdate]:
        """Yield the updates of the race with these settings; the last one has ended."""
        return play(self.models, settings, self.session)


class PanelWork(Protocol):
    """Work whose results a panel of the page shows.

    Attributes:
        state: a value that changes whenever `value` does, and is cheap to compare.
        value: the panel's value.
    """

    state: object
    value: str


def race_view(page: gr.Blocks, models: ModelsState, job: gr.HTML) -> "RaceEvents":
    """Build the page, inside a tab; return its events, so that other parts can connect to them. This loads no
    models.

    Args:
        job: identifies the tab's race (`kept_job`).
    """
    with gr.Row(elem_id="introduction"):
        gr.Markdown(_introduction())
    gr.HTML(html_template='<div class="place"></div>', elem_id="hero", apply_default_css=False)
    controls = controls_view(models.default)
    with gr.Row(elem_id="lines"):
        recorded_view()
        controls.link.render()
        models_line = browser_part("models", describe_models(models.state, models.pair))
        # At the end of the line, so that nothing moves them when it appears.
        controls.share.render()
        controls.open_trace.render()
    controls.status.render()
    player = player_view()
    compare = gr.Button(
        text("temperatures.run"),
        elem_id="compare-temperatures",
        size="md",
        scale=0,
        min_width=240,
        render=False,
    )
    repeat = gr.Button(text("repeat.run"), elem_id="repeat", scale=0, min_width=140, render=False)
    events = RaceEvents(models, job, controls, models_line, player, compare, repeat)
    _wire_race(events)
    _wire_link(page, models, controls)
    _wire_open(controls, player)
    _wire_models(page, models, models_line)
    add_api(page, models)
    return events


def _introduction():
    """Return what AdaEDL is, with links to the paper and, where the host names one, to the source code."""
    repository = host().repository
    if repository is None:
        return text("page.introduction")
    return text_with_link("page.introduction", "page.repository", repository)


class RaceEvents:
    """Handlers of Run, Stop and the race's progress, for a new page and one that was reloaded. The button
    `compare` runs a race at several temperatures (components/pages/temperatures.py), and `repeat` runs it
    with several seeds (components/pages/repeat.py)."""

    def __init__(
        self,
        models: ModelsState,
        job: gr.HTML,
        controls: Controls,
        models_line: gr.HTML,
        player: gr.HTML,
        compare: gr.Button,
        repeat: gr.Button,
    ):
        self.models = models
        self.job = job
        self.controls = controls
        self.models_line = models_line
        self.player = player
        self.compare = compare
        self.repeat = repeat
        self.starters = [controls.run, compare, repeat]

    def start_by(
        self, button: gr.Button, kind: Callable[..., RaceWork], *more: gr.components.Component
    ) -> gr.events.Dependency:
        """Let a button start work of a kind, and follow it; return the event that starts it. The values of
        `more` become further arguments of `kind`."""
        models, job, controls = self.models, self.job, self.controls
        count = len(controls.inputs)

        def start(request: gr.Request, before: str, *values):
            models.jobs.stop(before)  # still running if this tab has followed a link since
            models.jobs.forget(before)
            work = kind(models, lambda: controls.read(*values[:count]), request.session_hash, *values[count:])
            return {
                job: models.jobs.start(work),
                controls.status: say("page.status_starting"),
                **self._buttons(running=True),
            }

        started = button.click(
            start,
            [job, *controls.inputs, *more],
            [job, controls.status, controls.stop, *self.starters],
            js=f"(job, ...values) => {{ "
            f"{open_module('share.js')}.then((share) => share.remember(values.slice(0, {count}))); "
            "return [job, ...values]; }",
            queue=False,
            **PRIVATE,
        )
        self.follow_after(started.then)
        return started

    def follow_after(self, listen: Callable) -> None:
        """Follow the tab's race after an event, to which `listen` adds a handler."""
        controls = self.controls
        shown = [controls.status, self.models_line, self.player, controls.stop, *self.starters]
        race = listen(self.follow, self.job, shown, concurrency_limit=None, **PRIVATE)
        when_over(race, self.starters, [controls.stop])

    def show_results(
        self, started: gr.events.Dependency, kind: type[PanelWork], panel: gr.components.Component
    ) -> None:
        """Let a panel show the results of the tab's work of a kind, after the work has started and after the
        page was reloaded."""

        def follow(name: str) -> Iterator[str]:
            work = self.models.jobs.find(name, kind)
            if work is None:
                yield gr.skip()
                return
            shown = None
            for _ in self.models.jobs.follow(name):
                state = work.state
                yield gr.skip() if state == shown else work.value
                shown = state

        for listen in (started.then, self.job.input):
            listen(follow, self.job, panel, concurrency_limit=None, **PRIVATE)

    def _buttons(self, running: bool) -> dict:
        return {
            **{button: gr.Button(interactive=not running) for button in self.starters},
            self.controls.stop: gr.Button(interactive=running),
        }

    def follow(self, name: str):
        models, status = self.models, self.controls.status
        work = models.jobs.find(name, RaceWork)
        if work is None:
            yield {status: say("page.status_forgotten")} if name else gr.skip()
            return
        words = shown = None
        if models.jobs.is_under_way(name):
            yield self._buttons(running=True)
        for update in models.jobs.follow(name):
            changes = {}
            if update.words != words:
                changes[status] = words = update.words
            feed = work.feed  # read once, because another thread may replace it
            if feed is None or shown is None:  # the models load until the first feed
                changes[self.models_line] = describe_models(models.state, models.pair)
            if feed is not None:
                changes[self.player] = feed.new_text() if feed is shown else feed.text
                shown = feed
            yield changes or gr.skip()

    def stop(self, name: str) -> None:
        # Without words, which could arrive after the race's last ones and replace them.
        self.models.jobs.stop(name)

    def send_all_lines(self, name: str):
        work = self.models.jobs.find(name, RaceWork)
        feed = work and work.feed
        return feed.text if feed else gr.skip()


def _wire_race(events: RaceEvents) -> None:
    """Connect Run, Stop and Share, and the race to the player."""
    job, controls, player = events.job, events.controls, events.player
    # The player requests all lines if it misses some, see RaceFeed.
    player.input(events.send_all_lines, job, player, queue=False, **PRIVATE)

    events.start_by(controls.run, RaceWork)
    events.follow_after(job.input)
    controls.stop.click(events.stop, job, queue=False, **PRIVATE)
    controls.share.click(
        None,
        controls.inputs,
        js=f"(...values) => {{ {open_module('share.js')}.then((share) => share.copy(values)); }}",
        **PRIVATE,
    )


def _wire_link(page: gr.Blocks, models: ModelsState, controls: Controls) -> None:
    """Let a link with settings set every control. The race starts with a click on Run, or at once if the link
    was clicked on the page itself. A page that reloads and follows its earlier race (`followed`) only sets
    its controls."""
    default = defaults(models.default)

    def open_link(query: str):
        query = str(query or "")
        try:
            settings = RaceSettings.from_query(query, default)
            if settings is None:
                return {controls.link: ""}
            settings.check()
        except UserError as error:
            return {controls.link: "", controls.status: say_error(error)}
        values = dict(zip(controls.inputs, controls.values(settings), strict=True))
        values[controls.note] = settings.pair
        if "followed" in parse_qs(query):
            return {controls.link: "", **values}
        differs = draws_other_noise(settings, query)
        return {
            controls.link: "waits" if differs else "runs",
            controls.status: say("page.status_linked_noise" if differs else "page.status_linked"),
            **values,
        }

    begin_in_language(page, controls.inputs[0], EXAMPLES[0])
    share = open_module("share.js")
    page.load(
        open_link,
        controls.link,
        [controls.link, controls.status, controls.note, *controls.inputs],
        js=f"async () => [await (await {share}).opened()]",
        queue=False,
        **PRIVATE,
    ).then(
        None,
        controls.link,
        None,
        js=f"async (link) => {{ (await {share}).setUp(link); }}",
        **PRIVATE,
    )


def _wire_open(controls: Controls, player: gr.HTML) -> None:
    """Open a trace from a file: check it here and play it in the browser."""

    def open_trace(content: bytes):
        try:
            trace = Trace.from_json(content or b"")
            if len(trace.lanes) > MAX_LANES:
                raise UserError(
                    "This trace has {} lanes; the page shows at most {}.", len(trace.lanes), MAX_LANES
                )
        except UserError as error:
            return {controls.status: say_error(error)}
        compute_metrics(trace)  # do not trust the file's
        feed = RaceFeed(trace, live=False)
        feed.end()
        words = say(
            "page.status_opened",
            created=trace.created,
            pair=trace.pair.name,
            device=f"{trace.device}/{trace.dtype}",
        )
        return {controls.status: words, player: feed.text}

    controls.open_trace.upload(open_trace, controls.open_trace, [controls.status, player], **PRIVATE)


def _wire_models(page: gr.Blocks, models: ModelsState, models_line: gr.HTML) -> None:
    """Show the progress of loading the models."""
    timer = gr.Timer(0.5)

    def poll():
        models.try_again()
        settled = models.state.phase in ("ready", "failed")
        return describe_models(models.state, models.pair), gr.Timer(active=not settled)

    page.load(poll, None, [models_line, timer], queue=False, **PRIVATE)
    timer.tick(poll, None, [models_line, timer], queue=False, **PRIVATE)
