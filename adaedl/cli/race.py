"""`race`: race several stoppers on one prompt."""

import argparse
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import cast

from adaedl.cli.common import add_lanes_option, add_text_options, finish, keeping_results, load
from adaedl.cli.inputs import read_prompt
from adaedl.cli.tables import describe_pair, metrics_table, printable
from adaedl.pairs.presets import resolve
from adaedl.request import RaceRequest, Sampling
from adaedl.stopping import split_specs
from adaedl.system import interrupts

SUMMARY = "Race several stoppers on one prompt."
TOP_LISTS_LEFT_OUT = {
    "judged": "The trace is large; it leaves out the most probable tokens of drafts after a rejected one.",
    "none": "The trace is large; it leaves out the most probable tokens of p and q.",
}


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("prompt", metavar="PROMPT", help="what to answer; - reads it from stdin")
    add_lanes_option(command, "stoppers, such as autoregressive,fixed:k=5,adaedl:gamma=0.2")
    add_text_options(command)
    command.add_argument(
        "--verification",
        default="shared_noise",
        help="shared_noise (default: one text on all lanes) or speculative",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the trace, which the page opens")


def run(args: argparse.Namespace) -> int:
    """Race the lanes, then print their texts and metrics; on Ctrl-C for the rounds so far."""
    from adaedl.race import empty_trace

    request = RaceRequest(
        read_prompt(args.prompt),
        list(resolve(args.pair).lanes) if args.lanes is None else split_specs(args.lanes),
        Sampling(args.temperature, args.top_k, args.top_p),
        args.max_new_tokens,
        args.seed,
        args.verification,
    )
    pair = load(args)
    trace = empty_trace(pair, request)
    with keeping_results(lambda: any(lane.rounds for lane in trace.lanes)) as stopped:
        play(pair, trace)
    return finish(args.json, lambda: fitted_json(trace), report(pair, trace), stopped)


def play(pair, trace) -> None:
    """Fill in a trace, with progress on stderr; an interrupt waits for the end of a round."""
    from tqdm import tqdm

    from adaedl.race import race

    total = len(trace.lanes) * trace.max_new_tokens
    with (
        interrupts.held(),  # between two rounds, so that the trace is whole
        closing(cast(Generator, race(pair, trace))) as rounds,
        tqdm(total=total, desc="racing", unit="token", leave=False, file=sys.stderr) as bar,
    ):
        for _, played in rounds:
            bar.update(len(played.token_ids))
            interrupts.check()


def report(pair, trace) -> str:
    """Return what `race` prints: the pair, each lane's text, the metrics, and what to know of them."""
    from adaedl.metrics import to_frame

    lines = [describe_pair(pair)]
    lines += [f"\n{title_of(lane, trace)}:\n{printable(lane.text)}" for lane in trace.lanes]
    lines.append(f"\n{metrics_table(to_frame(trace))}")
    if remarks := remarks_on(trace):
        lines.append("\n" + "\n".join(remarks))
    return "\n".join(lines)


def title_of(lane, trace) -> str:
    """Return a lane's label, and whether it is AdaEDL as tuned for the trace's pair."""
    tuned = lane.label == trace.pair.tuned
    return f"{lane.label} (AdaEDL, tuned for this pair)" if tuned else lane.label


def remarks_on(trace) -> list[str]:
    """Return what a reader of a race's numbers must know of its lanes, a line each."""
    from adaedl.metrics import TIMING_NOTES
    from adaedl.text_difference import difference_words

    timing = [
        f"{lane.label}: timing unreliable: {TIMING_NOTES[lane.metrics.timing_note]}."
        for lane in trace.lanes
        if lane.metrics and lane.metrics.timing_reliable is False
    ]
    texts = [
        f"{lane.label}: not the target's text: {difference_words(lane.text_difference, trace.dtype)}."
        for lane in trace.lanes
        if lane.text_difference
    ]
    return timing + texts


def fitted_json(trace) -> bytes:
    """Return a trace as a file that can be opened; says on stderr what it leaves out for that."""
    fitted, content = trace.fitting_json()
    if fitted.top_lists != "all":
        print(TOP_LISTS_LEFT_OUT[fitted.top_lists], file=sys.stderr)
    return content
