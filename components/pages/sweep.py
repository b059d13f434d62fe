"""The Sweep page: run prompts × temperatures × seeds × lanes, and show the results (assets/js/sweep)."""

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import gradio as gr
import pandas as pd

from adaedl.errors import Sentence, UserError
from adaedl.measure.prompts import PROMPT_SETS
from adaedl.measure.sweep import (
    PROMPT_TEXT,
    Grid,
    prompts_from_lines,
    prompts_in_file,
    rows_to_keep,
    setup_of,
    to_frame,
)
from adaedl.request import MAX_LANES
from components.parts.assets import open_module
from components.parts.browser_events import when_over
from components.parts.browser_part import browser_part
from components.parts.controls import unchecked, verification_rule
from components.parts.lanes_editor import lanes_editor
from components.parts.messages import say, say_error
from components.parts.settings import read_lanes, whole
from components.parts.sweep_results import describe_results, example, open_rows, parquet
from components.parts.sweep_settings import SweepSettings, most_runs, runs_of
from components.parts.texts import text
from components.serving.jobs import SWEEP_GRACE_S
from components.serving.models_state import ModelsState
from components.serving.race_session import Session, wait_for_pair
from components.serving.sweep_session import Pace, SweepSession, SweepUpdate, play_sweep
from components.settings.hosting import host

PRIVATE = {"show_progress": "hidden", "api_visibility": "private"}
DEFAULTS = SweepSettings(
    kinds=list(PROMPT_SETS),
    count=1,
    listed="",
    temperatures="0, 0.7, 1.3",
    lanes=["autoregressive", "fixed:k=4", "adaedl", "max_confidence"],
    seeds="0",
    max_new_tokens=48,
    verification="shared_noise",
)
PRESETS = ("0, 0.7, 1.3", "0, 0.7, 1.0, 1.3, 1.7", "0.7")

log = logging.getLogger(__name__)

RUNNING = UserError("A sweep is running on this page; stop it first.")
FAILED = UserError("The sweep failed; finished rows are kept. The server log has the reason.")


@dataclass
class SweepControls:
    """The components; `inputs` are in the order of `read`'s parameters."""

    inputs: list[gr.components.Component]
    start: gr.Button
    go_on: gr.Button
    stop: gr.Button
    open_csv: gr.UploadButton
    open_list: gr.UploadButton
    presets: list[gr.Button]

    @staticmethod
    def read(kinds, count, listed, temperatures, lanes, seeds, tokens, rule) -> SweepSettings:
        """Return the settings for the values of `inputs`.

        Raises:
            UserError: the lanes are not a list of specs.
        """
        return SweepSettings(
            kinds=kinds,
            count=whole(count),
            listed=listed,
            temperatures=temperatures,
            lanes=read_lanes(lanes),
            seeds=seeds,
            max_new_tokens=whole(tokens),
            verification=rule,
        )


