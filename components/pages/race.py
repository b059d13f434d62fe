"""The Race page: controls above, the player below. The same player draws a live race, a recorded one and one
from an opened file."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import parse_qs

import gradio as gr

from adaedl.errors import UserError
from adaedl.metrics import compute_metrics
from adaedl.request import MAX_LANES
from adaedl.trace import Trace
from components.parts.assets import module_address
from components.parts.browser_events import when_over
from components.parts.browser_part import browser_part
from components.parts.controls import Controls, controls_view, defaults
from components.parts.messages import say, say_error
from components.parts.player import RaceFeed, player_view
from components.parts.recorded import recorded_view
from components.parts.settings import RaceSettings, draws_other_noise
from components.parts.texts import text
from components.serving.api import add_api
from components.serving.jobs import GRACE_S
from components.serving.models_state import ModelsState, describe_models
from components.serving.race_session import RaceUpdate, Session, play

PRIVATE = {"show_progress": "hidden", "api_visibility": "private"}

TRACE_BYTES = 4  # bytes of memory per byte of a trace's lines; 3.3 were measured
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
        """The player's feed, once there is a race."""
        return self.session.feed

    @property
    def size(self) -> int:
        """The bytes of the feed, and of the trace while it grows."""
        if self.feed is None:
            return 0
        return self.feed.size * (1 + (TRACE_BYTES if self.session.trace else 0))

    def stop(self) -> None:
        """End the race within a round."""
        self.session.stop_requested = True

    def run(self) -> Iterator[RaceUpdate]:
        """Yield the updates of the race. The last one comes once the race has let go of the device; it also
        says what was wrong with the settings, or that the race failed."""
        last = None
        try:
            settings = self.read()
            self.read = None  # with the values of the controls, which may be long
            with closing(play(self.models, settings, self.session)) as updates:
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


def race_view(page: gr.Blocks, models: ModelsState, job: gr.HTML) -> None:
    """Build the race page's parts, inside a tab. This loads nothing.

    Args:
        job: identifies the tab's race (`kept_job`).
    """
    with gr.Row(elem_id="introduction"):
        gr.Markdown(text("page.introduction"))
    controls = controls_view(models.default)
    with gr.Row(elem_id="lines"):
        recorded_view()
        models_line = browser_part("models", describe_models(models.state, models.pair))
    player = player_view()
    _wire_race(RaceEvents(models, job, controls, models_line, player))
    _wire_link(page, models, controls)
    _wire_open(controls, player)
    _wire_models(page, models, models_line)
    add_api(models)


class RaceEvents:
    """What Run, Stop and following a race do, before and after the page is reloaded."""

    def __init__(
        self, models: ModelsState, job: gr.HTML, controls: Controls, models_line: gr.HTML, player: gr.HTML
    ):
        self.models = models
        self.job = job
        self.controls = controls
        self.models_line = models_line
        self.player = player

    def run(self, request: gr.Request, before: str, *values):
        models, controls = self.models, self.controls
        models.jobs.stop(before)  # of this tab, which has followed a link meanwhile
        models.jobs.forget(before)
        work = RaceWork(models, lambda: controls.read(*values), request.session_hash)
        return {
            self.job: models.jobs.start(work),
            controls.status: say("page.status_starting"),
            **_buttons(controls, running=True),
        }

    def follow(self, name: str):
        models, status = self.models, self.controls.status
        work = models.jobs.find(name, RaceWork)
        if work is None:
            yield {status: say("host.status_forgotten")} if name else gr.skip()
            return
        said, begun = None, False
        if models.jobs.is_under_way(name):
            yield _buttons(self.controls, running=True)
        for update in models.jobs.follow(name):
            changes = {}
            if update.words != said:
                changes[status] = said = update.words
            if work.feed is None:
                changes[self.models_line] = describe_models(models.state, models.pair)
            else:
                changes[self.player] = work.feed.new_text() if begun else work.feed.text
                begun = True
            yield changes or gr.skip()

    def stop(self, name: str) -> None:
        # Says nothing: its words could arrive after the race's last ones, and would then stay.
        self.models.jobs.stop(name)

    def whole(self, name: str):
        work = self.models.jobs.find(name, RaceWork)
        return work.feed.text if work and work.feed else gr.skip()


def _wire_race(events: RaceEvents) -> None:
    """Connect Run, Stop and Share, and the race's way to the screen."""
    job, controls, player = events.job, events.controls, events.player
    # The player asks where lines are missing, see RaceFeed.
    player.input(events.whole, job, player, queue=False, **PRIVATE)

    shown = [controls.status, events.models_line, player, controls.run, controls.stop]
    address = module_address("share.js")
    started = controls.run.click(
        events.run,
        [job, *controls.inputs],
        [job, controls.status, controls.run, controls.stop],
        js=f"(job, ...values) => {{ import({address}).then((share) => share.remember(values)); "
        "return [job, ...values]; }",
        queue=False,
        **PRIVATE,
    )
    for begins in (started.then, job.input):
        race = begins(events.follow, job, shown, concurrency_limit=None, **PRIVATE)
        when_over(race, [controls.run], [controls.stop])
    controls.stop.click(events.stop, job, queue=False, **PRIVATE)
    controls.share.click(
        None,
        controls.inputs,
        js=f"(...values) => {{ import({address}).then((share) => share.copy(values)); }}",
        **PRIVATE,
    )


def _buttons(controls: Controls, running: bool) -> dict:
    return {
        controls.run: gr.Button(interactive=not running),
        controls.stop: gr.Button(interactive=running),
    }


def _wire_link(page: gr.Blocks, models: ModelsState, controls: Controls) -> None:
    """Let a link that holds settings set every control. The race starts with a click on Run, or with the
    click that opened the link if that was within the page. A page that reloads and follows its earlier race
    (`followed`) only sets its controls."""
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
        if "followed" in parse_qs(query):
            return {controls.link: "", **values}
        differs = draws_other_noise(settings, query)
        return {
            controls.link: "waits" if differs else "runs",
            controls.status: say("page.status_linked_noise" if differs else "page.status_linked"),
            **values,
        }

    module = module_address("share.js")
    page.load(
        open_link,
        controls.link,
        [controls.link, controls.status, *controls.inputs],
        js=f"async () => [await (await import({module})).opened()]",
        queue=False,
        **PRIVATE,
    ).then(
        None,
        controls.link,
        None,
        js=f"async (asked) => {{ (await import({module})).setUp(asked); }}",
        **PRIVATE,
    )


def _wire_open(controls: Controls, player: gr.HTML) -> None:
    """Open a trace from a file: it is checked here and played in the browser."""

    def open_trace(content: bytes):
        try:
            trace = Trace.from_json(content or b"")
            if len(trace.lanes) > MAX_LANES:
                raise UserError(
                    "This trace has {} lanes; the page shows at most {}.", len(trace.lanes), MAX_LANES
                )
        except UserError as error:
            return {controls.status: say_error(error)}
        compute_metrics(trace)  # computed here, whatever the file says
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
    """Show how far the models are, until they are loaded."""
    timer = gr.Timer(0.5)

    def poll():
        models.try_again()
        settled = models.state.phase in ("ready", "failed")
        return describe_models(models.state, models.pair), gr.Timer(active=not settled)

    page.load(poll, None, [models_line, timer], queue=False, **PRIVATE)
    timer.tick(poll, None, [models_line, timer], queue=False, **PRIVATE)
