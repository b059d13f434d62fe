"""The Race page: controls above, the player below. Live races, recorded races and opened files are drawn by
the same player."""

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
from components.parts.messages import say, say_error, tell_models
from components.parts.player import RaceFeed, player_view
from components.parts.recorded import recorded_view
from components.parts.settings import RaceSettings, draws_other_noise
from components.parts.texts import text
from components.serving.api import add_api
from components.serving.jobs import GRACE_S
from components.serving.models_state import ModelsState
from components.serving.race_session import Moment, Session, play

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
        """Return the player's data, once there is a race."""
        return self.session.feed

    @property
    def size(self) -> int:
        """Return the bytes of the feed, and of the trace while it grows."""
        if self.feed is None:
            return 0
        return self.feed.size * (1 + (TRACE_BYTES if self.session.trace else 0))

    def stop(self) -> None:
        """End the race within a round."""
        self.session.stop_requested = True

    def run(self) -> Iterator[Moment]:
        """Yield the moments of the race. The last one comes once the race has released the device; it also
        says what was wrong with the settings, or that the race failed."""
        last = None
        try:
            settings = self.read()
            self.read = None  # and with it the values of the controls, which may be long
            with closing(play(self.models, settings, self.session)) as moments:
                for last in moments:
                    if self.feed:
                        self.feed.add_new_rounds()
                    if not last.ended:
                        yield last
        except UserError as error:
            last = Moment(say_error(error), ended=True)
        except Exception:
            log.exception("a race failed")
            last = Moment(say_error(FAILED), ended=True)
        finally:
            if self.feed:
                self.feed.end()
            self.session.trace = None
        yield last


def race_view(page: gr.Blocks, models: ModelsState, job: gr.HTML) -> None:
    """Build the race page, for a tab of the page. This loads no models.

    Args:
        job: identifies the tab's race (`kept_job`).
    """
    with gr.Row(elem_id="introduction"):
        gr.Markdown(text("page.introduction"))
    controls = controls_view(models.default)
    with gr.Row(elem_id="lines"):
        recorded_view()
        models_line = browser_part("models", tell_models(models.state, models.pair))
    player = player_view()
    _wire_race(models, job, controls, models_line, player)
    _wire_link(page, models, controls)
    _wire_open(controls, player)
    _wire_models(page, models, models_line)
    add_api(models)


def _wire_race(
    models: ModelsState, job: gr.HTML, controls: Controls, models_line: gr.HTML, player: gr.HTML
) -> None:
    """Wire Run, Stop, and the race's way to the screen, before and after the page reloads."""
    status = controls.status

    def run(request: gr.Request, before: str, *values):
        models.jobs.stop(before)  # this tab's, which has followed a link meanwhile
        models.jobs.forget(before)
        work = RaceWork(models, lambda: controls.read(*values), request.session_hash)
        return {
            job: models.jobs.start(work),
            status: say("page.status_starting"),
            **_buttons(controls, running=True),
        }

    def follow(name: str):
        work = models.jobs.find(name, RaceWork)
        if work is None:
            yield {status: say("host.status_forgotten")} if name else gr.skip()
            return
        said, begun = None, False
        if models.jobs.is_under_way(name):
            yield _buttons(controls, running=True)
        for moment in models.jobs.follow(name):
            changes = {}
            if moment.words != said:
                changes[status] = said = moment.words
            if work.feed is None:
                changes[models_line] = tell_models(models.state, models.pair)
            else:
                changes[player] = work.feed.new_text() if begun else work.feed.text
                begun = True
            yield changes or gr.skip()

    def stop(name: str) -> None:
        # Says nothing: its words could arrive after the race's last ones, and would then stay.
        models.jobs.stop(name)

    def whole(name: str):
        work = models.jobs.find(name, RaceWork)
        return work.feed.text if work and work.feed else gr.skip()

    # The player asks for missing lines, see RaceFeed.
    player.input(whole, job, player, queue=False, **PRIVATE)

    shown = [status, models_line, player, controls.run, controls.stop]
    address = module_address("share.js")
    started = controls.run.click(
        run,
        [job, *controls.inputs],
        [job, status, controls.run, controls.stop],
        js=f"(job, ...values) => {{ import({address}).then((share) => share.remember(values)); "
        "return [job, ...values]; }",
        queue=False,
        **PRIVATE,
    )
    for begins in (started.then, job.input):
        race = begins(follow, job, shown, concurrency_limit=None, **PRIVATE)
        when_over(race, [controls.run], [controls.stop])
    controls.stop.click(stop, job, queue=False, **PRIVATE)
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
    """Wire shared links: a link with settings sets every control. The race starts with a click on Run, or
    with the click that opened the link if that was within the page. A reloaded page that follows an earlier
    race (`followed`) only sets its controls."""
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
    """Wire opening a trace from a file: it is checked here and played in the browser."""

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
    """Show the models' loading progress until they are loaded."""
    timer = gr.Timer(0.5)

    def poll():
        models.try_again()
        settled = models.state.phase in ("ready", "failed")
        return tell_models(models.state, models.pair), gr.Timer(active=not settled)

    page.load(poll, None, [models_line, timer], queue=False, **PRIVATE)
    timer.tick(poll, None, [models_line, timer], queue=False, **PRIVATE)
