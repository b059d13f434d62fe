"""The Explore page: record a prompt once, then every slider answers in the browser (assets/js/explore)."""

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import gradio as gr

from adaedl.errors import UserError
from adaedl.recording import Recording
from components.afterwards import when_over
from components.answers import FAILED
from components.assets import module_address
from components.browser_part import browser_part
from components.controls import DEFAULTS, seed_field, unchecked
from components.hosting import host
from components.live import Session, play, wait_for_pair
from components.messages import say, say_error
from components.models_state import ModelsState
from components.recording_run import recorded_parts
from components.recordings import PROMPT, envelope, measured_lanes
from components.settings import RaceSettings, read_seed, whole
from components.texts import text

PRIVATE = {"show_progress": "hidden", "api_visibility": "private"}
TOKENS = 128  # of a recording, where the host allows as many

log = logging.getLogger(__name__)


@dataclass
class ExploreSession(Session):
    """What one visitor's Explore has made."""

    recording: Recording | None = None


def explore_view(models: ModelsState) -> None:
    """The page, inside a tab."""
    session = gr.State(ExploreSession())
    gr.Markdown(text("explore.introduction"), elem_id="explore-introduction")
    with gr.Accordion(text("explore.record_own"), open=False, elem_id="explore-controls"):
        with gr.Row():
            prompt = gr.Textbox(
                PROMPT, label=text("explore.prompt"), lines=2, max_lines=4, scale=5, min_width=260
            )
            temperature = unchecked(
                gr.Slider(
                    0, 2, 0.7, step=0.05, label=text("page.temperature"), buttons=[], scale=2, min_width=150
                )
            )
            most = min(TOKENS, host().max_tokens)
            tokens = unchecked(gr.Number(most, label=text("page.tokens"), scale=1, min_width=110))
            seed = seed_field(scale=1, min_width=90)
        at_1 = gr.Checkbox(False, label=text("explore.at_1"), info=text("explore.at_1_about"), elem_id="at-1")
        record = gr.Button(text("explore.record"), variant="primary", elem_id="record")
    with gr.Row(elem_id="explore-buttons", equal_height=True):
        with gr.Column(scale=5, min_width=280):
            status = browser_part("explore-status", say("explore.status_ready"), module="status")
        measure = gr.Button(text("explore.measure"), elem_id="measure", min_width=230)
        stop = gr.Button(text("explore.stop"), interactive=False, elem_id="stop-recording", min_width=90)
        opener = gr.UploadButton(
            text("explore.open"), file_types=[".json"], type="binary", min_width=150, elem_id="open-recording"
        )
    measured = browser_part("measured", "", module="explore/measured")
    explored = browser_part("explore", "", module="explore/explore")

    def run_recording(session: ExploreSession, prompt, temperature, tokens, seed, at_1):
        settings = replace(
            DEFAULTS,
            prompt=prompt,
            pair=models.pair.name if models.pair else models.default,
            lanes=["autoregressive"],
            temperature=temperature,
            max_new_tokens=whole(tokens),
            seed=read_seed(seed),
        )
        yield {status: say("explore.status_starting"), **_buttons(running=True)}
        with (
            _errors_told() as told,
            closing(make_recording(models, settings, session, 1.0 if at_1 else None)) as moments,
        ):
            for words in moments:
                yield {status: words}
            if session.recording:
                yield {explored: envelope(session.recording, [])}
        yield {**_buttons(running=False), **({status: told[0]} if told else {})}

    def run_measurement(session: ExploreSession, request: str):
        yield {status: say("explore.status_starting"), **_buttons(running=True)}
        with _errors_told() as told:
            settings, recorded = read_request(request)
            with closing(play(models, settings, session)) as moments:
                for moment in moments:
                    yield {status: moment.words}
            whole = moment.key == "page.status_finished"
            found = measured_lanes(session.trace) if whole else []
            words = (
                moment.words if moment.key == "host.status_time_limit" else say("explore.status_unmeasured")
            )
            if found:
                values = {"spec": found[0]["label"], "speedup": f"{found[0]['speedup']:.2f}"}
                where = f"{session.trace.device}/{session.trace.dtype}"
                reliable = found[0]["timing_reliable"] is not False
                key = "explore.status_measured" if reliable else "explore.status_measured_unreliable"
                words = say(key, device=where, **values)
            yield {status: words, measured: json.dumps({"measured_for": recorded, "measured": found})}
        yield {**_buttons(running=False), **({status: told[0]} if told else {})}

    def open_recording(session: ExploreSession, content: bytes | None) -> dict:
        try:
            opened = Recording.from_json(content or b"")
        except UserError as error:
            return {status: say_error(error)}
        session.recording = opened
        words = say(
            "explore.status_opened",
            created=opened.created,
            pair=opened.pair.name,
            device=f"{opened.device}/{opened.dtype}",
        )
        return {status: words, explored: envelope(opened, [])}

    def _buttons(running: bool) -> dict:
        return {
            record: gr.Button(interactive=not running),
            measure: gr.Button(interactive=not running),
            stop: gr.Button(interactive=running),
        }

    def _stop(session: ExploreSession) -> None:
        session.stop_requested = True

    shown = [status, record, measure, stop]
    inputs = [session, prompt, temperature, tokens, seed, at_1]
    recorded = record.click(run_recording, inputs, [explored, *shown], concurrency_limit=None, **PRIVATE)
    module = module_address("explore/explore.js")
    raced = measure.click(
        run_measurement,
        [session, measured],  # what is sent for the latter is what the browser asks
        [measured, *shown],
        js=f"async (session) => [session, (await import({module})).request()]",
        concurrency_limit=None,
        **PRIVATE,
    )
    for run in (recorded, raced):
        when_over(run, [record, measure], [stop])
    stop.click(_stop, session, queue=False, **PRIVATE)
    opener.upload(open_recording, [session, opener], [status, explored], **PRIVATE)


