"""The engine without the page: python -m adaedl pairs, race, record, sweep, study, check, bench or distill.

Results go to stdout, progress to stderr; files are written before results are printed. Exit status: 0; 1
where `check` finds a property that does not hold; 2 on bad input, with one line that says what would do; 130
on Ctrl-C and 143 on SIGTERM, which keep what has run.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from adaedl.errors import Sentence, UserError
from adaedl.measure.number_lists import read_numbers, read_whole_numbers
from adaedl.measure.prompts import repeats_in, split_prompts
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS, resolve
from adaedl.system import interrupts
from adaedl.system.files import Output, check_writable, exclusive, make_folder, write_file
from adaedl.system.streams import lenient_streams
from adaedl.system.threads import prepare_threads, threads_in_use, usable_cores

# What the tables call adaedl.metrics' numbers, with their units.
HEADERS = {
    "lane": "lane",
    "tokens": "tokens",
    "tokens_per_s": "tokens/s",
    "ms_per_token": "ms/token",
    "speedup": "speedup ×",
    "acceptance_rate": "accepted %",
    "draft_length": "drafted/round",
    "block_efficiency": "tokens/round",
    "mean_beta": "mean β",
    "cost_ratio": "cost ratio",
    "draft_share": "draft %",
    "wasted_share": "wasted %",
    "verify_share": "verify %",
    "overhead_share": "overhead %",
    "same_text": "same text",
    "timing_reliable": "timing",
    "unreliable": "timing unreliable",
    "percent_of_oracle": "% of oracle",
    "near_ties": "near ties",
    "temperature": "temperature",
    "prompts": "prompts",
    "speedup_low": "95% from",
    "speedup_high": "to",
    "speedups": "each prompt ×",
}
COUNTS = ("tokens", "near_ties", "prompts", "unreliable")
TOP_LISTS_LEFT_OUT = {
    "judged": "The trace is large; it leaves out the most probable tokens of drafts after a rejected one.",
    "none": "The trace is large; it leaves out the most probable tokens of p and q.",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str):
        self.exit(2, f"error: {Sentence('{}', message)}\n")  # of a long value the beginning


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    warnings.simplefilter("ignore")
    with lenient_streams() as out:
        status = run(sys.argv[1:] if arguments is None else arguments)
        out.flush()
        # A reader who has left, such as `head`, has what they wanted.
        if out.error is not None and not isinstance(out.error, BrokenPipeError):
            print(f"error: Cannot write standard output: {out.error.strerror}.", file=sys.stderr)
            return status or 2
    return status


def run(arguments: list[str]) -> int:
    """As `main`, where printing cannot fail."""
    args = argparse.Namespace()
    try:
        with interrupts.raised():
            make_parser(with_distill=arguments[:1] == ["distill"]).parse_args(arguments, args)
            open_outputs(args)
            return args.func(args) or 0
    except UserError as error:
        print_error(error)
        return 2
    except KeyboardInterrupt as error:
        for output in outputs_of(args):
            if not output.written:
                print(f"Stopped; nothing was written to {output.path}.", file=sys.stderr)
        return getattr(error, "status", 130)


def print_error(error: UserError) -> None:
    print("error:", " ".join(str(error).split()), file=sys.stderr)


OUTPUTS = ("json", "parquet")  # options that name where a result goes


def open_outputs(args: argparse.Namespace) -> None:
    """Find out before the work whether its results can be written. Where one goes to standard output, what is
    printed goes to standard error.

    Raises:
        UserError: one cannot, or two options name one file.
    """
    check_different_files(args)
    for name in OUTPUTS:
        if getattr(args, name, None) is not None:
            setattr(args, name, Output(getattr(args, name)))
    if any(output.is_standard_output for output in outputs_of(args)):
        sys.stdout = sys.stderr


def outputs_of(args: argparse.Namespace) -> list[Output]:
    return [value for value in vars(args).values() if isinstance(value, Output)]


def check_different_files(args: argparse.Namespace) -> None:
    """Raises UserError where two options of a command name the same file, one of which would be lost."""
    if args.func.__module__ != __name__:
        return  # a step of distill, whose drafter may take the place of the one that it began with
    names: dict[str, str] = {}
    for name, value in vars(args).items():
        if not isinstance(value, Path):
            continue
        path = os.path.realpath(value)
        if path in names and not (os.path.exists(path) and not os.path.isfile(path)):
            raise UserError("--{} and --{} both name {}; choose two files.", names[path], name, value)
        names[path] = name


def add_lanes_argument(command: Parser, help: str) -> None:
    """Declare --lanes; the command's help then ends with all stoppers."""
    from adaedl.stopping import describe_stoppers

    command.add_argument("--lanes", help=help)
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = describe_stoppers()


