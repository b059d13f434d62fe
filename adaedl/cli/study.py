"""`study`: test the paper's claims over pairs, verification rules, temperatures and cost ratios."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from adaedl.cli.common import csv_lock, keeping_results, write_text
from adaedl.cli.inputs import read_kinds
from adaedl.cli.tables import thread_words
from adaedl.cli.workers import add_workers_options, check_workers_options, open_workers, report_failures
from adaedl.errors import Parameter, UserError
from adaedl.measure.workers import Workers
from adaedl.pairs.pair import Pair
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.system.files import check_writable, make_folder
from adaedl.system.threads import threads_in_use, usable_cores

SUMMARY = (
    "Test the paper's claims over pairs, verification rules, temperatures and cost ratios; write study.md."
)


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--pairs",
        metavar="PAIR,…",
        help="the pairs of the map (default: --pair if present, otherwise the pairs that need no download)",
    )
    command.add_argument(
        "--held-out",
        metavar="PAIR",
        help="a pair that only tests the rule of thumb and throughput (default none)",
    )
    command.add_argument("--kinds", metavar="KIND,…", help="kinds of built-in prompts (default all)")
    command.add_argument(
        "--count", type=int, metavar="N", help="number of prompts of each kind (default all)"
    )
    command.add_argument(
        "--measured",
        type=int,
        default=1,
        metavar="N",
        help="prompts of each kind that also run for real, to test the timing model (default 1)",
    )
    command.add_argument(
        "--max-new-tokens",
        type=int,
        default=64,
        metavar="N",
        help="maximum length of a text in tokens (default 64)",
    )
    command.add_argument(
        "--replay-only",
        action="store_true",
        help="record nothing; replay the recordings in the folder and write the report",
    )
    command.add_argument(
        "--folder",
        type=Path,
        default=Path("study"),
        help="folder of recordings, tables and study.md; an existing study is continued (default study)",
    )
    add_workers_options(command)


def run(args: argparse.Namespace) -> int:
    """Record the missing parts of a study, then replay it and write the report. Ctrl-C keeps the
    recordings."""
    from adaedl.measure.sweep import built_in_prompts

    check_workers_options(args)
    pairs = read_pairs(args)
    prompts = built_in_prompts(read_kinds(args.kinds), args.count)
    measured = read_measured(args)
    check_length(args.max_new_tokens)
    make_folder(args.folder)
    check_writable(args.folder / "study.md")
    failed = 0
    with csv_lock(args.folder / "study.csv.gz"):
        if not args.replay_only:
            with (
                keeping_results(lambda: (args.folder / "recordings").exists()) as stopped,
                open_workers(args, machine_of, of_this_study(args, pairs)) as workers,
            ):
                record(args, workers, pairs, prompts)
                run_measured(args, workers, pairs, measured)
                failed = report_failures(workers, 0)
            if stopped.status:
                print(
                    f"{args.folder} has the recordings so far; the same command continues.", file=sys.stderr
                )
                return stopped.status
        write_report(args.folder)
    return failed


def read_pairs(args: argparse.Namespace) -> list[str]:
    """Return the pairs of the map.

    Raises:
        UserError: the options name no pair, or one pair twice.
    """
    from adaedl.measure.study.recordings import PAIRS, check_pairs

    if args.pairs is None:
        pairs = list(PAIRS) if args.pair == DEFAULT_PAIR else [args.pair]
    elif args.pair != DEFAULT_PAIR:
        raise UserError("Both --pair and --pairs name pairs; give one of them.")
    else:
        pairs = [name.strip() for name in args.pairs.split(",") if name.strip()]
    check_pairs(with_held_out(args, pairs))
    return pairs


def read_measured(args: argparse.Namespace) -> tuple:
    """Return the prompts of the real runs.

    Raises:
        UserError: there are not enough prompts.
    """
    from adaedl.measure.sweep import built_in_prompts

    kinds = read_kinds(args.kinds)
    most = max(prompt.number for prompt in built_in_prompts(kinds))
    if not 0 <= args.measured <= most:
        raise UserError(
            "{} is {}; it must be a whole number from 0 to {}.", Parameter("measured"), args.measured, most
        )
    return built_in_prompts(kinds, args.measured) if args.measured else ()


def check_length(max_new_tokens: int) -> None:
    """Raise UserError if texts of this length cannot be recorded."""
    from adaedl.recordings.recorder import check_record
    from adaedl.request import check_run

    check_run(max_new_tokens, 0, "shared_noise")
    check_record(max_new_tokens, 1)


def record(args: argparse.Namespace, workers: Workers, pairs: list[str], prompts: tuple) -> None:
    """Record the cells that the folder does not have."""
    from adaedl.measure.study import recordings as records

    every = records.cells_of(with_held_out(args, pairs), prompts)
    missing = [cell for cell in every if not cell.is_recorded(args.folder)]
    tasks = records.tasks_of(missing, args.max_new_tokens)
    for task, contents in run_tasks(workers, list(tasks), "recording", len(every)):
        records.write_cell(tasks[task], args.folder, contents)


def run_measured(args: argparse.Namespace, workers: Workers, pairs: list[str], prompts: tuple) -> None:
    """Run the prompts that still need a real run."""
    from adaedl.measure.study import real_runs

    tasks = real_runs.tasks_of(args.folder, pairs, prompts, args.max_new_tokens)
    for task, frame in run_tasks(workers, list(tasks), "running", len(tasks)):
        real_runs.write_run(tasks[task], frame)


def run_tasks(workers: Workers, tasks: list, description: str, total: int) -> Iterator[tuple]:
    """Run the remaining tasks of `total` with a progress bar; yield each task and its result."""
    if not tasks:
        return
    workers.begin(tasks[0].pair)  # loads the pair before the bar appears
    with (
        closing(workers.run(tasks)) as results,
        progress_bar(description, total, total - len(tasks)) as bar,
    ):
        for task, result in results:
            yield task, result
            bar.set_postfix_str(task.label, refresh=False)
            bar.update()


def write_report(folder: Path) -> None:
    """Replay every lane on the recordings of a folder, and write the tables and study.md.

    Raises:
        UserError: no pair has a prompt that is recorded under every condition.
    """
    from adaedl.measure.study import real_runs, tables
    from adaedl.measure.study import recordings as records
    from adaedl.measure.study.replays import replay_study
    from adaedl.measure.study.report import report
    from adaedl.measure.sweep import built_in_prompts

    setup = records.read_setup(folder)
    every = built_in_prompts(read_kinds(None))
    cells = records.recorded_cells(folder, setup.all_pairs, every) if setup else []
    if setup is None or not {cell.condition.pair for cell in cells} & set(setup.pairs):
        raise UserError(
            f"{folder} has no prompt recorded under every condition; run study without --replay-only first."
        )
    with progress_bar("replaying", 100) as bar:
        for part in replay_study(folder, cells):
            if isinstance(part, float):
                bar.update(int(100 * part) - bar.n)
    speedups, texts = part
    runs = real_runs.read_runs(folder, setup.pairs)
    for name, rows in zip(tables.FILES, (speedups, texts, runs), strict=True):
        tables.write_table(folder / name, rows)
    frame, text_frame, run_frame = (tables.read_table(folder / name) for name in tables.FILES)
    write_text(folder / "study.md", report(frame, text_frame, run_frame, setup))


def with_held_out(args: argparse.Namespace, pairs: list[str]) -> list[str]:
    return [*pairs, args.held_out] if args.held_out else pairs


def of_this_study(args: argparse.Namespace, pairs: list[str]) -> Callable[[str], None]:
    """Return a callback that takes the machine of a loaded pair and stores the setup of the study.

    The callback raises UserError if the folder's study was started on another kind of machine or with texts
    of another length.
    """
    from adaedl.measure.study.recordings import Setup, begin_or_continue

    def check(machine: str) -> None:
        begin_or_continue(args.folder, Setup(machine, tuple(pairs), args.held_out, args.max_new_tokens))

    return check


def progress_bar(description: str, total: int, done: int = 0):
    """Return a progress bar on stderr with the completed share and the remaining time."""
    from tqdm import tqdm

    return tqdm(total=total, initial=done, desc=description, file=sys.stderr)


def machine_of(pair: Pair) -> str:
    """Return the kind of machine that a pair is loaded on: its processor or accelerator, cores and threads.
    Only machines of the same kind may share a study, because their times are pooled."""
    from adaedl.system.machine import device_name

    return f"{device_name(pair.device)}, {cores_words()}"


def cores_words() -> str:
    """Return the number of cores, and the number of threads if it differs."""
    cores, threads = usable_cores(), threads_in_use().count
    return f"{cores} cores" if threads == cores else f"{cores} cores, {thread_words(threads)}"
