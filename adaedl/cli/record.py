"""`record`: record a text once, then replay every stopper on it in milliseconds."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from adaedl.cli.common import Stopped, add_lanes_option, add_text_options, finish, load
from adaedl.cli.inputs import read_prompt
from adaedl.cli.tables import describe_pair, metrics_table, printable
from adaedl.errors import UserError
from adaedl.request import Sampling, check_race
from adaedl.stopping import STOPPERS, format_spec, limit_draft, make_stopper, split_specs
from adaedl.system import interrupts

SUMMARY = "Record a text once, then replay every stopper on it in milliseconds."


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("prompt", metavar="PROMPT", help="what to answer; - reads it from stdin")
    add_lanes_option(command, "stoppers to replay (default: all, oracle too)")
    add_text_options(command)
    command.add_argument(
        "--depth", type=int, default=16, metavar="N", help="drafts from each position (default 16)"
    )
    command.add_argument(
        "--verification",
        default="shared_noise",
        help="shared_noise (default): replays are the real runs; speculative: they have their distribution",
    )
    command.add_argument(
        "--score-temperature",
        type=float,
        metavar="T",
        help="temperature of q for lanes that do not set their own (default: the sampling temperature)",
    )
    command.add_argument(
        "--cost-ratio",
        type=float,
        metavar="C",
        help="time of a draft step / time of a target step (default: as measured)",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the recording")


def run(args: argparse.Namespace) -> int:
    """Record, then print the text and every replayed lane's metrics; on Ctrl-C for the text so far."""
    from adaedl.replay import recorder

    recorder.check_record(args.max_new_tokens, args.depth)
    prompt = read_prompt(args.prompt)
    sampling = Sampling(args.temperature, args.top_k, args.top_p)
    lanes = lanes_to_replay(args.lanes, args.depth, args.score_temperature)
    if args.cost_ratio is not None and not 0 <= args.cost_ratio <= 10:
        raise UserError(f"cost-ratio is {args.cost_ratio}; it must be from 0 to 10, such as 0.05.")
    check_race(prompt, ["autoregressive"], args.max_new_tokens, args.seed, args.verification)

    pair = load(args)
    with interrupts.held(), share_bar("recording") as progress:  # a second Ctrl-C does not wait
        recording = recorder.record(
            pair,
            prompt,
            sampling,
            verification=args.verification,
            max_new_tokens=args.max_new_tokens,
            seed=args.seed,
            depth=args.depth,
            score_temperature=args.score_temperature,
            progress=progress,
            enough=interrupts.pending,
        )
        stopped = Stopped(interrupts.take())
    return finish(args.json, recording.to_json, report(pair, recording, lanes, args.cost_ratio), stopped)


def lanes_to_replay(asked: str | None, depth: int, score_temperature: float | None) -> list[str]:
    """Return the specs of the stoppers to replay: those that were asked for, by default all.

    Raises:
        UserError: there are none, or one cannot be replayed from such a recording.
    """
    from adaedl.replay.replay import check_replay

    lanes = [limit_depth(name, depth) for name in STOPPERS] if asked is None else split_specs(asked)
    if not lanes:
        raise UserError("There are no lanes to replay; name at least one stopper, such as adaedl.")
    lanes = [judge_at(lane, score_temperature) for lane in lanes]
    for lane in lanes:
        check_replay(make_stopper(lane), depth, score_temperature)
    return lanes


def limit_depth(name: str, depth: int) -> str:
    """Return the spec of a stopper that drafts at most `depth` tokens; the oracle, exactly as many."""
    return format_spec(limit_draft(make_stopper(name), depth))


def judge_at(lane: str, score_temperature: float | None) -> str:
    """Return the spec of a lane that judges q at this temperature, unless it names one itself or does not
    judge q."""
    stopper = make_stopper(lane)
    if score_temperature is None or not stopper.judges_q or stopper.score_temperature is not None:
        return lane
    return format_spec(type(stopper)(**stopper.settings | {"score_temperature": score_temperature}))


def report(pair, recording, lanes: list[str], cost_ratio: float | None) -> str:
    """Return what `record` prints: the text, how it was recorded, and the metrics of the replayed lanes."""
    from adaedl.metrics import to_frame
    from adaedl.replay.replay import near_ties, percent_of_oracle, replay_trace

    times = None if cost_ratio is None else recording.times.with_cost_ratio(cost_ratio)
    trace = replay_trace(recording, lanes, times)
    frame = to_frame(trace)
    frame.insert(1, "percent_of_oracle", [percent_of_oracle(recording, lane, times) for lane in trace.lanes])
    alike = "replays have the distribution of real runs"
    if recording.replays_runs:
        frame.insert(2, "near_ties", [near_ties(recording, lane, times) for lane in trace.lanes])
        alike = f"{recording.probed_alike} of {recording.probed} real rounds replay alike"
    return (
        f"{describe_pair(pair)}\n\n{printable(recording.text)}\n\n"
        f"recorded in {recording.recording_s / recording.plain_s:.2f}× the time of the target alone; "
        f"{alike}; "
        f"clocks are modelled, cost ratio {(times or recording.times).cost_ratio:.3f}\n\n"
        f"{metrics_table(frame)}"
    )


@contextmanager
def share_bar(description: str) -> Iterator[Callable[[float], None]]:
    """Yield a callback that is given the share done and moves a bar on stderr."""
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}% |{bar}| {elapsed}"
    with tqdm(total=1.0, desc=description, bar_format=form, leave=False, file=sys.stderr) as bar:
        yield lambda share: bar.update(share - bar.n)
