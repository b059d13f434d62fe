"""The endpoint /sweep: run a sweep like the Sweep page's, within the host's limits."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing

import gradio as gr

from adaedl.errors import UserError
from adaedl.measure.prompts import PROMPT_SETS
from adaedl.measure.sweep import summarise, to_csv
from components.parts.settings import read_specs, read_text
from components.parts.sweep_results import records
from components.parts.sweep_settings import SweepSettings
from components.parts.texts import english
from components.serving.jobs import SWEEP_GRACE_S
from components.serving.models_state import ModelsState
from components.serving.race_session import Session
from components.serving.readers import check_reader
from components.serving.sweep_session import Pace, SweepSession, SweepUpdate, play_sweep

LANES = "autoregressive,fixed:k=4,adaedl"


def sweep_endpoint(
    models: ModelsState, default_pair: str, page: gr.Blocks | None = None
) -> Callable[..., Iterator[dict]]:
    """Return the function behind /sweep. On a page, a sweep ends if nobody reads its results: one call may
    take hundreds of turns on the device."""
    pace = Pace()

    def sweep(
        prompts: str = "",
        lanes: str = LANES,
        temperatures: str = "0,0.7",
        seeds: str = "0",
        max_new_tokens: int = 48,
        verification: str = "shared_noise",
        kinds: str = ",".join(PROMPT_SETS),
        count: int = 1,
        pair: str = default_pair,
        request: gr.Request = None,
    ) -> Iterator[dict]:
        """Run every combination of prompts, temperatures, seeds and lanes, and stream a row for each run.

        Read the results while the sweep runs: it ends if nobody reads them for two minutes.

        Args:
            prompts: Your own prompts, one per line. If empty, the built-in prompts run (see kinds and count).
            lanes: The stopping rules to run, separated by commas. Settings follow a colon:
                autoregressive,fixed:k=4,adaedl:threshold=0.5.
            temperatures: The sampling temperatures, separated by commas; 0 means argmax.
            seeds: The seeds of the random numbers, whole numbers separated by commas.
            max_new_tokens: The most tokens that each run writes.
            verification: The rule that accepts drafted tokens. shared_noise: all lanes of a prompt write the
                same text. speculative: speculative sampling, where each lane draws its own text. Both sample
                exactly from the target's distribution.
            kinds: The kinds of built-in prompts to run, separated by commas.
            count: How many built-in prompts of each kind to run.
            pair: The models: a name from /pairs, or two models from the Hugging Face Hub that share a
                tokenizer, as target:draft.

        Returns:
            At every change, an object {"state", "done", "total", "seconds_left", "rows"}. "state" is waiting,
                running, finished or stopped; a stopped sweep gives a "reason", such as the host's time limit.
                "done" and "total" count runs; "seconds_left" is null until it is known. "rows" has the new
                rows, one per run, with the columns of the CSV. The last object also has "summary", a row for
                each lane and temperature, and "csv", all rows; save it as a file to open it on the page.
        """
        session = SweepSession(race=Session(visitor=request.session_hash if request else None))
        rows_sent = 0
        try:
            settings = SweepSettings(
                kinds=[kind.strip() for kind in read_text("kinds", kinds).split(",")],
                count=count,
                listed=read_text("prompts", prompts),
                temperatures=read_text("temperatures", temperatures),
                lanes=read_specs(lanes),
                seeds=read_text("seeds", seeds),
                max_new_tokens=max_new_tokens,
                verification=read_text("verification", verification),
            )
            grid = settings.grid(read_text("pair", pair))
            with closing(play_sweep(models, pair, grid, session, pace)) as updates:
                for update in updates:
                    if page and request:
                        check_reader(page, request, SWEEP_GRACE_S)
                    yield describe_sweep(session, update, rows_sent)
                    rows_sent = len(session.rows)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return sweep


def describe_sweep(session: SweepSession, update: SweepUpdate, rows_sent: int) -> dict:
    """Return the sweep as /sweep yields it once `rows_sent` rows have been sent; the endpoint's docstring
    describes the format."""
    words = json.loads(update.words)
    described = {
        "state": _state(update, words["key"]),
        "done": update.done,
        "total": update.total,
        "seconds_left": update.seconds_left,
        "rows": records(session.rows.iloc[rows_sent:]),
    }
    if described["state"] == "stopped":
        described["reason"] = english(words["key"], words["values"])
    if update.ended:
        described |= {"summary": records(summarise(session.rows)), "csv": to_csv(session.rows)}
    return described


def _state(update: SweepUpdate, key: str) -> str:
    if update.ended:
        return "finished" if key == "sweep.status_finished" else "stopped"
    return "running" if key == "sweep.status_running" else "waiting"