class SweepWork:
    """A sweep as a job (components/serving/jobs.py), or the rows of a file.

    Args:
        inputs: the values of the controls, to restore them after a reload.
        before: the work whose rows are kept until there are new ones.
        goes_on: whether to continue with the rows of `before`.
    """

    grace_s = SWEEP_GRACE_S

    def __init__(
        self,
        models: ModelsState,
        pace: Pace,
        inputs: tuple,
        before: "SweepWork | None" = None,
        goes_on: bool = False,
        visitor: str | None = None,
    ):
        self.models = models
        self.pace = pace
        self.inputs = inputs
        self._input_bytes = len(repr(inputs))
        self.goes_on = goes_on
        self.session = SweepSession(race=Session(visitor=visitor))
        self.about = "sweep.about_opened"
        if before:
            self.session.rows, self.about = before.session.rows, before.about

    @property
    def rows(self) -> pd.DataFrame:
        """The rows to show and to continue with."""
        return self.session.rows

    @property
    def size(self) -> int:
        """The bytes of the rows and the inputs."""
        return int(self.rows.memory_usage(deep=True).sum()) + self._input_bytes

    def stop(self) -> None:
        """End the sweep within a round."""
        self.session.stop_requested = True

    def run(self) -> Iterator[SweepUpdate]:
        """Run the sweep and yield its updates; if anything goes wrong, the last one says what."""
        session, last = self.session, SweepUpdate(say("page.status_starting"), 0, 0, None)
        kept = session.rows
        try:
            pair = _pair_name(self.models)
            grid = SweepControls.read(*self.inputs).grid(pair)
            session.rows = to_frame([])
            if self.goes_on:
                for words in _keep_rows(self.models, pair, grid, kept, session):
                    yield replace(last, words=words)
            with closing(play_sweep(self.models, pair, grid, session, self.pace)) as updates:
                for last in updates:
                    if last.new_rows:
                        self.about = "sweep.about_measured"
                    if not last.ended:
                        yield last
            last = replace(last, ended=True)
        except UserError as error:
            last = replace(last, words=say_error(error), ended=True)
        except Exception:
            log.exception("a sweep failed")
            last = replace(last, words=say_error(FAILED), ended=True)
        finally:
            if session.rows.empty:
                session.rows = kept
            session.race = Session()  # frees the last trace
        yield last


def sweep_view(models: ModelsState, job: gr.HTML) -> None:
    """Build the page, inside a tab; `job` identifies the tab's sweep (`kept_job`)."""
    pace, default = Pace(), defaults()
    gr.Markdown(text("sweep.introduction"), elem_id="sweep-introduction")
    controls = _controls(default)
    plan = browser_part("sweep-plan", _plan(default, models, pace), module="status")
    status = browser_part("sweep-status", say("sweep.status_ready"), module="status")
    progress = browser_part("sweep-progress", "", module="sweep/progress")
    results = browser_part("sweep", example(), module="sweep/results", server_functions=[parquet])
    outputs = SweepOutputs(plan, status, progress, results)
    _wire_run(SweepEvents(models, pace, job, controls, outputs))
    _wire_plan(models, pace, controls, plan)
    _wire_own_prompts(controls)
    _wire_files(models, pace, job, controls, status, results)


def defaults() -> SweepSettings:
    """Return DEFAULTS within the host's limits: with fewer temperatures, then fewer kinds, then fewer
    lanes."""
    temperatures, kinds, lanes = DEFAULTS.temperatures.split(","), list(DEFAULTS.kinds), list(DEFAULTS.lanes)
    for values in (temperatures, kinds, lanes):
        while len(values) > 1 and len(temperatures) * len(kinds) * len(lanes) > most_runs():
            values.pop()
    tokens = min(DEFAULTS.max_new_tokens, host().max_tokens)
    return replace(
        DEFAULTS, kinds=kinds, temperatures=",".join(temperatures), lanes=lanes, max_new_tokens=tokens
    )


