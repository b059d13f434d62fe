"""The Explore page: record a prompt once, then replay it in the browser with every slider
(assets/js/explore)."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import gradio as gr

from adaedl.errors import UserError
from adaedl.recordings.recording import Recording
from adaedl.request import NOISE_VERSION
from components.parts.assets import open_module
from components.parts.browser_events import when_over
from components.parts.browser_part import browser_part
from components.parts.controls import DEFAULTS, EXAMPLES, seed_field, unchecked
from components.parts.first_prompt import begin_in_language
from components.parts.messages import say, say_error
from components.parts.recordings import envelope, measured_lanes
from components.parts.settings import RaceSettings, read_seed, whole
from components.parts.texts import text, texts
from components.serving.answers import FAILED
from components.serving.explore_replay import lane_replayer
from components.serving.jobs import GRACE_S
from components.serving.models_state import ModelsState
from components.serving.race_session import RaceUpdate, play
from components.serving.recording_session import RecordingSession, make_recording
from components.settings.hosting import host

PRIVATE = {"show_progress": "hidden", "api_visibility": "private"}
TOKENS = 128  # the default length of a recording, within the host's limit

log = logging.getLogger(__name__)


class ExploreWork:
    """A recording or a measurement as a job (components/serving/jobs.py), or an opened file.

    Args:
        inputs: the values of the controls, to restore them after a reload.
        before: the work whose recording is kept until there is a new one.
        make: does the work, sets `explored` or `measured`, and yields words about its progress.

    Attributes:
        explored: the value of the drawing; "" without a recording.
        before: the value of `explored` when the work began.
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
        self.session = RecordingSession(visitor=visitor)
        self.inputs = inputs
        self._input_bytes = sys.getsizeof(repr(inputs))
        self.explored = self.before = before.explored if before else ""
        self.measured = ""
        self._make = make

    @property
    def size(self) -> int:
        """The bytes of the results and the inputs."""
        return sys.getsizeof(self.explored) + sys.getsizeof(self.measured) + self._input_bytes

    def stop(self) -> None:
        """End the work within a round."""
        self.session.stop_requested = True

    def run(self) -> Iterator[RaceUpdate]:
        """Do the work and yield its updates; if anything goes wrong, the last one says what."""
        words = say("explore.status_starting")
        try:
            with _CollectedErrors() as errors, closing(self._make(self)) as parts:
                for words in parts:
                    yield RaceUpdate(words)
        finally:
            self.session = RecordingSession()  # only the results are kept
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
        """Return the buttons' state, depending on whether a job is running."""
        return {
            self.record: gr.Button(interactive=not running),
            self.measure: gr.Button(interactive=not running),
            self.stop: gr.Button(interactive=running),
        }


def explore_view(page: gr.Blocks, models: ModelsState, job: gr.HTML) -> None:
    """Build the page, inside a tab; `job` identifies the tab's recording or measurement (`kept_job`)."""
    gr.Markdown(text("explore.introduction"), elem_id="explore-introduction")
    with gr.Accordion(text("explore.record_own"), open=False, elem_id="explore-controls"):
        inputs, record = _recording_controls()
    with gr.Row(elem_id="explore-buttons", equal_height=True):
        with gr.Column(scale=5, min_width=280):
            status = browser_part("explore-status", say("explore.status_ready"), module="status")
        narrow = {"size": "md", "scale": 0, "min_width": 80}
        measure = gr.Button(text("explore.measure"), elem_id="measure", **narrow)
        stop = gr.Button(text("explore.stop"), interactive=False, elem_id="stop-recording", **narrow)
        opener = gr.UploadButton(
            text("explore.open"), file_types=[".json"], type="binary", elem_id="open-recording", **narrow
        )
    measured = browser_part("measured", "", module="explore/measured")
    explored = browser_part("explore", "", module="explore/explore", server_functions=[lane_replayer(models)])
    begin_in_language(page, inputs[0], EXAMPLES[0])
    parts = ExploreParts(inputs, record, measure, stop, opener, status, measured, explored)
    _wire(ExploreEvents(models, job, parts))


