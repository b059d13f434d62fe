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
from components.parts.recordings import PROMPT, envelope, measured_lanes
from components.parts.settings import RaceSettings, read_seed, whole
from components.parts.texts import text
from components.serving.answers import FAILED
from components.serving.explore_replay import lane_replayer
from components.serving.jobs import GRACE_S
from components.serving.models_state import ModelsState
from components.serving.race_session import RaceUpdate, Session, play, wait_for_pair
from components.serving.recording_execution import recorded_parts
from components.settings.hosting import host

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
        explored: the value of the drawing, "" where there is no recording; `before` is what it was when the
            work began.
        measured: the value of the part that shows measurements.
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
        """The bytes of the results and of the request."""
        return sys.getsizeof(self.explored) + sys.getsizeof(self.measured) + self._asked_bytes

    def stop(self) -> None:
        """End the work within a round."""
        self.session.stop_requested = True

    def run(self) -> Iterator[RaceUpdate]:
        """Do the work and yield its updates; the last one says what was wrong, where something was."""
        words = say("explore.status_starting")
        try:
            with _CollectedErrors() as errors, closing(self._make(self)) as parts:
                for words in parts:
                    yield RaceUpdate(words)
        finally:
            self.session = ExploreSession()  # only the results are kept
        yield RaceUpdate(errors[0] if errors else words, ended=True)


@dataclass
class ExploreParts:
    """The components that events read and change; `inputs` are in the order of `_record`."""

    inputs: list[gr.components.Component]
    record: gr.Button
    measure: gr.Button
    stop: gr.Button
    opener: gr.UploadButton
    status: gr.HTML
    measured: gr.HTML
    explored: gr.HTML

    @property
    def buttons(self) -> list[gr.Button]:
        return [self.record, self.measure, self.stop]

    def set_running(self, running: bool) -> dict:
        """Return the buttons' state while something runs, or while nothing does."""
        return {
            self.record: gr.Button(interactive=not running),
            self.measure: gr.Button(interactive=not running),
            self.stop: gr.Button(interactive=running),
        }


def explore_view(models: ModelsState, job: gr.HTML) -> None:
    """Build the page, inside a tab; `job` holds which recording or measurement the tab has (`kept_job`)."""
    gr.Markdown(text("explore.introduction"), elem_id="explore-introduction")
    with gr.Accordion(text("explore.record_own"), open=False, elem_id="explore-controls"):
        inputs, record = _recording_controls()
    with gr.Row(elem_id="explore-buttons", equal_height=True):
        with gr.Column(scale=5, min_width=280):
            status = browser_part("explore-status", say("explore.status_ready"), module="status")
        measure = gr.Button(text("explore.measure"), elem_id="measure", min_width=230)
        stop = gr.Button(text("explore.stop"), interactive=False, elem_id="stop-recording", min_width=90)
        opener = gr.UploadButton(
            text("explore.open"), file_types=[".json"], type="binary", min_width=150, elem_id="open-recording"
        )
    measured = browser_part("measured", "", module="explore/measured")
    explored = browser_part("explore", "", module="explore/explore", server_functions=[lane_replayer(models)])
    parts = ExploreParts(inputs, record, measure, stop, opener, status, measured, explored)
    _wire(ExploreEvents(models, job, parts))


def _recording_controls() -> tuple[list[gr.components.Component], gr.Button]:
    """Build the inputs, in the order of `_record`, and the button that starts a recording."""
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
    with gr.Row():
        rules = [
            (text("explore.rule_shared"), "shared_noise"),
            (text("explore.rule_speculative"), "speculative"),
        ]
        rule = unchecked(
            gr.Radio(
                rules,
                value=DEFAULTS.verification,
                label=text("page.rule"),
                info=text("explore.rule_about"),
                elem_id="recording-rule",
                scale=3,
                min_width=280,
            )
        )
        at_1 = gr.Checkbox(
            False,
            label=text("explore.at_1"),
            info=text("explore.at_1_about"),
            elem_id="at-1",
            scale=2,
            min_width=260,
        )
    record = gr.Button(text("explore.record"), variant="primary", elem_id="record")
    return [prompt, temperature, tokens, seed, rule, at_1], record