def _controls(default: SweepSettings) -> SweepControls:
    """Build the controls, with their default values."""
    with gr.Row(elem_id="sweep-controls"):
        with gr.Column(scale=5, min_width=300):
            with gr.Row():
                kinds = unchecked(
                    gr.CheckboxGroup(
                        [(text(f"sweep.kind.{kind}"), kind) for kind in PROMPT_SETS],
                        value=default.kinds,
                        label=text("sweep.kinds"),
                        scale=4,
                        min_width=240,
                        elem_id="sweep-kinds",
                    )
                )
                count = _number(text("sweep.count"), default.count, "sweep-count")
            with gr.Accordion(text("sweep.own"), open=False, elem_id="sweep-own"):
                listed = gr.Textbox(label=text("sweep.list"), lines=4, max_lines=10, elem_id="sweep-list")
                open_list = gr.UploadButton(
                    text("sweep.open_list"),
                    file_types=[".txt"],
                    type="binary",
                    size="sm",
                    elem_id="sweep-open-list",
                )
            lanes = lanes_editor("sweep-lanes", default.lanes, MAX_LANES)
        with gr.Column(scale=4, min_width=300):
            temperatures = gr.Textbox(
                default.temperatures,
                label=text("sweep.temperatures"),
                max_lines=1,
                elem_id="sweep-temperatures",
            )
            with gr.Row(elem_id="sweep-presets"):
                presets = [gr.Button(preset, size="sm", min_width=60) for preset in PRESETS]
            with gr.Row():
                seeds = gr.Textbox(
                    default.seeds,
                    label=text("sweep.seeds"),
                    max_lines=1,
                    min_width=90,
                    elem_id="sweep-seeds",
                )
                tokens = _number(text("page.tokens"), default.max_new_tokens, "sweep-tokens")
            rule = verification_rule(default.verification, elem_id="sweep-rule")
    with gr.Row(elem_id="sweep-buttons"):
        compact = {"size": "md", "min_width": 90}
        start = gr.Button(text("sweep.start"), variant="primary", elem_id="sweep-start", **compact)
        stop = gr.Button(text("sweep.stop"), interactive=False, elem_id="sweep-stop", **compact)
        go_on = gr.Button(text("sweep.go_on"), interactive=False, elem_id="sweep-go-on", **compact)
        open_csv = gr.UploadButton(
            text("sweep.open"), file_types=[".csv"], type="binary", elem_id="sweep-open", **compact
        )
    inputs = [kinds, count, listed, temperatures, lanes, seeds, tokens, rule]
    return SweepControls(inputs, start, go_on, stop, open_csv, open_list, presets)


@dataclass
class SweepOutputs:
    """The components that show a sweep."""

    plan: gr.HTML
    status: gr.HTML
    progress: gr.HTML
    results: gr.HTML


class SweepEvents:
    """Handlers of Start, Continue and Stop, for a new page and one that was reloaded."""

    def __init__(
        self, models: ModelsState, pace: Pace, job: gr.HTML, controls: SweepControls, outputs: SweepOutputs
    ):
        self.models = models
        self.pace = pace
        self.job = job
        self.controls = controls
        self.outputs = outputs

    def start(self, request: gr.Request, name: str, *values) -> dict:
        return self._begin(request, name, values, goes_on=False)

    def go_on(self, request: gr.Request, name: str, *values) -> dict:
        return self._begin(request, name, values, goes_on=True)

    def _begin(self, request: gr.Request, name: str, values: tuple, goes_on: bool) -> dict:
        jobs = self.models.jobs
        if jobs.is_under_way(name):
            return gr.skip()  # a second click: both events follow the first one's job
        before = jobs.find(name, SweepWork)
        if goes_on and before is None:
            return gr.skip()  # deleted, as `follow` will say
        work = SweepWork(self.models, self.pace, values, before, goes_on, request.session_hash)
        changes = {self.job: jobs.start(work), self.outputs.status: say("page.status_starting")}
        jobs.forget(name)
        return {**changes, **_buttons(self.controls, True, work)}

    def follow(self, name: str) -> Iterator[dict]:
        jobs, outputs = self.models.jobs, self.outputs
        work = jobs.find(name, SweepWork)
        if work is None:
            yield {outputs.status: say("host.status_forgotten")} if name else gr.skip()
            return
        shown = None
        for update in jobs.follow(name):
            changes = {
                outputs.status: update.words,
                outputs.progress: "" if update.ended else _progress(update),
            }
            state = (work.about, len(work.rows))
            if state != shown and not work.rows.empty:
                changes[outputs.results] = describe_results(work.rows, work.about)
            if state != shown or update.ended:
                changes |= _buttons(self.controls, not update.ended, work)
            shown = state
            yield changes

    def resume(self, name: str) -> Iterator[dict]:
        if work := self.models.jobs.find(name, SweepWork):
            yield dict(zip(self.controls.inputs, work.inputs, strict=True))
        yield from self.follow(name)

    def stop(self, name: str) -> None:
        self.models.jobs.stop(name)