def _recording_controls() -> tuple[list[gr.components.Component], gr.Button]:
    """Build the inputs, in the order of `_record`, and the button that starts a recording."""
    with gr.Row():
        prompt = gr.Textbox(
            texts()[EXAMPLES[0]], label=text("explore.prompt"), lines=2, max_lines=4, scale=5, min_width=260
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
    """Handlers of the page's events, for a new page and one that was reloaded."""

    def __init__(self, models: ModelsState, job: gr.HTML, parts: ExploreParts):
        self.models = models
        self.job = job
        self.parts = parts
        self._unset = (gr.skip(),) * len(parts.inputs)

    def record_prompt(self, request: gr.Request, name: str, *values) -> dict:
        def make(work: ExploreWork) -> Iterator[str]:
            return _record(self.models, work)

        return self._begin(name, ExploreWork(values, self._work(name), make, request.session_hash))

    def measure_setting(self, request: gr.Request, name: str, measurement: str) -> dict:
        def make(work: ExploreWork) -> Iterator[str]:
            return _measure(self.models, measurement, work)

        before = self._work(name)
        return self._begin(name, ExploreWork(self._inputs(before), before, make, request.session_hash))

    def follow(self, name: str) -> Iterator[dict]:
        work = self._work(name)
        yield from self._follow(name, {self.parts.explored: work.before} if work else {})

    def resume(self, name: str) -> Iterator[dict]:
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
        if not jobs.is_under_way(name):  # otherwise the tab continues to follow that job
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
            return gr.skip()  # a second click: both events follow the first one's job
        started = self.models.jobs.start(work)
        self.models.jobs.forget(name)
        parts = self.parts
        return {self.job: started, parts.status: say("explore.status_starting"), **parts.set_running(True)}

    def _follow(self, name: str, shown: dict) -> Iterator[dict]:
        """Yield the changes to the page while a job runs. `shown` has the values already on the page."""
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
    raced = parts.measure.click(
        events.measure_setting,
        [job, parts.measured],  # the browser sends its request in place of the second value
        [job, parts.status, *parts.buttons],
        js=f"async (job) => [job, (await {open_module('explore/explore.js')}).request()]",
        queue=False,
        **PRIVATE,
    )
    shown = [parts.status, parts.explored, parts.measured, *parts.buttons]
    options = {"concurrency_limit": None, **PRIVATE}
    for run in (
        recorded.then(events.follow, job, shown, **options),
        raced.then(events.follow, job, shown, **options),
        job.input(events.resume, job, [*shown, *parts.inputs], **options),
    ):
        when_over(run, [parts.record, parts.measure], [parts.stop])
    parts.stop.click(events.stop, job, queue=False, **PRIVATE)
    parts.opener.upload(
        events.open_recording, [job, parts.opener], [job, parts.status, parts.explored], **PRIVATE
    )


def _record(models: ModelsState, work: ExploreWork) -> Iterator[str]:
    """Record the text that the controls describe, for the page to draw; yield words about the progress."""
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
    """Race the stopper that the browser requests, for the page to show; yield words about the progress."""
    settings, recording_id = read_request(request)
    with closing(play(models, settings, work.session)) as updates:
        for update in updates:
            yield update.words
    finished = update.key == "page.status_finished"
    lanes = measured_lanes(work.session.trace) if finished else []
    words = update.words if update.key == "host.status_time_limit" else say("explore.status_unmeasured")
    if lanes:
        values = {"spec": lanes[0]["label"], "speedup": f"{lanes[0]['speedup']:.2f}"}
        device = f"{work.session.trace.device}/{work.session.trace.dtype}"
        key = measurement_text(settings, lanes[0]["timing_reliable"] is not False)
        words = say(key, device=device, **values)
    work.measured = json.dumps({"measured_for": recording_id, "measured": lanes})
    yield words


def measurement_text(settings: RaceSettings, reliable: bool) -> str:
    """Return the key of the words about a measured race. Under speculative sampling, the race is another draw
    than the recording."""
    if not reliable:
        return "explore.status_measured_unreliable"
    another_draw = settings.verification == "speculative" and settings.temperature
    return "explore.status_measured_scatter" if another_draw else "explore.status_measured"


class _CollectedErrors(list):
    """Catch errors and collect words about them for the status line."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback) -> bool:
        if isinstance(error, UserError):
            self.append(say_error(error))
        elif isinstance(error, Exception):
            log.error("Explore failed", exc_info=error)
            self.append(say_error(FAILED))
        return isinstance(error, Exception)


def read_request(request: str) -> tuple[RaceSettings, str]:
    """Return the unchecked race that the browser requests (`request` in assets/js/explore/explore.js), and
    the id of the recording to compare the race with.

    Raises:
        UserError: the stopper cannot be measured, or the request is malformed.
    """
    if not request:
        raise UserError(
            "The oracle cannot be measured, because it works only in replays; highlight another rule."
        )
    try:
        values = json.loads(request)
        settings = RaceSettings(
            prompt=str(values["prompt"]),
            pair=str(values["pair"]),
            lanes=["autoregressive", str(values["spec"])],
            temperature=values["temperature"],
            top_k=whole(values["top_k"]),
            top_p=values["top_p"],
            max_new_tokens=whole(values["max_new_tokens"]),
            seed=int(str(values["seed"])[:20]),
            verification=str(values["verification"]),
            system=values.get("system", ""),
            continuation=values.get("continuation", False),
        )
        recording_id, same_noise = str(values["id"])[:200], values["noise_version"] == NOISE_VERSION
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError("This setting could not be read; reload the page and measure again.") from None
    writes_same_text = settings.verification == "shared_noise" and settings.temperature
    if not same_noise and writes_same_text:
        raise UserError(
            "This recording was made by a version that used different random numbers, so a race would write "
            "a different text; record the prompt again to measure it."
        )
    return settings, recording_id