def make_parser(with_distill: bool = True) -> Parser:
    """The parser of the whole command line. The steps of `distill` bring their own arguments, which the
    other commands need not wait for."""
    common = Parser(add_help=False)
    common.add_argument(
        "--pair",
        default=DEFAULT_PAIR,
        metavar="NAME",
        help=f"a preset or TARGET:DRAFT (default {DEFAULT_PAIR})",
    )
    common.add_argument("--device", help="auto, cpu, cuda, cuda:1 or mps (default auto)")
    common.add_argument("--dtype", help="auto, float32, bfloat16, float16 or, on a CPU, int8 (default auto)")

    parser = Parser(prog="python -m adaedl", description="Adaptive speculative decoding, side by side.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, func, summary: str) -> Parser:
        command = commands.add_parser(name, parents=[common], help=summary, description=summary)
        command.set_defaults(func=func)
        return command

    command = add("pairs", pairs, "List the presets, and what is on this machine already.")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the list")

    command = add("race", race, "Race several stoppers on one prompt.")
    command.add_argument("prompt", metavar="PROMPT", help="what to answer; - reads it from stdin")
    add_lanes_argument(command, "stoppers, such as autoregressive,fixed:k=5,adaedl:gamma=0.2")
    add_text_arguments(command)
    command.add_argument(
        "--verification",
        default="shared_noise",
        help="shared_noise (default: one text on all lanes) or speculative",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the trace, which the page opens")

    command = add("record", record, "Record a text once, then replay every stopper on it in milliseconds.")
    command.add_argument("prompt", metavar="PROMPT", help="what to answer; - reads it from stdin")
    add_lanes_argument(command, "stoppers to replay (default: all, oracle too)")
    add_text_arguments(command)
    command.add_argument(
        "--depth", type=int, default=12, metavar="N", help="drafts from each position (default 12)"
    )
    command.add_argument(
        "--score-temperature",
        type=float,
        metavar="T",
        help="at which lanes that do not say so themselves judge q (default: the sampling temperature)",
    )
    command.add_argument(
        "--cost-ratio",
        type=float,
        metavar="C",
        help="time of a draft step / time of a target step (default: as measured)",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the recording")

    command = add("sweep", sweep, "Measure speed over prompts, temperatures, seeds and stoppers.")
    command.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt a line")
    command.add_argument(
        "--kinds",
        metavar="KIND,…",
        help="built-in prompts (default all: chat,summary,translation,code,story)",
    )
    command.add_argument("--count", type=int, metavar="N", help="built-in prompts of each kind (default all)")
    command.add_argument("--temperatures", metavar="T,T,…", help="default 0,0.7,1.0")
    add_lanes_argument(command, "stoppers (default: a few of each sort)")
    command.add_argument("--seeds", metavar="S,S,…", default="0", help="default 0")
    command.add_argument("--max-new-tokens", type=int, default=96, metavar="N", help="default 96")
    command.add_argument(
        "--verification", default="shared_noise", help="shared_noise (default) or speculative"
    )
    command.add_argument("--csv", type=Path, metavar="FILE", help="append rows as they come")
    command.add_argument("--resume", action="store_true", help="go on with the CSV file that is there")
    command.add_argument("--parquet", type=Path, metavar="FILE", help="write all rows at the end")

    command = add("study", study, "Hold the paper's claims against a sweep of every stopper; write study.md.")
    command.add_argument("--kinds", metavar="KIND,…", help="built-in prompts (default all)")
    command.add_argument("--count", type=int, metavar="N", help="prompts of each kind (default all)")
    command.add_argument(
        "--measured", type=int, default=2, metavar="N", help="of which really run too (default 2)"
    )
    command.add_argument("--max-new-tokens", type=int, default=48, metavar="N", help="default 48")
    command.add_argument(
        "--folder",
        type=Path,
        default=Path("study"),
        help="of study.md and study.csv, which a study goes on with where it is there (default study)",
    )

    command = add("check", check, "Measure on a pair that decoding is lossless.")
    command.add_argument(
        "--prompts-count", type=int, default=4, metavar="N", help="built-in prompts (default 4)"
    )
    command.add_argument(
        "--max-new-tokens", type=int, default=32, metavar="N", help="for each prompt (default 32)"
    )
    command.add_argument(
        "--draws",
        type=int,
        default=5000,
        metavar="N",
        help="for each test of the speculative rule (default 5000)",
    )
    command.add_argument("--seed", type=int, default=0, help="default 0")
    command.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")

    summary = "Measure speed, against transformers and, where it is installed, llama.cpp in the same run."
    command = add("bench", bench, summary)
    command.add_argument(
        "--prompts", type=Path, metavar="FILE", help="one prompt a line (default: 8 built-in ones)"
    )
    command.add_argument("--temperatures", metavar="T,T,…", help="default 0,0.7,1.0,1.3")
    add_lanes_argument(command, "stoppers (default: fixed:k=1 to 6, adaedl, max_confidence)")
    command.add_argument("--max-new-tokens", type=int, metavar="N", help="for each text (default 96)")
    command.add_argument(
        "--repeats", type=int, metavar="N", help="of everything (default 1, with --neighbours 3)"
    )
    command.add_argument("--seed", type=int, default=0, help="of the first repeat (default 0)")
    command.add_argument(
        "--assisted",
        action=argparse.BooleanOptionalAction,
        help="transformers' assisted generation too (default: where the draft is an independent model)",
    )
    command.add_argument(
        "--quick", action="store_true", help="2 prompts × 16 tokens at one temperature, to see that it runs"
    )
    command.add_argument(
        "--shapes",
        nargs="?",
        const="",
        metavar="NAME,…",
        help="instead, random weights of real shapes, made here (default all that fit)",
    )
    command.add_argument(
        "--acceptance", type=float, metavar="A", help="of --shapes: drafts that are right (default 0.7)"
    )
    command.add_argument(
        "--neighbours",
        action="store_true",
        help="instead, how much slower beside busy processes, a second engine, or under a CPU quota",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the results")

    summary = "Remake the shipped drafter."
    distill = commands.add_parser("distill", help=summary, description=summary)
    if with_distill:
        from adaedl.distill import cli

        cli.add_arguments(distill)
    return parser


def add_text_arguments(command: Parser) -> None:
    """What decides one text, beside its prompt."""
    command.add_argument("--temperature", type=float, default=0.7, help="0 is argmax (default 0.7)")
    command.add_argument("--top-k", type=int, default=0, help="0 switches it off (default)")
    command.add_argument("--top-p", type=float, default=1.0, help="1 switches it off (default)")
    command.add_argument("--max-new-tokens", type=int, default=96, metavar="N", help="default 96")
    command.add_argument("--seed", type=int, default=0, help="default 0")


def pairs(args: argparse.Namespace) -> int:
    """List the presets; with --pair, that pair alone."""
    import pandas as pd

    from adaedl.models.cpu.int8_cache import int8_folder, kept_bytes
    from adaedl.pairs.loading import pick_device, pick_dtype
    from adaedl.pairs.weights import cached_weights

    device = pick_device(args.device)
    dtype = pick_dtype(device, args.dtype)
    # The default of --pair is among the presets, so naming it shows what not naming it does.
    chosen = PRESETS.values() if args.pair == DEFAULT_PAIR else [resolve(args.pair)]
    rows = [
        {
            "name": preset.name,
            "target": preset.target,
            "draft": preset.draft_name,
            "min_memory_gib": preset.min_memory_gib,
            "cached": all(cached_weights(name) for name in (preset.target, preset.draft) if name),
            "gated": preset.gated,
            "description": preset.description,
        }
        for preset in chosen
    ]
    shown = [
        {
            **row,
            "memory GiB": f"{row['min_memory_gib']:g}" if row["min_memory_gib"] else "–",
            "cached": "yes" if row["cached"] else "no",
        }
        for row in rows
    ]
    columns = ["name", "target", "draft", "memory GiB", "cached", "description"]
    report = (
        f"{left_aligned(pd.DataFrame(shown, columns=columns))}\n\n"
        f"This machine runs them on {device}/{str(dtype).removeprefix('torch.')}."
    )
    if kept := kept_bytes():
        report += f"\nint8 weights take {kept / 1e9:.1f} GB in {int8_folder()}, which may be removed."
    return finish(args.json, lambda: json_text(rows), report)


def race(args: argparse.Namespace) -> int:
    """Race the lanes, then print their texts and metrics; on Ctrl-C those of what has run."""
    from tqdm import tqdm

    from adaedl import race as races
    from adaedl.metrics import to_frame
    from adaedl.request import DEFAULT_LANES, Sampling, check_race
    from adaedl.stopping import split_specs

    prompt = read_stdin() if args.prompt == "-" else args.prompt
    sampling = Sampling(args.temperature, args.top_k, args.top_p)
    lanes = list(DEFAULT_LANES) if args.lanes is None else split_specs(args.lanes)
    check_race(prompt, lanes, args.max_new_tokens, args.seed, args.verification)

    pair = load(args)
    trace = races.new_trace(
        pair,
        prompt,
        lanes,
        sampling,
        max_new_tokens=args.max_new_tokens,
        seed=args.seed,
        verification=args.verification,
    )
    total = len(lanes) * args.max_new_tokens
    with (
        keeping_results(lambda: any(lane.rounds for lane in trace.lanes)) as stopped,
        interrupts.held(),  # between two rounds, so that the trace is whole
        closing(races.race(pair, trace)) as rounds,
        tqdm(total=total, desc="racing", unit="token", leave=False, file=sys.stderr) as bar,
    ):
        for _, played in rounds:
            bar.update(len(played.token_ids))
            interrupts.check()

    lines = [describe(pair)]
    lines += [f"\n{lane.label}:\n{printable(lane.text)}" for lane in trace.lanes]
    lines.append(f"\n{metrics_table(to_frame(trace))}")
    if noted := remarks(trace):
        lines.append("\n" + "\n".join(noted))
    return finish(args.json, lambda: fitted_json(trace), "\n".join(lines), stopped)


def fitted_json(trace) -> bytes:
    """A trace as a file that can be opened; says on stderr what it leaves out for that."""
    fitted, content = trace.fitting_json()
    if fitted.top_lists != "all":
        print(TOP_LISTS_LEFT_OUT[fitted.top_lists], file=sys.stderr)
    return content


def record(args: argparse.Namespace) -> int:
    """Record, then print the text and every replayed lane's metrics; on Ctrl-C of the text so far."""
    from adaedl.metrics import to_frame
    from adaedl.replay import recorder
    from adaedl.replay.replay import check_replay, near_ties, percent_of_oracle, replay_trace
    from adaedl.request import Sampling, check_race
    from adaedl.stopping import STOPPERS, make_stopper, split_specs

    recorder.check_record(args.max_new_tokens, args.depth)
    prompt = read_stdin() if args.prompt == "-" else args.prompt
    sampling = Sampling(args.temperature, args.top_k, args.top_p)
    lanes = [within(name, args.depth) for name in STOPPERS] if args.lanes is None else split_specs(args.lanes)
    if not lanes:
        raise UserError("There are no lanes to replay; name at least one stopper, such as adaedl.")
    lanes = [judged_at(lane, args.score_temperature) for lane in lanes]
    for lane in lanes:
        check_replay(make_stopper(lane), args.depth, args.score_temperature)
    if args.cost_ratio is not None and not 0 <= args.cost_ratio <= 10:
        raise UserError(f"cost-ratio is {args.cost_ratio}; it must be from 0 to 10, such as 0.05.")
    check_race(prompt, ["autoregressive"], args.max_new_tokens, args.seed, "shared_noise")

    pair = load(args)
    with interrupts.held(), share_bar("recording") as progress:  # a second Ctrl-C does not wait
        recording = recorder.record(
            pair,
            prompt,
            sampling,
            max_new_tokens=args.max_new_tokens,
            seed=args.seed,
            depth=args.depth,
            score_temperature=args.score_temperature,
            progress=progress,
            enough=interrupts.pending,
        )
        stopped = Stopped(interrupts.take())
    times = None if args.cost_ratio is None else recording.times.with_cost_ratio(args.cost_ratio)
    trace = replay_trace(recording, lanes, times)
    frame = to_frame(trace)
    frame.insert(1, "percent_of_oracle", [percent_of_oracle(recording, lane, times) for lane in trace.lanes])
    frame.insert(2, "near_ties", [near_ties(recording, lane) for lane in trace.lanes])
    report = (
        f"{describe(pair)}\n\n{printable(recording.text)}\n\n"
        f"recorded in {recording.recording_s / recording.plain_s:.2f}× the time of the target alone; "
        f"{recording.probed_alike} of {recording.probed} real rounds replay alike; "
        f"clocks are modelled, cost ratio {(times or recording.times).cost_ratio:.3f}\n\n"
        f"{metrics_table(frame)}"
    )
    return finish(args.json, recording.to_json, report, stopped)


def within(name: str, depth: int) -> str:
    """A stopper that drafts no deeper than this, and the oracle just as deep."""
    from adaedl.stopping import format_spec, limit_draft, make_stopper

    return format_spec(limit_draft(make_stopper(name), depth))


def judged_at(lane: str, score_temperature: float | None) -> str:
    """A lane that judges q at this temperature, unless it names one itself or does not judge q."""
    from adaedl.stopping import format_spec, make_stopper

    stopper = make_stopper(lane)
    if score_temperature is None or not stopper.judges_q or stopper.score_temperature is not None:
        return lane
    return format_spec(type(stopper)(**stopper.settings | {"score_temperature": score_temperature}))


def sweep(args: argparse.Namespace) -> int:
    """Run the grid, appending to the CSV file as results come, then print a summary; on Ctrl-C of the cells
    that were done by then."""
    import pandas as pd

    from adaedl.measure import sweep as sweeps
    from adaedl.stopping import split_specs

    if args.resume and args.csv is None:
        raise UserError("--resume goes on with a CSV file; name it with --csv.")
    if args.prompts is not None:
        listed = read_text(args.prompts)
        prompts = sweeps.prompts_from_lines(listed)
        tell_repeats(split_prompts(listed))
    else:
        kinds = read_kinds(args.kinds)
        prompts = sweeps.built_in_prompts(kinds, args.count)
    grid = sweeps.Grid(
        prompts,
        tuple(
            sweeps.TEMPERATURES
            if args.temperatures is None
            else read_numbers("temperatures", args.temperatures)
        ),
        sweeps.LANES if args.lanes is None else tuple(split_specs(args.lanes)),
        tuple(read_whole_numbers("seeds", args.seeds)),
        args.max_new_tokens,
        args.verification,
    )
    if args.parquet is not None:
        sweeps.check_parquet()
    with csv_lock(args.csv):
        pair = load(args)
        done: set[tuple] = set()
        if args.csv is not None:
            done = sweeps.open_csv(args.csv, grid, sweeps.setup_of(pair), args.resume)
        rows: list = []
        with keeping_results(lambda: rows or done) as stopped:
            for cell in run_cells(pair, grid, done, args.csv, "sweeping"):
                rows += cell
        frame = sweeps.to_frame(rows) if args.csv is None else sweeps.read_rows(args.csv)
    if stopped.status and args.csv is not None:
        cells = len(sweeps.cells_in(frame))
        print(
            f"{args.csv} has {cells} of {len(grid.cells)} cells; --resume goes on with it.", file=sys.stderr
        )
    tables = [metrics_table(sweeps.summarise(frame).sort_values("temperature", kind="stable"))]
    if frame["kind"].nunique() > 1:
        tables += [
            f"{kind}\n{metrics_table(sweeps.summarise(pd.DataFrame(part)))}"
            for kind, part in frame.groupby("kind", sort=False)
        ]
    report = "\n\n".join([describe(pair), *tables])
    return finish(args.parquet, lambda: sweeps.to_parquet(frame), report, stopped)


def read_kinds(text: str | None) -> list[str]:
    """The kinds of built-in prompts that were asked for: all by default."""
    from adaedl.measure.prompts import PROMPT_SETS

    return list(PROMPT_SETS) if text is None else [kind.strip() for kind in text.split(",")]


def run_cells(pair, grid, done: set[tuple], csv: Path | None, description: str) -> Iterator[list]:
    """Run what a sweep has left, appending to a CSV file as results come; yields the rows of each cell."""
    from tqdm import tqdm

    from adaedl.measure import sweep as sweeps

    with (
        closing(sweeps.run_sweep(pair, grid, done)) as cells,
        tqdm(total=len(grid.cells), initial=len(done), desc=description, unit="cell", file=sys.stderr) as bar,
    ):
        for cell in cells:
            with interrupts.held():
                if csv is not None:
                    sweeps.append_csv(csv, cell)
                yield cell
            bar.update()


def study(args: argparse.Namespace) -> int:
    """Run what is left of the sweeps of a study, then write what they say; on Ctrl-C what has run is kept."""
    from adaedl.measure import study as studies
    from adaedl.measure import sweep as sweeps
    from adaedl.system.machine import device_name

    kinds = read_kinds(args.kinds)
    prompts = sweeps.built_in_prompts(kinds, args.count)
    most = max(prompt.number for prompt in sweeps.built_in_prompts(kinds))
    if not 1 <= args.measured <= most:
        raise UserError(f"measured is {args.measured}; it must be a whole number from 1 to {most}.")
    few = sweeps.built_in_prompts(kinds, args.measured)
    grids = {
        "study.csv": studies.study_grid(prompts, args.max_new_tokens),
        "study-measured.csv": studies.measured_grid(few, args.max_new_tokens),
    }
    make_folder(args.folder)
    check_writable(args.folder / "study.md")
    with csv_lock(args.folder / "study.csv"):
        pair = load(args)
        machine = f"{device_name(pair.device)}, {cores_words()}"
        check_same_machine(args.folder, machine)
        frames = []
        for name, grid in grids.items():
            csv = args.folder / name
            done = sweeps.open_csv(csv, grid, sweeps.setup_of(pair), resume=True)
            with keeping_results(lambda: True) as stopped:
                for _ in run_cells(pair, grid, done, csv, csv.stem):
                    pass
            if stopped.status:
                print(f"{csv} has what has run; the same command goes on with it.", file=sys.stderr)
                return stopped.status
            frames.append(sweeps.rows_within(sweeps.read_rows(csv), grid))
    write_text(args.folder / "study.md", studies.report(*frames, machine))
    print(f"{args.folder / 'study.md'} is written.")
    return 0


def cores_words() -> str:
    """The cores that a study has; where it runs on fewer or more threads, those too."""
    cores, threads = usable_cores(), threads_in_use().count
    return f"{cores} cores" if threads == cores else f"{cores} cores, {thread_words(threads)}"


def thread_words(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def check_same_machine(folder: Path, machine: str) -> None:
    """Clocks of two machines do not mix: the first to measure in a folder is written down there.

    Raises:
        UserError: it was another one.
    """
    file = folder / "study-machine.txt"
    if not file.exists():
        if (folder / "study.csv").exists():
            raise UserError(f"{folder} has a study of an unknown machine; choose another one with --folder.")
        write_text(file, f"{machine}\n")
    elif (other := read_text(file).strip()) != machine:
        raise UserError(
            f"{folder} has a study of another machine ({other}); choose another one with --folder."
        )


def check(args: argparse.Namespace) -> int:
    """Print one line for each property, and a verdict; 1 where one does not hold."""
    from adaedl.measure import check as checks
    from adaedl.measure.prompts import BENCH_PROMPTS
    from adaedl.request import check_run

    check_run(args.max_new_tokens, args.seed, "shared_noise")
    if not 1 <= args.prompts_count <= len(BENCH_PROMPTS):
        raise UserError(f"prompts-count is {args.prompts_count}; it must be from 1 to {len(BENCH_PROMPTS)}.")
    if not 100 <= args.draws <= 10**7:
        raise UserError(f"draws is {args.draws}; it must be a whole number from 100 to 10000000.")

    pair = load(args)
    print(describe(pair))
    measured = []
    prompts = list(BENCH_PROMPTS[: args.prompts_count])
    with keeping_results(lambda: measured) as stopped:
        for measurement in checks.check(
            pair, prompts, max_new_tokens=args.max_new_tokens, draws=args.draws, seed=args.seed
        ):
            measured.append(measurement)
            mark = "holds" if measurement.passed else "FAILS"
            print(f"{mark}  {measurement.name}: {measurement.found}", flush=True)
            interrupts.check()
    failed = sum(not measurement.passed for measurement in measured)
    complete = not stopped.status
    result = {
        "passed": not failed and complete,
        "complete": complete,
        "measured": [vars(measurement) for measurement in measured],
    }
    verdict = "not lossless" if failed else "lossless" if complete else "not finished"
    report = f"\n{verdict}: {len(measured) - failed} of {len(measured)} properties hold"
    return finish(args.json, lambda: json_text(result), report, stopped) or (1 if failed else 0)


def bench(args: argparse.Namespace) -> int:
    """Measure, then print the results of each temperature and a summary; on Ctrl-C of what has run."""
    if args.neighbours:
        return bench_neighbours(args)
    if args.repeats is None:
        args.repeats = 1
    if args.shapes is not None:
        return bench_shapes(args)
    if args.acceptance is not None:
        raise UserError("--acceptance is of --shapes; a pair's drafts are accepted as they are.")
    from adaedl.measure import bench as benches
    from adaedl.measure.prompts import BENCH_PROMPTS
    from adaedl.stopping import split_specs

    prompts = list(BENCH_PROMPTS) if args.prompts is None else read_prompts(args.prompts)
    default = benches.TEMPERATURES
    if args.quick:
        prompts, default = prompts[:2], (0.7,)
    temperatures = (
        list(default) if args.temperatures is None else read_numbers("temperatures", args.temperatures)
    )
    lanes = list(benches.LANES) if args.lanes is None else split_specs(args.lanes)
    tokens = args.max_new_tokens
    if tokens is None:
        tokens = 16 if args.quick else 96
    benches.check_bench(prompts, lanes, temperatures, tokens, args.repeats, args.seed)

    pair = load(args)
    result: dict = {}
    with keeping_results(lambda: result) as stopped:
        for result in benches.bench_in_parts(  # noqa: B007, the last one counts
            pair,
            prompts,
            lanes,
            temperatures,
            max_new_tokens=tokens,
            repeats=args.repeats,
            seed=args.seed,
            assisted=args.assisted,
        ):
            interrupts.check()
    report = f"{describe(pair)}\n{bench_report(result)}"
    return finish(args.json, lambda: json_text(result), report, stopped)


def bench_shapes(args: argparse.Namespace) -> int:
    """`bench --shapes`: measure pairs of random weights, then print each."""
    from transformers.utils import logging

    from adaedl.measure import shapes
    from adaedl.pairs.loading import pick_device, pick_dtype
    from adaedl.stopping import split_specs

    given = {
        "--pair": args.pair != DEFAULT_PAIR,
        "--prompts": args.prompts,
        "--temperatures": args.temperatures,
    }
    given["--assisted"] = args.assisted is not None
    for name, value in given.items():
        if value:
            raise UserError("--shapes makes its own models and text; leave out {}.", name)
    lanes = list(shapes.LANES) if args.lanes is None else split_specs(args.lanes)
    tokens = args.max_new_tokens
    if tokens is None:
        tokens = 16 if args.quick else 96
    options = {
        "max_new_tokens": tokens,
        "repeats": args.repeats,
        "seed": args.seed,
        "acceptance": shapes.ACCEPTANCE if args.acceptance is None else args.acceptance,
    }
    shapes.check_shapes(lanes, **options)
    names = None if not args.shapes else [name.strip() for name in args.shapes.split(",")]
    device = pick_device(args.device)
    dtype = pick_dtype(device, args.dtype)
    logging.set_verbosity_error()
    picked = shapes.pick_shapes(names, device, dtype)
    result: dict = {}
    with keeping_results(lambda: result) as stopped:
        parts = shapes.bench_shapes_in_parts(picked, lanes, device, dtype, **options)
        for result in parts:  # noqa: B007, the last one counts
            interrupts.check()
    report = "\n\n".join(shape_report(measured) for measured in result["shapes"])
    return finish(args.json, lambda: json_text(result), report, stopped)


def bench_neighbours(args: argparse.Namespace) -> int:
    """`bench --neighbours`: measure in every condition, then print; on Ctrl-C of what has run."""
    from adaedl.measure import neighbours

    for name in ("shapes", "prompts", "temperatures", "lanes", "assisted", "acceptance"):
        if getattr(args, name) is not None:
            raise UserError("--neighbours measures its own lanes and text; leave out --{}.", name)
    if args.device not in (None, "auto", "cpu"):
        raise UserError("--neighbours measures the CPU; leave out --device {}.", args.device)
    args.device = "cpu"
    tokens = args.max_new_tokens
    if tokens is None:
        tokens = neighbours.TRANSFORMERS_TOKENS if args.quick else neighbours.MAX_NEW_TOKENS
    options = {
        "max_new_tokens": tokens,
        "repeats": 3 if args.repeats is None else args.repeats,
        "seed": args.seed,
    }
    neighbours.check_neighbours(**options)
    pair = load(args)
    result: dict = {}
    with (
        keeping_results(lambda: result) as stopped,
        closing(neighbours.neighbours_in_parts(pair, args.pair, args.dtype, **options)) as parts,
    ):
        for result in parts:  # noqa: B007, the last one counts
            interrupts.check()
    report = f"{describe(pair)}\n{machine_line(result['machine'])}\n{neighbours.report(result)}"
    return finish(args.json, lambda: json_text(result), report, stopped)


def shape_report(measured: dict) -> str:
    """What `bench --shapes` prints of one shape."""
    import pandas as pd

    target, draft = measured["target"], measured["draft"]
    over_read = ", ".join(
        f"{width}: {over:.2f}" for width, over in measured["target_forward_over_read"].items()
    )
    lines = [
        f"{measured['shape']} ({measured['like']}), random weights, scripted acceptance",
        machine_line(measured["machine"]),
        f"reading the target's {target['weights_bytes'] / 1e9:.2f} GB of weights once: "
        f"{target['weights_read_ms']:.2f} ms, {target['bandwidth_gb_s']:.0f} GB/s",
        f"target forward over so many tokens, ms: {forwards_line(measured)}",
        f"the same, times that read: {over_read}",
        f"draft step: {measured['draft_step_ms']:.2f} ms, {measured['draft_step_over_read']:.2f} times the "
        f"read of its {draft['weights_bytes'] / 1e9:.2f} GB",
        metrics_table(pd.DataFrame(measured["results"]).drop(columns=["temperature", "settings"])),
        *settings_lines(measured["results"]),
        f"made in {measured['made_s']:.1f} s",
        *([f"peak memory of this process: {measured['peak_mib']:,} MiB"] if measured["peak_mib"] else []),
        *(f"{system}: {reason}" for system, reason in measured["left_out"].items()),
    ]
    return "\n".join(lines)


def bench_report(result: dict) -> str:
    """What `bench` prints of the object it writes."""
    import pandas as pd

    over_read = ", ".join(
        f"{width}: {over:.2f}" for width, over in result["target_forward_over_read"].items()
    )
    lines = [
        machine_line(result["machine"]),
        f"reading the target's weights once: {result['weights_read_ms']:.1f} ms, "
        f"{result['bandwidth_gb_s']:.0f} GB/s",
        f"target forward over so many tokens, ms: {forwards_line(result)}",
        f"the same, times that read: {over_read}",
        f"draft step: {result['draft_step_ms']:.1f} ms; shared noise: {result['noise_ms']:.2f} ms a position",
    ]
    frame = pd.DataFrame(result["results"])
    summary = {row["temperature"]: row for row in result["summary"]}
    for temperature, rows in frame.groupby("temperature", sort=False):
        lines += [
            "",
            f"temperature {temperature:g}",
            metrics_table(rows.drop(columns=["temperature", "settings"])),
        ]
        row = summary[temperature]
        lines += [
            f"best lane, {row['best_lane']}: {times(row['best_lane_over_autoregressive'])} autoregressive",
            f"best fixed k: {row['best_fixed'] or '–'}",
            f"adaedl: {times(row['adaedl_over_best_fixed'])} the best fixed k",
            f"autoregressive: {times(row['autoregressive_over_transformers'])} transformers' generate",
        ]
        if row["least_fixed_over_assisted"] is not None:
            least = times(row["least_fixed_over_assisted"])
            lines.append(f"fixed: at least {least} transformers' assisted generation with the same k")
        if row["best_lane_over_best_assisted"] is not None:
            over = times(row["best_lane_over_best_assisted"])
            lines.append(f"best lane: {over} transformers' assisted generation at its fastest")
        lines += settings_lines(rows.to_dict("records"))
    return "\n".join(lines)


def machine_line(machine: dict) -> str:
    versions = [f"{n} {machine[n]}" for n in ("torch", "transformers", "llama-cpp-python") if n in machine]
    return (
        f"{machine['gpu'] or machine['processor']}, {machine['cores']} cores, "
        f"{thread_words(machine['threads'])} ({machine['threads_limited_by']}), " + ", ".join(versions)
    )


def forwards_line(measured: dict) -> str:
    return ", ".join(f"{width}: {ms:.1f}" for width, ms in measured["target_forward_ms"].items())


def settings_lines(rows: list[dict]) -> list[str]:
    """What transformers was told in those rows where it was not left to its defaults."""
    return [
        f"{row['lane']}: " + ", ".join(f"{name} {value:g}" for name, value in row["settings"].items())
        for row in rows
        if row["settings"]
    ]


def metrics_table(frame) -> str:
    """A table of metrics as text: rounded, units in the headers, shares in percent, – for none."""
    shown = frame.drop(columns="timing_note", errors="ignore")
    for column in ("speedups", "unreliable"):
        if column in shown and not shown[column].astype(bool).any():
            del shown[column]
    for column in shown:
        if column == "speedups":
            shown[column] = [" ".join(f"{v:.2f}" for v in values) or "–" for values in frame[column]]
        elif column == "same_text":
            shown[column] = [{True: "yes", False: "no"}.get(v, "–") for v in frame[column]]
        elif column == "timing_reliable":
            shown[column] = [{True: "reliable", False: "unreliable"}.get(v, "–") for v in frame[column]]
        elif column in COUNTS:
            shown[column] = [f"{v:d}" for v in frame[column]]
        elif column not in ("lane", "system"):
            scale, digits = (100, 1) if column.endswith(("_share", "_rate")) else (1, 2)
            shown[column] = ["–" if v is None or v != v else f"{scale * v:.{digits}f}" for v in frame[column]]
    return shown.rename(columns=HEADERS).to_string(index=False)


def remarks(trace) -> list[str]:
    """What a reader of a race's numbers must know of its lanes, a line each."""
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


def left_aligned(frame) -> str:
    """A table of words as text."""
    widths = {column: max(map(len, [column, *frame[column]])) for column in frame}
    rows = [list(frame), *frame.itertuples(index=False)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths.values(), strict=True)).rstrip()
        for row in rows
    )


def times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}×"


def describe(pair) -> str:
    """One line: the pair, its weights, the device, and which implementations run."""
    return (
        f"{pair.name}: {pair.weights}; draft: {pair.draft_name}; on {pair.runs_on}, "
        f"target {pair.target.path}, draft {pair.drafter.path}"
    )


def printable(text: str) -> str:
    """A model's text without the control characters that would steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def load(args: argparse.Namespace):
    """The pair that was asked for, its progress on stderr."""
    from adaedl.pairs.loading import load_pair

    with loading_bar() as progress:
        return load_pair(args.pair, device=args.device, dtype=args.dtype, progress=progress)


@contextmanager
def loading_bar() -> Iterator:
    """A bar on stderr behind `load_pair`'s progress callback."""
    from tqdm import tqdm
    from transformers.utils import logging

    logging.set_verbosity_error()
    form = "{desc} {percentage:3.0f}% |{bar}| {elapsed}"
    with tqdm(total=1.0, bar_format=form, leave=False, file=sys.stderr, delay=0.5) as bar:

        def progress(sentence: str, fraction: float | None) -> None:
            bar.set_description_str(sentence, refresh=False)
            bar.n = fraction or 0.0
            bar.refresh()

        yield progress


@contextmanager
def share_bar(desc: str) -> Iterator:
    """A bar on stderr behind a callback that is told the share done."""
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}% |{bar}| {elapsed}"
    with tqdm(total=1.0, desc=desc, bar_format=form, leave=False, file=sys.stderr) as bar:
        yield lambda share: bar.update(share - bar.n)


def read_stdin() -> str:
    """The prompt on standard input.

    Raises:
        UserError: it cannot be read, is too long or is not text.
    """
    from adaedl.request import MAX_PROMPT_CHARACTERS

    if sys.stdin is None:
        raise UserError("Standard input is closed; give the prompt as an argument.")
    most = 4 * (MAX_PROMPT_CHARACTERS + 1)  # bytes of as many characters, and of a byte order mark
    try:
        content = sys.stdin.buffer.read(most + 1)  # not all of what may never end
        if len(content) > most:
            raise UserError(
                f"The prompt on stdin has more than {most:,} bytes; "
                f"at most {MAX_PROMPT_CHARACTERS:,} characters are read."
            )
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("The prompt on stdin is not UTF-8 text; convert it first.") from None
    except OSError as error:
        raise UserError(f"Cannot read the prompt on stdin: {error.strerror}.") from None


def read_prompts(path: Path) -> list[str]:
    """The different prompts of a file, one a line; says on stderr how many are repeated."""
    prompts = split_prompts(read_text(path))
    tell_repeats(prompts)
    return list(dict.fromkeys(prompts))


def tell_repeats(prompts: list[str]) -> None:
    if told := repeats_in(prompts):
        print(told, file=sys.stderr)


def read_text(path: Path) -> str:
    """The text of a file of prompts.

    Raises:
        UserError: it cannot be read, is too long or is not text.
    """
    from adaedl.measure.sweep import MAX_PROMPT_LIST_BYTES

    try:
        with path.open("rb") as file:
            content = file.read(MAX_PROMPT_LIST_BYTES + 1)  # not all of a device, which never ends
        if len(content) > MAX_PROMPT_LIST_BYTES:
            raise UserError(
                f"{path} has more than {MAX_PROMPT_LIST_BYTES // 2**10} KB, and a list of prompts no more; "
                "take fewer prompts."
            )
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; --prompts needs one prompt a line.") from None
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None


class Stopped:
    """How a command's work ended: `status` is the exit status where something ended it early, 0 otherwise."""

    def __init__(self, error: KeyboardInterrupt | None = None):
        self.status = 0 if error is None else getattr(error, "status", 130)


@contextmanager
def keeping_results(has_results: Callable[[], object]) -> Iterator[Stopped]:
    """Let Ctrl-C, or an error that the user can mend, end a block whose results so far are worth keeping, and
    not the command."""
    stopped = Stopped()
    try:
        yield stopped
    except KeyboardInterrupt as error:
        if not has_results():
            raise
        stopped.status = Stopped(error).status
    except UserError as error:
        if not has_results():
            raise
        print_error(error)
        stopped.status = 2


@contextmanager
def csv_lock(csv: Path | None) -> Iterator[None]:
    """Keep other processes from a CSV file that rows are appended to.

    Raises:
        UserError: another one has it.
    """
    if csv is None:
        yield
        return
    check_writable(csv)
    with exclusive(csv):
        yield


def finish(
    output: Output | None, content: Callable[[], str | bytes], report: str, stopped: Stopped | None = None
) -> int:
    """Write a result, then print its report, also where the file cannot be written; returns the exit status.

    Raises:
        UserError: the file cannot be written.
    """
    status = stopped.status if stopped else 0
    try:
        if output is not None:
            with interrupts.held():
                output.write(content())
                told = f"Stopped; {output.path} has what has run." if status else f"wrote {output.path}"
                print(told, file=sys.stderr)
    finally:
        print(report)
    return status


def json_text(value) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    write_file(path, text.encode())
    print(f"wrote {path}", file=sys.stderr)


def start() -> int:
    """As `main`, for a process that runs nothing else."""
    try:
        prepare_threads()  # before the libraries that read it are imported
    except UserError as error:
        print_error(error)
        return 2
    return main()


if __name__ == "__main__":
    sys.exit(start())
