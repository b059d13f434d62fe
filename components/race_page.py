"""The Race page: controls above, the player below. A live race, a recorded one and one that is opened from a
file are drawn by the same player."""

import logging
from contextlib import closing

import gradio as gr

from adaedl.errors import UserError
from adaedl.metrics import compute_metrics
from adaedl.request import MAX_LANES
from adaedl.trace import Trace
from components.afterwards import when_over
from components.api import add_api
from components.assets import module_address
from components.browser_part import browser_part
from components.controls import Controls, controls_view, defaults
from components.live import Session, play
from components.messages import say, say_error, tell_models
from components.models_state import ModelsState
from components.player import RaceFeed, player_view
from components.recorded import recorded_view
from components.settings import RaceSettings, draws_other_noise
from components.texts import text

PRIVATE = {"show_progress": "hidden", "api_visibility": "private"}

FAILED = UserError("The race failed, and the host's log says why; try again.")

log = logging.getLogger(__name__)


def race_view(page: gr.Blocks, models: ModelsState) -> None:
    """The race page's parts, for a tab of the page. Nothing is loaded by building it."""
    session = gr.State(Session())
    with gr.Row(elem_id="introduction"):
        gr.Markdown(text("page.introduction"))
    controls = controls_view(models.default)
    with gr.Row(elem_id="lines"):
        recorded_view()
        models_line = browser_part("models", tell_models(models.state, models.pair))
    player = player_view()
    _wire_race(models, session, controls, models_line, player)
    _wire_link(page, models, controls)
    _wire_open(controls, player)
    _wire_models(page, models, models_line)
    add_api(models)


def _wire_race(
    models: ModelsState, session: gr.State, controls: Controls, models_line: gr.HTML, player: gr.HTML
) -> None:
    """Run, Stop, and the race's way to the screen."""
    status = controls.status

    def run(session: Session, *values):
        said, feed = say("page.status_starting"), None
        yield {**_buttons(controls, running=True), status: said}
        try:
            with closing(play(models, controls.read(*values), session)) as moments:
                for moment in moments:
                    changes = {status: moment.words} if moment.words != said else {}
                    said = moment.words
                    if session.feed is None:
                        changes[models_line] = tell_models(models.state, models.pair)
                    else:
                        feed = session.feed
                        if moment.ended:
                            feed.end()
                        changes[player] = session.feed.new_text()
                    yield changes
        except UserError as error:
            changes = {status: say_error(error), models_line: tell_models(models.state, models.pair)}
        except Exception:
            log.exception("a race failed")
            changes = {status: say_error(FAILED)}
        else:
            return
        if feed is not None:
            feed.end()  # what has run is kept, and grows no more
            changes[player] = feed.new_text()
        yield changes

    def stop(session: Session) -> None:
        # No word of its own: it could arrive after the race's last one, and would then stay.
        session.stop_requested = True

    def whole(session: Session):
        return session.feed.text if session.feed else gr.skip()

    # The player asks where lines are missing, see RaceFeed.
    player.input(whole, session, player, queue=False, **PRIVATE)

    shown = [status, models_line, player, controls.run, controls.stop]
    address = module_address("share.js")
    race = controls.run.click(
        run,
        [session, *controls.inputs],
        shown,
        js=f"(session, ...values) => {{ import({address}).then((share) => share.remember(values)); "
        "return [session, ...values]; }",
        concurrency_limit=None,
        **PRIVATE,
    )
    when_over(race, [controls.run], [controls.stop])
    controls.stop.click(stop, session, queue=False, **PRIVATE)
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
    """A link that holds settings sets every control. The race starts with a click on Run, or with the click
    that opened the link where that was within the page."""
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
        differs = draws_other_noise(settings, query)
        return {
            controls.link: "waits" if differs else "runs",
            controls.status: say("page.status_linked_noise" if differs else "page.status_linked"),
            **dict(zip(controls.inputs, controls.values(settings), strict=True)),
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
    """A trace from a file, checked here and played there."""

    def open_trace(content: bytes):
        try:
            trace = Trace.from_json(content or b"")
            if len(trace.lanes) > MAX_LANES:
                raise UserError(
                    "This trace has {} lanes; the page shows at most {}.", len(trace.lanes), MAX_LANES
                )
        except UserError as error:
            return {controls.status: say_error(error)}
        compute_metrics(trace)  # what is shown is computed, whatever the file says
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
    """How far the models are, until they are there."""
    timer = gr.Timer(0.5)

    def poll():
        models.try_again()
        settled = models.state.phase in ("ready", "failed")
        return tell_models(models.state, models.pair), gr.Timer(active=not settled)

    page.load(poll, None, [models_line, timer], queue=False, **PRIVATE)
    timer.tick(poll, None, [models_line, timer], queue=False, **PRIVATE)
