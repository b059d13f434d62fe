"""`record`: record a text once, then replay every stopper on it in milliseconds."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from adaedl.cli.common import Stopped, add_lanes_option, add_prompt_options, add_text_options, finish
from adaedl.cli.inputs import read_prompt
from adaedl.cli.tables import describe_pair, metrics_table, printable
from adaedl.cli.workers import add_workers_options, check_workers_options, open_workers, report_failures
from adaedl.errors import Parameter, UserError
from adaedl.measure.workers import Task, Watch
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling, check_race, check_system
from adaedl.stopping import STOPPERS, format_spec, limit_draft, make_stopper, split_specs
from adaedl.system import interrupts

SUMMARY = "Record a text once, then replay every stopper on it in milliseconds."


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("prompt", metavar="PROMPT", help="the prompt to answer; - reads it from stdin")
    add_prompt_options(command)
    add_lanes_option(command, "stoppers to replay (default: all, oracle included)")
    add_text_options(command)
    command.add_argument(
        "--depth", type=int, default=16, metavar="N", help="draft tokens from each position (default 16)"
    )
    command.add_argument(
        "--verification",
        default="shared_noise",
        metavar="RULE",
        help="verification rule: shared_noise (default; replays equal real runs) or speculative (replays "
        "have the distribution of real runs)",
    )
    command.add_argument(
        "--score-temperature",
        type=float,
        metavar="T",
        help="temperature at which stoppers judge q, unless a lane sets its own (default: the sampling "
        "temperature)",
    )
    command.add_argument(
        "--cost-ratio",
        type=float,
        metavar="C",
        help="duration of a draft step / duration of a target step (default: as measured)",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the recording")
    add_workers_options(command)


def run(args: argparse.Namespace) -> int:
    """Record, then print the text and the metrics of every replayed lane. Ctrl-C keeps the text so far."""
    from adaedl.recordings import recorder

    recorder.check_record(args.max_new_tokens, args.depth)
    prompt = read_prompt(args.prompt)
    sampling = Sampling(args.temperature, args.top_k, args.top_p)
    lanes = lanes_to_replay(args.lanes, args.depth, args.score_temperature)
    if args.cost_ratio is not None and not 0 <= args.cost_ratio <= 10:
        raise UserError(
            "{} is {}; it must be from 0 to 10, such as 0.05.", Parameter("cost_ratio"), args.cost_ratio
        )
    check_race(prompt, ["autoregressive"], args.max_new_tokens, args.seed, args.verification)
    check_system(args.system, args.continuation)

    check_workers_options(args)

    work = partial(
        record_task,
        prompt=prompt,
        sampling=sampling,
        verification=args.verification,
        max_new_tokens=args.max_new_tokens,
        seed=args.seed,
        depth=args.depth,
        score_temperature=args.score_temperature,
        system=args.system,
        continuation=args.continuation,
    )
    with open_workers(args, describe_pair) as workers:
        description = workers.begin(args.pair)
        with interrupts.held(), share_bar("recording") as progress:  # a second Ctrl-C does not wait
            watch = Watch(progress, interrupts.pending)
            recordings = [result for _, result in workers.run([Task(args.pair, work, "the prompt")], watch)]
            stopped = Stopped(interrupts.take())
    if report_failures(workers, stopped.status) and not recordings:
        return 2
    (recording,) = recordings
    return finish(
        args.json, recording.to_json, report(description, recording, lanes, args.cost_ratio), stopped
    )


def record_task(pair: Pair, watch: Watch, prompt: str, sampling: Sampling, **settings):
    """Record a prompt as a task of `adaedl.measure.workers`."""
    from adaedl.recordings.recorder import record

    return record(pair, prompt, sampling, progress=watch.progress, enough=watch.enough, **settings)


def lanes_to_replay(listed: str | None, depth: int, score_temperature: float | None) -> list[str]:
    """Return the specs of the listed stoppers, by default of all stoppers.

    Raises:
        UserError: there are none, or one cannot be replayed from such a recording.
    """
    from adaedl.recordings.replay import check_replay

    lanes = [limit_depth(name, depth) for name in STOPPERS] if listed is None else split_specs(listed)
    if not lanes:
        raise UserError("There are no lanes to replay; name at least one stopper, such as adaedl.")
    lanes = [judge_at(lane, score_temperature) for lane in lanes]
    for lane in lanes:
        check_replay(make_stopper(lane), depth, score_temperature)
    return lanes


def limit_depth(name: str, depth: int) -> str:
    """Return the spec of a stopper that drafts at most `depth` tokens; for the oracle, exactly `depth`."""
    return format_spec(limit_draft(make_stopper(name), depth))


def judge_at(lane: str, score_temperature: float | None) -> str:
    """Return the spec of a lane with this score temperature. The lane is unchanged if it sets its own score
    temperature or does not judge q."""
    stopper = make_stopper(lane)
    if score_temperature is None or not stopper.judges_q or stopper.score_temperature is not None:
        return lane
    return format_spec(type(stopper)(**stopper.settings | {"score_temperature": score_temperature}))


def report(description: str, recording, lanes: list[str], cost_ratio: float | None) -> str:
    """Return the report of `record`: the pair, the text, how it was recorded, and the metrics of the replayed
    lanes."""
    from adaedl.metrics import to_frame
    from adaedl.recordings.replay import near_ties, percent_of_oracle, replay_trace

    times = None if cost_ratio is None else recording.times.with_cost_ratio(cost_ratio)
    trace = replay_trace(recording, lanes, times)
    frame = to_frame(trace)
    frame.insert(1, "percent_of_oracle", [percent_of_oracle(recording, lane, times) for lane in trace.lanes])
    agreement = "replays have the distribution of real runs"
    if recording.replays_runs:
        frame.insert(2, "near_ties", [near_ties(recording, lane, times) for lane in trace.lanes])
        agreement = f"{recording.probed_alike} of {recording.probed} real rounds have an equal replay"
    return (
        f"{description}\n\n{printable(recording.text)}\n\n"
        f"recorded in {recording.recording_s / recording.plain_s:.2f}× the time of the target alone; "
        f"{agreement}; "
        f"clocks are modelled, with cost ratio {(times or recording.times).cost_ratio:.3f}\n\n"
        f"{metrics_table(frame)}"
    )


@contextmanager
def share_bar(description: str) -> Iterator[Callable[[float], None]]:
    """Yield a callback that takes the completed share and moves a bar on stderr."""
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}% |{bar}| {elapsed}"
    with tqdm(total=1.0, desc=description, bar_format=form, leave=False, file=sys.stderr) as bar:
        yield lambda share: bar.update(share - bar.n)
