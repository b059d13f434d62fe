"""`race`: race several stoppers on one prompt."""

import argparse
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import cast

from adaedl.cli.common import (
    Result,
    add_lanes_option,
    add_prompt_options,
    add_text_options,
    finish_all,
    keeping_results,
    load,
)
from adaedl.cli.inputs import read_prompt
from adaedl.cli.tables import describe_pair, metrics_table, printable
from adaedl.errors import UserError
from adaedl.pairs.presets import resolve
from adaedl.repeats import MAX_REPEATS, MIN_REPEATS, requests_of
from adaedl.request import RaceRequest, Sampling
from adaedl.stopping import split_specs
from adaedl.system import interrupts

SUMMARY = "Race several stoppers on one prompt."
OUTPUTS = ("json", "csv", "html")
TOP_LISTS_LEFT_OUT = {
    "judged": "The trace is large; it leaves out the most probable tokens of drafts after a rejected draft.",
    "none": "The trace is large; it leaves out the most probable tokens of p and q.",
}


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("prompt", metavar="PROMPT", help="the prompt to answer; - reads it from stdin")
    add_prompt_options(command)
    add_lanes_option(command, "stoppers, such as autoregressive,fixed:k=5,adaedl:gamma=0.2")
    add_text_options(command)
    command.add_argument(
        "--verification",
        default="shared_noise",
        metavar="RULE",
        help="verification rule: shared_noise (default; all lanes write the same text) or speculative",
    )
    command.add_argument(
        "--repeat",
        type=int,
        metavar="N",
        help=f"race N times ({MIN_REPEATS} to {MAX_REPEATS}) with seeds SEED, SEED + 1, …; print means",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the trace, which the page opens")
    command.add_argument(
        "--csv", type=Path, metavar="FILE", help="write every token of every lane, one per row"
    )
    command.add_argument("--html", type=Path, metavar="FILE", help="write a page that plays the race")


def run(args: argparse.Namespace) -> int:
    """Race the lanes, then print their texts and metrics. Ctrl-C keeps the rounds so far."""
    from adaedl.racing import empty_trace
    from adaedl.token_table import tokens_csv

    request = RaceRequest(
        read_prompt(args.prompt),
        list(resolve(args.pair).lanes) if args.lanes is None else split_specs(args.lanes),
        Sampling(args.temperature, args.top_k, args.top_p),
        args.max_new_tokens,
        args.seed,
        args.verification,
        args.system,
        args.continuation,
    )
    if args.repeat is not None:
        return run_repeats(args, requests_of(request, args.repeat))
    pair = load(args)
    trace = empty_trace(pair, request)
    with keeping_results(lambda: any(lane.rounds for lane in trace.lanes)) as stopped:
        play(pair, trace)
    results: list[Result] = [
        (args.json, lambda: fitted_json(trace)),
        (args.csv, lambda: tokens_csv([trace])),
        (args.html, lambda: fitted_html(trace)),
    ]
    return finish_all(results, report(pair, trace), stopped)


def run_repeats(args: argparse.Namespace, requests: list[RaceRequest]) -> int:
    """Run the same race with several seeds, then print means over the races. Ctrl-C keeps the finished
    races."""
    from adaedl.racing import empty_trace
    from adaedl.token_table import tokens_csv
    from adaedl.trace import Trace

    for name in ("json", "html"):
        if getattr(args, name) is not None:
            raise UserError("--{} writes one race; leave out --repeat, or write all tokens with --csv.", name)
    pair = load(args)
    traces: list[Trace] = []
    finished: list[Trace] = []
    with keeping_results(lambda: finished) as stopped:
        for request in requests:
            traces.append(empty_trace(pair, request))
            play(pair, traces[-1])
            finished.append(traces[-1])
    return finish_all([(args.csv, lambda: tokens_csv(traces))], repeats_report(pair, finished), stopped)


def play(pair, trace) -> None:
    """Run a race into its trace, with progress on stderr. An interrupt waits for the end of a round."""
    from tqdm import tqdm

    from adaedl.racing import race

    total = len(trace.lanes) * trace.max_new_tokens
    with (
        interrupts.held(),  # until a round ends, so that the trace has no partial round
        closing(cast(Generator, race(pair, trace))) as rounds,
        tqdm(total=total, desc="racing", unit="token", leave=False, file=sys.stderr) as bar,
    ):
        for _, finished_round in rounds:
            bar.update(len(finished_round.token_ids))
            interrupts.check()


def report(pair, trace) -> str:
    """Return the report of `race`: the pair, the text of each lane, the metrics, and remarks on them."""
    from adaedl.metrics import to_frame

    lines = [describe_pair(pair)]
    lines += [f"\n{title_of(lane, trace)}:\n{printable(lane.text)}" for lane in trace.lanes]
    lines.append(f"\n{metrics_table(to_frame(trace))}")
    if remarks := remarks_on(trace):
        lines.append("\n" + "\n".join(remarks))
    return "\n".join(lines)


def repeats_report(pair, traces: list) -> str:
    """Return the report of `race --repeat`: the pair, a table of means, and an explanation of the means."""
    import pandas as pd

    from adaedl.repeats import summarise_repeats
    from adaedl.statistics import MIN_VALUES

    frame = pd.DataFrame([asdict(lane) for lane in summarise_repeats(traces)])
    seeds = f"{len(traces)} races with the seeds {traces[0].seed} to {traces[-1].seed}"
    interval = "its 95% interval (Student's t on the logarithms)"
    if len(traces) < MIN_VALUES:
        interval = f"the speedup of each race (an interval needs {MIN_VALUES} races)"
    lines = [
        describe_pair(pair),
        f"\n{metrics_table(frame, sample='race')}",
        f"\n{seeds}: speedup is the geometric mean, with {interval}; the other numbers are means.",
    ]
    if traces[0].sampling.greedy:
        lines.append("At temperature 0 every seed writes the same text, so only the durations differ.")
    for trace in traces:
        lines += [f"seed {trace.seed}: {remark}" for remark in remarks_on(trace)]
    return "\n".join(lines)


def title_of(lane, trace) -> str:
    """Return the label of a lane, marked if the lane is AdaEDL tuned for the trace's pair."""
    tuned = lane.label == trace.pair.tuned
    return f"{lane.label} (AdaEDL, tuned for this pair)" if tuned else lane.label


def remarks_on(trace) -> list[str]:
    """Return remarks on failed lanes, unreliable timing and different texts, one line each."""
    from adaedl.metrics import TIMING_NOTES
    from adaedl.text_difference import difference_words

    failures = [f"{lane.label}: {lane.failure}" for lane in trace.lanes if lane.failure]
    timing = [
        f"{lane.label}: {TIMING_NOTES[lane.metrics.timing_note]}."
        for lane in trace.lanes
        if lane.metrics and lane.metrics.timing_reliable is False
    ]
    texts = [
        f"{lane.label}: not the target's text: {difference_words(lane.text_difference, trace.dtype)}."
        for lane in trace.lanes
        if lane.text_difference
    ]
    return failures + timing + texts


def fitted_json(trace) -> bytes:
    """Return a trace as JSON small enough to be opened again; report on stderr what it leaves out."""
    fitted, content = trace.fitting_json()
    report_left_out(fitted)
    return content


def fitted_html(trace) -> str:
    """Return a page that plays a trace; report on stderr what it leaves out."""
    from adaedl.html import to_html

    fitted = trace.fitting()
    report_left_out(fitted)
    return to_html(fitted)


def report_left_out(fitted) -> None:
    if fitted.top_lists != "all":
        print(TOP_LISTS_LEFT_OUT[fitted.top_lists], file=sys.stderr)