def _wire_run(events: SweepEvents) -> None:
    """Connect Start, Continue and Stop, and the sweep to the parts that show it."""
    job, controls, outputs = events.job, events.controls, events.outputs
    buttons = [controls.start, controls.go_on, controls.stop]
    shown = [outputs.status, outputs.progress, outputs.results, *buttons]
    sweeps = []
    for button, run in ((controls.start, events.start), (controls.go_on, events.go_on)):
        started = button.click(
            run, [job, *controls.inputs], [job, outputs.status, *buttons], queue=False, **PRIVATE
        )
        sweeps.append(started.then(events.follow, job, shown, concurrency_limit=None, **PRIVATE))
    sweeps.append(
        job.input(events.resume, job, [*shown, *controls.inputs], concurrency_limit=None, **PRIVATE)
    )
    for sweep in sweeps:
        when_over(sweep, [controls.start], [controls.stop]).then(
            lambda *values: _plan_of(values, events.models, events.pace),
            controls.inputs,
            outputs.plan,
            queue=False,
            **PRIVATE,
        )
    controls.stop.click(events.stop, job, queue=False, **PRIVATE)


def _wire_plan(models: ModelsState, pace: Pace, controls: SweepControls, plan: gr.HTML) -> None:
    """Keep the sentence about the number of runs up to date."""
    gr.on(
        [part.change for part in controls.inputs],
        lambda *values: _plan_of(values, models, pace),
        controls.inputs,
        plan,
        queue=False,
        trigger_mode="always_last",
        **PRIVATE,
    )
    temperatures = controls.inputs[3]
    for preset in controls.presets:
        preset.click(None, preset, temperatures, js="(preset) => preset", **PRIVATE)


def _wire_own_prompts(controls: SweepControls) -> None:
    """Untick the kinds of built-in prompts while the visitor's own prompts replace them, and tick them again
    when the visitor's own are gone."""
    kinds, count, listed = controls.inputs[:3]

    def follow(listed: str | None, kinds: list[str] | None) -> tuple:
        own = bool((listed or "").strip())
        ticked = [] if own else kinds or defaults().kinds
        return gr.CheckboxGroup(value=ticked, interactive=not own), gr.Number(interactive=not own)

    listed.change(
        follow,
        [listed, kinds],
        [kinds, count],
        js=f"async (...values) => (await {open_module('sweep/kinds.js')}).remembered(...values)",
        queue=False,
        trigger_mode="always_last",
        **PRIVATE,
    )


def _wire_files(
    models: ModelsState,
    pace: Pace,
    job: gr.HTML,
    controls: SweepControls,
    status: gr.HTML,
    results: gr.HTML,
) -> None:
    """Open a sweep from a CSV file, to view or continue it, and prompts from a text file."""

    def open_csv(name: str, content: bytes | None) -> dict:
        try:
            if models.jobs.is_under_way(name):
                return {status: say_error(RUNNING)}
            rows = open_rows(content or b"")
        except UserError as error:
            return {status: say_error(error)}
        work = SweepWork(models, pace, _settings_in(rows))
        work.session.rows = rows
        update = SweepUpdate(say("sweep.status_opened", rows=len(rows)), len(rows), len(rows), 0, ended=True)
        return {
            job: models.jobs.keep(work, update),
            status: update.words,
            results: describe_results(rows, work.about),
            controls.go_on: gr.Button(interactive=True),
            **dict(zip(controls.inputs, work.inputs, strict=True)),
        }

    def open_list(content: bytes | None) -> dict:
        try:
            return {controls.inputs[2]: prompts_in_file(content or b"")}
        except UserError as error:
            return {status: say_error(error)}

    controls.open_csv.upload(
        open_csv,
        [job, controls.open_csv],
        [job, status, results, controls.go_on, *controls.inputs],
        **PRIVATE,
    )
    controls.open_list.upload(open_list, controls.open_list, [status, controls.inputs[2]], **PRIVATE)