class ExploreEvents:
    """What the page's events do, before and after it is reloaded."""

    def __init__(self, models: ModelsState, job: gr.HTML, parts: ExploreParts):
        self.models = models
        self.job = job
        self.parts = parts
        self._unset = (gr.skip(),) * len(parts.inputs)

    def record_prompt(self, request: gr.Request, name: str, *values) -> dict:
        def make(work: ExploreWork) -> Iterator[str]:
            return _record(self.models, work)

        return self._begin(name, ExploreWork(values, self._work(name), make, request.session_hash))

    def measure_setting(self, request: gr.Request, name: str, asked: str) -> dict:
        def make(work: ExploreWork) -> Iterator[str]:
            return _measure(self.models, asked, work)

        before = self._work(name)
        return self._begin(name, ExploreWork(self._inputs(before), before, make, request.session_hash))

    def follow(self, name: str) -> Iterator[dict]:
        work = self._work(name)
        yield from self._follow(name, {self.parts.explored: work.before} if work else {})

    def take_up(self, name: str) -> Iterator[dict]:
        if work := self._work(name):
            yield dict(zip(self.parts.inputs, work.inputs, strict=True))
        yield from self._follow(name, {})

    def open_recording(self, name: str, content: bytes | None) -> dict:
        parts, jobs = self.parts, self.models.jobs
        try:
            opened = Recording.from_json(content or b"")
        except UserError as error:
            return {parts.status: say_error(error)}
        words = say(
            "explore.status_opened",
            created=opened.created,
            pair=opened.pair.name,
            device=f"{opened.device}/{opened.dtype}",
        )
        work = ExploreWork(self._inputs(self._work(name)))
        work.explored = envelope(opened, [])
        changes = {parts.status: words, parts.explored: work.explored}
        if not jobs.is_under_way(name):  # which the tab goes on to follow
            changes[self.job] = jobs.keep(work, RaceUpdate(words, ended=True))
            jobs.forget(name)
        return changes

    def stop(self, name: str) -> None:
        self.models.jobs.stop(name)

    def _work(self, name: str) -> ExploreWork | None:
        return self.models.jobs.find(name, ExploreWork)

    def _inputs(self, work: ExploreWork | None) -> tuple:
        return work.inputs if work else self._unset

    def _begin(self, name: str, work: ExploreWork) -> dict:
        if self.models.jobs.is_under_way(name):
            return gr.skip()  # two clicks in a row: it is followed twice
        begun = self.models.jobs.start(work)
        self.models.jobs.forget(name)
        parts = self.parts
        return {self.job: begun, parts.status: say("explore.status_starting"), **parts.set_running(True)}

    def _follow(self, name: str, shown: dict) -> Iterator[dict]:
        """Yield what changes on the page while a job runs, `shown` being what is there already."""
        parts, work = self.parts, self._work(name)
        if work is None:
            yield {parts.status: say("host.status_forgotten")} if name else gr.skip()
            return
        for update in self.models.jobs.follow(name):
            values = {
                parts.status: update.words,
                parts.explored: work.explored,
                parts.measured: work.measured,
            }
            changes = {part: value for part, value in values.items() if value and shown.get(part) != value}
            yield {**changes, **parts.set_running(not update.ended)}
            shown = values


