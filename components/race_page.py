"""The Race page: controls above, a player over the session's trace below. A live race, and one that is
opened from a file, are drawn by the same lines."""

import logging
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from adaedl.errors import UserError
from adaedl.metrics import compute_metrics, to_frame
from adaedl.trace import Trace
from components.charts import lane_chart, progress_chart, speedup_chart
from components.controls import Controls, controls_view
from components.live import Session, play
from components.messages import error_html, models_html, status_html
from components.metrics_table import explanations_html, table_html
from components.models_state import ModelsState
from components.settings import MAX_LANES
from components.strips import StripFeed, legend_html, strips_view
from components.words import lane_title

DRAW_S = 0.5  # figures and numbers take their turns at this pace; strips are drawn at every update

INTRODUCTION = """# AdaEDL live
A small **draft model** guesses the next tokens, a large **target model** checks all the guesses in one pass.
Each lane below decides in its own way when to stop guessing: watch which one is fastest, and why."""

log = logging.getLogger(__name__)


def build_page(models: ModelsState) -> gr.Blocks:
    """The whole page. Nothing is loaded by building it."""
    with gr.Blocks(title="AdaEDL live", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        session = gr.State(Session(), time_to_live=3600)
        gr.Markdown(INTRODUCTION, elem_id="introduction")
        status = _html(status_html("Press Run to start a race."), "status", render=False)
        controls = controls_view(models.default, status)
        models_line = _html(lambda: models_html(models.state, models.pair), "models")
        status.render()
        player = Player(models, status, models_line, controls)
        _wire(models, session, player, controls)
    return page


class Player:
    """The components that show a trace, and what to change in them."""

    def __init__(self, models: ModelsState, status: gr.HTML, models_line: gr.HTML, controls: Controls):
        self.models, self.status, self.models_line, self.controls = models, status, models_line, controls
        self.strips = strips_view()
        _html(legend_html(), "legend")
        with gr.Row(elem_classes="charts"):
            self.speedup = _plot("speedup")
            self.progress = _plot("progress")
        self.chosen = gr.CheckboxGroup(
            [], label="charts of lanes", visible=False, type="value", elem_id="charted"
        )
        self.lanes = [_plot(f"chart-{number}", "lane-chart") for number in range(MAX_LANES)]
        self.table = _html(table_html(None), "table")
        with gr.Accordion("What the numbers mean", open=False):
            _html(explanations_html(), "explanations")
        with gr.Row():
            self.save_trace = gr.DownloadButton("Save trace (JSON)", interactive=False, elem_id="save-trace")
            self.save_numbers = gr.DownloadButton("Save numbers (CSV)", interactive=False, elem_id="save-csv")
            self.open_trace = gr.UploadButton(
                "Open a trace", file_types=[".json"], type="binary", elem_id="open-trace"
            )

    @property
    def everything(self) -> list[gr.components.Component]:
        return [
            *(self.status, self.models_line, self.controls.run, self.controls.stop),
            *(self.strips, self.speedup, self.progress, self.chosen, *self.lanes),
            *(self.table, self.save_trace, self.save_numbers),
        ]

    def say(self, html: str, running: bool) -> dict:
        """A sentence about the race, the state of the models, and the buttons that go with them."""
        return {
            self.status: html,
            self.models_line: models_html(self.models.state, self.models.pair),
            self.controls.run: gr.Button(interactive=not running),
            self.controls.stop: gr.Button(interactive=running),
        }

    def blank(self, session: Session) -> dict:
        """A race that has just begun: its lanes, and room for what is to come."""
        return {
            **self.draw_summary(session.trace),
            **self.draw_lanes(session),
            self.chosen: gr.CheckboxGroup(
                [(lane_title(lane), n) for n, lane in enumerate(session.trace.lanes[:MAX_LANES])],
                value=session.charted,
                visible=True,
            ),
            self.save_trace: gr.DownloadButton(interactive=False),
            self.save_numbers: gr.DownloadButton(interactive=False),
        }

    def draw_summary(self, trace: Trace) -> dict:
        return {
            self.speedup: gr.Plot(speedup_chart(trace), visible=True),
            self.progress: gr.Plot(progress_chart(trace), visible=True),
            self.table: table_html(trace),
        }

    def draw_lane(self, session: Session, number: int) -> dict:
        if number not in session.charted or number >= len(session.trace.lanes):
            return {self.lanes[number]: gr.Plot(None, visible=False)}
        lane = session.trace.lanes[number]
        return {self.lanes[number]: gr.Plot(lane_chart(lane), visible=True)}

    def draw_lanes(self, session: Session) -> dict:
        return {plot: plots for n in range(MAX_LANES) for plot, plots in self.draw_lane(session, n).items()}

    def finished(self, session: Session) -> dict:
        """All there is to see of a trace that grows no more, and its files."""
        session.folder = session.folder or TemporaryDirectory(prefix="adaedl-")
        folder = Path(session.folder.name)
        (folder / "adaedl-trace.json").write_text(session.trace.to_json(), "utf-8")
        to_frame(session.trace).to_csv(folder / "adaedl-metrics.csv", index=False)
        return {
            **self.blank(session),
            self.save_trace: gr.DownloadButton(value=str(folder / "adaedl-trace.json"), interactive=True),
            self.save_numbers: gr.DownloadButton(value=str(folder / "adaedl-metrics.csv"), interactive=True),
        }


def _html(value, name: str, **options) -> gr.HTML:
    """HTML of our own making, styled by assets/page.css alone."""
    return gr.HTML(value, elem_id=name, apply_default_css=False, js_on_load=None, **options)


def _plot(name: str, css_class: str = "") -> gr.Plot:
    """A figure's place. The figures have titles of their own."""
    return gr.Plot(
        label=name, show_label=False, visible=False, min_width=300, elem_id=name, elem_classes=css_class
    )


def _wire(models: ModelsState, session: gr.State, player: Player, controls: Controls) -> None:
    def run(session: Session, *values):
        before, feed, drawn_at, turn = session.trace, None, 0.0, 0
        try:
            with closing(play(models, controls.read(*values), session)) as moments:
                for moment in moments:
                    changes = player.say(status_html(moment.sentence), running=not moment.ended)
                    if session.trace is before:  # still waiting
                        yield changes
                        continue
                    now = time.monotonic()
                    if feed is None:
                        feed, drawn_at = StripFeed(session.trace), now
                        changes |= player.blank(session)
                    feed.add_new_rounds()
                    if moment.ended:
                        changes |= player.finished(session)
                        feed.add_numbers()
                    elif now - drawn_at >= DRAW_S:
                        drawn_at, turn = now, turn + 1
                        feed.add_numbers()
                        charted = session.charted
                        number = turn % (len(charted) + 1)
                        changes |= (
                            player.draw_lane(session, charted[number - 1])
                            if number
                            else player.draw_summary(session.trace)
                        )
                    yield changes | {player.strips: feed.text}
        except UserError as error:
            yield player.say(error_html(str(error)), running=False)
        except Exception:
            log.exception("a race failed")
            sentence = "The race failed, and the host's log says why; try again."
            yield player.say(error_html(sentence), running=False)

    def stop(session: Session) -> None:
        # No word of its own: it could arrive after the race's last one, and would then stay.
        session.stop_requested = True

    def choose(session: Session, charted: list[int]) -> dict:
        session.charted = sorted(charted)
        return player.draw_lanes(session) if session.trace else {}

    def open_trace(session: Session, content: bytes) -> dict:
        try:
            trace = Trace.from_json(content)
        except UserError as error:
            return {player.status: error_html(str(error))}
        if len(trace.lanes) > MAX_LANES:
            sentence = f"This trace has {len(trace.lanes)} lanes; the page shows at most {MAX_LANES}."
            return {player.status: error_html(sentence)}
        compute_metrics(trace)  # what is shown is computed here, whatever the file says
        session.trace = trace
        session.charted = [n for n, lane in enumerate(trace.lanes) if lane.stopper != "autoregressive"]
        feed = StripFeed(trace)
        feed.add_new_rounds()
        feed.add_numbers()
        said = f"Opened a race of {trace.created} with {trace.pair.name} on {trace.device}/{trace.dtype}."
        return {**player.finished(session), player.strips: feed.text, player.status: status_html(said)}

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    inputs = [session, *controls.inputs]
    controls.run.click(run, inputs, player.everything, concurrency_limit=None, **quiet)
    controls.stop.click(stop, session, queue=False, **quiet)
    player.chosen.input(choose, [session, player.chosen], player.lanes, **quiet)
    player.open_trace.upload(open_trace, [session, player.open_trace], player.everything, **quiet)

    timer = gr.Timer(0.5)

    def poll():
        settled = models.state.phase in ("ready", "failed")
        return models_html(models.state, models.pair), gr.Timer(active=not settled)

    timer.tick(poll, None, [player.models_line, timer], queue=False, **quiet)
