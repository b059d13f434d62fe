"""The Explore page: record a prompt once; then every slider responds in the browser (assets/js/explore)."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import gradio as gr

from adaedl.errors import UserError
from adaedl.replay.recording import Recording
from adaedl.request import NOISE_VERSION
from components.parts.assets import module_address
from components.parts.browser_events import when_over
from components.parts.browser_part import browser_part
from components.parts.controls import DEFAULTS, seed_field, unchecked
from components.parts.messages import say, say_error
from components.parts.settings import RaceSettings, read_seed, whole
from components.parts.texts import text
from components.recordings import PROMPT, envelope, measured_lanes
from components.serving.answers import FAILED
from components.serving.hosting import host
from components.serving.jobs import GRACE_S
from components.serving.models_state import ModelsState
from components.serving.race_session import Moment, Session, play, wait_for_pair
from components.serving.recording_execution import recorded_parts

PRIVATE = {"show_progress": "hidden", "api_visibility": "private"}
TOKENS = 128  # of a recording, if the host allows as many

log = logging.getLogger(__name__)


@dataclass
class ExploreSession(Session):
    """What one visitor has made on Explore."""

    recording: Recording | None = None


class ExploreWork:
    """A recording or a measurement as a job (components/serving/jobs.py), or an opened file.

    Args:
        inputs: the values of the controls, to restore them after a reload.
        before: the work whose recording is kept until there is a new one.
        make: does the work, sets `explored` or `measured`, and yields words about its progress.

    Attributes:
        explored: the data of the recording for the drawing, "" if there is none; `before` is its value when
            the work began.
        measured: the data of a measurement for the drawing.
    """

    grace_s = GRACE_S

    def __init__(
        self,
        inputs: tuple,
        before: "ExploreWork | None" = None,
        make: Callable[["ExploreWork"], Iterator[str]] | None = None,
        visitor: str | None = None,
    ):
        self.session = ExploreSession(visitor=visitor)
        self.inputs = inputs
        self._asked_bytes = sys.getsizeof(repr(inputs))
        self.explored = self.before = before.explored if before else ""
        self.measured = ""
        self._make = make

    @property
    def size(self) -> int:
        """Return the bytes of the drawing's data and of the request."""
        return sys.getsizeof(self.explored) + sys.getsizeof(self.measured) + self._asked_bytes

    def stop(self) -> None:
        """End the work within a round."""
        self.session.stop_requested = True

    def run(self) -> Iterator[Moment]:
        """Yield its moments; the last one says if something was invalid or went wrong."""
        words = say("explore.status_starting")
        try:
            with _errors_told() as told, closing(self._make(self)) as parts:
                for words in parts:
                    yield Moment(words)
        finally:
            self.session = ExploreSession()  # only the drawing's data is kept
        yield Moment(told[0] if told else words, ended=True)