def _wire(events: ExploreEvents) -> None:
    """Connect the components to the events."""
    job, parts = events.job, events.parts
    recorded = parts.record.click(
        events.record_prompt,
        [job, *parts.inputs],
        [job, parts.status, *parts.buttons],
        queue=False,
        **PRIVATE,
    )
    module = module_address("explore/explore.js")
    raced = parts.measure.click(
        events.measure_setting,
        [job, parts.measured],  # what is sent for the latter is what the browser asks
        [job, parts.status, *parts.buttons],
        js=f"async (job) => [job, (await import({module})).request()]",
        queue=False,
        **PRIVATE,
    )
    shown = [parts.status, parts.explored, parts.measured, *parts.buttons]
    followed = {"concurrency_limit": None, **PRIVATE}
    for run in (
        recorded.then(events.follow, job, shown, **followed),
        raced.then(events.follow, job, shown, **followed),
        job.input(events.take_up, job, [*shown, *parts.inputs], **followed),
    ):
        when_over(run, [parts.record, parts.measure], [parts.stop])
    parts.stop.click(events.stop, job, queue=False, **PRIVATE)
    parts.opener.upload(
        events.open_recording, [job, parts.opener], [job, parts.status, parts.explored], **PRIVATE
    )


def _record(models: ModelsState, work: ExploreWork) -> Iterator[str]:
    """Record what the controls ask for: yields words meanwhile, then fills in what the page draws."""
    prompt, temperature, tokens, seed, rule, at_1 = work.inputs
    settings = replace(
        DEFAULTS,
        prompt=prompt,
        pair=models.pair.name if models.pair else models.default,
        lanes=["autoregressive"],
        temperature=temperature,
        max_new_tokens=whole(tokens),
        seed=read_seed(seed),
        verification=rule,
    )
    with closing(make_recording(models, settings, work.session, 1.0 if at_1 else None)) as updates:
        yield from updates
    if work.session.recording:
        work.explored = envelope(work.session.recording, [])


def _measure(models: ModelsState, request: str, work: ExploreWork) -> Iterator[str]:
    """Race what the browser asks for: yields words meanwhile, then fills in what the page draws."""
    settings, recorded = read_request(request)
    with closing(play(models, settings, work.session)) as updates:
        for update in updates:
            yield update.words
    finished = update.key == "page.status_finished"
    found = measured_lanes(work.session.trace) if finished else []
    words = update.words if update.key == "host.status_time_limit" else say("explore.status_unmeasured")
    if found:
        values = {"spec": found[0]["label"], "speedup": f"{found[0]['speedup']:.2f}"}
        where = f"{work.session.trace.device}/{work.session.trace.dtype}"
        key = measurement_text(settings, found[0]["timing_reliable"] is not False)
        words = say(key, device=where, **values)
    work.measured = json.dumps({"measured_for": recorded, "measured": found})
    yield words


def measurement_text(settings: RaceSettings, reliable: bool) -> str:
    """Return the key of what to say of a measured race, which under speculative sampling is another draw."""
    if not reliable:
        return "explore.status_measured_unreliable"
    another_draw = settings.verification == "speculative" and settings.temperature
    return "explore.status_measured_scatter" if another_draw else "explore.status_measured"


class _CollectedErrors(list):
    """Collects errors as words for the status line, and lets none of them out."""

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
    request = settings.check()
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
        with closing(recorded_parts(models, pair, request, score_temperature, session.quota)) as parts:
            for part in parts:
                if isinstance(part, Recording):
                    session.recording = part
                elif session.stop_requested:
                    yield say("explore.status_stopped")
                    return
                else:
                    yield say("explore.status_recording", device=where, percent=round(100 * part))
        ratio = f"{session.recording.recording_s / session.recording.plain_s:.1f}"
        count = len(session.recording.token_ids)
        yield say("explore.status_recorded", device=where, tokens=count, ratio=ratio)
    finally:
        turn.leave()


def read_request(request: str) -> tuple[RaceSettings, str]:
    """Return the unchecked race that the browser asks for (`request` in assets/js/explore/explore.js), and
    the id of the recording that it is compared with.

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
            verification=str(asked["verification"]),
        )
        identity, same_noise = str(asked["id"])[:200], asked["noise_version"] == NOISE_VERSION
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError("This setting could not be read; reload the page and measure again.") from None
    writes_same_text = settings.verification == "shared_noise" and settings.temperature
    if not same_noise and writes_same_text:
        raise UserError(
            "This recording was made by a version that used different random numbers, so a race would write "
            "a different text; record the prompt again to measure it."
        )
    return settings, identity