def _settings_in(rows: pd.DataFrame) -> tuple:
    """Return the values of the inputs with which an opened sweep was run, as far as its rows show them."""
    built_in = rows[rows["kind"].isin(list(PROMPT_SETS))]
    prompts = (gr.skip(), gr.skip(), _listed_in(rows) or gr.skip())
    if not built_in.empty:
        count = min(int(built_in["prompt"].max()), max(map(len, PROMPT_SETS.values())))
        prompts = (list(dict.fromkeys(built_in["kind"])), count, "")
    first = rows.iloc[0]
    return (
        *prompts,
        ", ".join(f"{value:g}" for value in dict.fromkeys(rows["temperature"])),
        json.dumps(list(dict.fromkeys(rows["lane"]))),
        ", ".join(str(value) for value in dict.fromkeys(rows["seed"])),
        int(first["max_new_tokens"]),
        first["verification"] if first["verification"] == "speculative" else "shared_noise",
    )


def _listed_in(rows: pd.DataFrame) -> str:
    """Return the visitor's own prompts of an opened sweep, one per line; "" if its rows lack the text of
    any."""
    distinct = rows[["prompt", "prompt_digest", PROMPT_TEXT]].drop_duplicates().sort_values("prompt")
    listed = "\n".join(str(text) for text in distinct[PROMPT_TEXT])
    digests = [prompt.digest for prompt in prompts_from_lines(listed)]
    return listed if digests == list(distinct["prompt_digest"]) else ""


def _keep_rows(
    models: ModelsState, name: str, grid: Grid, kept: pd.DataFrame, session: SweepSession
) -> Iterator[str]:
    """Put the rows with which a sweep continues into `session.rows`. If the pair is not loaded, load it in a
    separate turn; yield words for the status line in the meantime.

    Raises:
        UserError: the rows belong to another sweep, pair or device; or the pair cannot be loaded.
    """
    pair = models.pair if models.pair and models.pair.name == name else None
    if pair is None:
        turn = models.take_turn(visitor=session.race.visitor)
        try:
            pair = yield from wait_for_pair(models, turn, name, lambda: session.stop_requested)
        finally:
            turn.leave()
    if pair is None:  # stopped
        session.rows = kept
        return
    advice = Sentence("change it back, or press Start for a new sweep")
    session.rows = rows_to_keep(kept, grid, setup_of(pair), Sentence("The table"), advice)


def _plan_of(values: tuple, models: ModelsState, pace: Pace) -> str:
    try:
        return _plan(SweepControls.read(*values), models, pace)
    except UserError as error:
        return say_error(error)


def _plan(settings: SweepSettings, models: ModelsState, pace: Pace) -> str:
    """Return words for the number of runs and, if runs were measured, their duration."""
    pair = _pair_name(models)
    grid = settings.grid(pair)
    runs = runs_of(grid)
    values = {
        "runs": runs,
        "prompts": len(grid.prompts),
        "temperatures": len(grid.temperatures),
        "seeds": len(grid.seeds),
        "lanes": len(grid.lanes),
        "tokens": grid.max_new_tokens,
        "pair": pair,
        "repeats": settings.repeats or "",
    }
    seconds = pace.seconds_for(pair, runs * grid.max_new_tokens)
    if seconds is None:
        return say("sweep.plan", **values)
    return say("sweep.plan_timed", time=_clock(seconds), **values)


def _progress(update: SweepUpdate) -> str:
    """Return the value of the progress line."""
    left = None if update.seconds_left is None else _clock(update.seconds_left)
    return json.dumps({"done": update.done, "total": update.total, "left": left})


def _clock(seconds: float) -> str:
    """Format a duration in minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _pair_name(models: ModelsState) -> str:
    return models.pair.name if models.pair else models.default


def _buttons(controls: SweepControls, running: bool, work: SweepWork) -> dict:
    return {
        controls.start: gr.Button(interactive=not running),
        controls.go_on: gr.Button(interactive=not running and not work.rows.empty),
        controls.stop: gr.Button(interactive=running),
    }


def _number(label, value: float, name: str) -> gr.components.Component:
    return unchecked(gr.Number(value, label=label, scale=1, min_width=100, elem_id=name))