def explore_view(models: ModelsState, job: gr.HTML) -> None:
    """Build the page, inside a tab; `job` identifies the tab's recording or measurement (`kept_job`)."""
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

    inputs = [prompt, temperature, tokens, seed, at_1]

    def record_prompt(request: gr.Request, name: str, *values) -> dict:
        def make(work: ExploreWork) -> Iterator[str]:
            return _record(models, work)

        return begin(name, ExploreWork(values, of(name), make, request.session_hash))

    def measure_setting(request: gr.Request, name: str, asked: str) -> dict:
        def make(work: ExploreWork) -> Iterator[str]:
            return _measure(models, asked, work)

        before = of(name)
        inputs = before.inputs if before else unset
        return begin(name, ExploreWork(inputs, before, make, request.session_hash))

    def of(name: str) -> ExploreWork | None:
        return models.jobs.find(name, ExploreWork)

    def begin(name: str, work: ExploreWork) -> dict:
        if models.jobs.is_under_way(name):
            return gr.skip()  # two clicks in a row: it is followed twice
        begun = models.jobs.start(work)
        models.jobs.forget(name)
        return {job: begun, status: say("explore.status_starting"), **_buttons(running=True)}

    def follow(name: str) -> Iterator[dict]:
        work = of(name)
        yield from told_of(name, {explored: work.before} if work else {})

    def told_of(name: str, shown: dict) -> Iterator[dict]:
        work = of(name)
        if work is None:
            yield {status: say("host.status_forgotten")} if name else gr.skip()
            return
        for moment in models.jobs.follow(name):
            told = {status: moment.words, explored: work.explored, measured: work.measured}
            changes = {part: value for part, value in told.items() if value and shown.get(part) != value}
            yield {**changes, **_buttons(running=not moment.ended)}
            shown = told

    def take_up(name: str) -> Iterator[dict]:
        if work := of(name):
            yield dict(zip(inputs, work.inputs, strict=True))
        yield from told_of(name, {})

    def open_recording(name: str, content: bytes | None) -> dict:
        try:
            opened = Recording.from_json(content or b"")
        except UserError as error:
            return {status: say_error(error)}
        words = say(
            "explore.status_opened",
            created=opened.created,
            pair=opened.pair.name,
            device=f"{opened.device}/{opened.dtype}",
        )
        before = of(name)
        work = ExploreWork(before.inputs if before else unset)
        work.explored = envelope(opened, [])
        changes = {status: words, explored: work.explored}
        if not models.jobs.is_under_way(name):  # otherwise the tab continues to follow it
            changes[job] = models.jobs.keep(work, Moment(words, ended=True))
            models.jobs.forget(name)
        return changes

    def _buttons(running: bool) -> dict:
        return {
            record: gr.Button(interactive=not running),
            measure: gr.Button(interactive=not running),
            stop: gr.Button(interactive=running),
        }

    def _stop(name: str) -> None:
        models.jobs.stop(name)

    unset = (gr.skip(),) * len(inputs)
    buttons = [record, measure, stop]
    recorded = record.click(record_prompt, [job, *inputs], [job, status, *buttons], queue=False, **PRIVATE)
    module = module_address("explore/explore.js")
    raced = measure.click(
        measure_setting,
        [job, measured],  # what the browser sends for the latter is its request
        [job, status, *buttons],
        js=f"async (job) => [job, (await import({module})).request()]",
        queue=False,
        **PRIVATE,
    )
    shown = [status, explored, measured, *buttons]
    followed = {"concurrency_limit": None, **PRIVATE}
    for run in (
        recorded.then(follow, job, shown, **followed),
        raced.then(follow, job, shown, **followed),
        job.input(take_up, job, [*shown, *inputs], **followed),
    ):
        when_over(run, [record, measure], [stop])
    stop.click(_stop, job, queue=False, **PRIVATE)
    opener.upload(open_recording, [job, opener], [job, status, explored], **PRIVATE)


def _record(models: ModelsState, work: ExploreWork) -> Iterator[str]:
    """Record what the controls specify: yield words for the status line, then set the drawing's data."""
    prompt, temperature, tokens, seed, at_1 = work.inputs
    settings = replace(
        DEFAULTS,
        prompt=prompt,
        pair=models.pair.name if models.pair else models.default,
        lanes=["autoregressive"],
        temperature=temperature,
        max_new_tokens=whole(tokens),
        seed=read_seed(seed),
    )
    with closing(make_recording(models, settings, work.session, 1.0 if at_1 else None)) as moments:
        yield from moments
    if work.session.recording:
        work.explored = envelope(work.session.recording, [])


def _measure(models: ModelsState, request: str, work: ExploreWork) -> Iterator[str]:
    """Race what the browser requests: yield words for the status line, then set the drawing's data."""
    settings, recorded = read_request(request)
    with closing(play(models, settings, work.session)) as moments:
        for moment in moments:
            yield moment.words
    finished = moment.key == "page.status_finished"
    found = measured_lanes(work.session.trace) if finished else []
    words = moment.words if moment.key == "host.status_time_limit" else say("explore.status_unmeasured")
    if found:
        values = {"spec": found[0]["label"], "speedup": f"{found[0]['speedup']:.2f}"}
        where = f"{work.session.trace.device}/{work.session.trace.dtype}"
        reliable = found[0]["timing_reliable"] is not False
        key = "explore.status_measured" if reliable else "explore.status_measured_unreliable"
        words = say(key, device=where, **values)
    work.measured = json.dumps({"measured_for": recorded, "measured": found})
    yield words


class _errors_told(list):
    """Turn any error into words for the status line, and let no other exception out."""

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
        UserError: the settings are invalid, or the pair cannot be loaded.
    """
    settings.check()
    session.recording = None
    # The target writes the text twice, and drafting from every position takes about as long again.
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
    """Return the race that the browser requests (`request` in assets/js/explore/explore.js), unchecked, and
    the recording to compare it with.

    Raises:
        UserError: there is no setting that can be measured, or this is not such a request.
    """
    if not request:
        raise UserError(
            "The oracle cannot be measured, because it works only in replays; highlight another stopper."
        )
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
        identity, same_noise = str(asked["id"])[:200], asked["noise_version"] == NOISE_VERSION
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError("This setting could not be read; reload the page and measure again.") from None
    if not same_noise and settings.temperature:
        raise UserError(
            "This recording was made by a version that used different random numbers, so a race would write "
            "a different text; record the prompt again to measure it."
        )
    return settings, identity