class _errors_told(list):
    """Keeps what went wrong as words for the status line, and lets nothing else out."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback) -> bool:
        if isinstance(error, UserError):
            self.append(say_error(error))
        elif isinstance(error, Exception):
            log.error("Explore failed", exc_info=error)
            self.append(say_error(FAILED))
        return isinstance(error, Exception)


def make_recording(
    models: ModelsState,
    settings: RaceSettings,
    session: ExploreSession,
    score_temperature: float | None = None,
) -> Iterator[str]:
    """Record into `session.recording`, yielding words for the status line. Close it to free the device.

    Raises:
        UserError: the settings will not do, or the pair cannot be loaded.
    """
    settings.check()
    session.recording, session.stop_requested = None, False
    # The target writes the text twice, and the drafts from every position take about as long again.
    turn = models.take_turn(work=3 * settings.max_new_tokens, visitor=session.visitor or id(session))
    try:
        pair = yield from wait_for_pair(models, turn, settings.pair, lambda: session.stop_requested)
        if pair is None:
            yield say("explore.status_stopped")
            return
        where = pair.runs_on
        yield say("explore.status_recording", device=where, percent=0)
        with closing(recorded_parts(models, pair, settings, score_temperature, session.quota)) as parts:
            for told in parts:
                if isinstance(told, Recording):
                    session.recording = told
                elif session.stop_requested:
                    yield say("explore.status_stopped")
                    return
                else:
                    yield say("explore.status_recording", device=where, percent=round(100 * told))
        ratio = f"{session.recording.recording_s / session.recording.plain_s:.1f}"
        count = len(session.recording.token_ids)
        yield say("explore.status_recorded", device=where, tokens=count, ratio=ratio)
    finally:
        turn.leave()


def read_request(request: str) -> tuple[RaceSettings, str]:
    """The race that the browser asks for (`request` in assets/js/explore/explore.js), unchecked, and which
    recording it is to be held against.

    Raises:
        UserError: there is no setting that can be measured, or it is not such a request.
    """
    if not request:
        raise UserError("There is no setting to measure: the oracle cannot run; highlight another stopper.")
    try:
        asked = json.loads(request)
        settings = RaceSettings(
            prompt=str(asked["prompt"]),
            pair=str(asked["pair"]),
            lanes=["autoregressive", str(asked["spec"])],
            temperature=asked["temperature"],
            top_k=whole(asked["top_k"]),
            top_p=asked["top_p"],
            max_new_tokens=whole(asked["max_new_tokens"]),
            seed=int(str(asked["seed"])[:20]),
            verification="shared_noise",
        )
        return settings, str(asked["id"])[:200]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError("This setting could not be read; reload the page and measure again.") from None
