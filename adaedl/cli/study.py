"""`study`: test the paper's claims over pairs, verification rules, temperatures and costs of a draft."""

import argparse
import gc
import sys
from pathlib import Path

from adaedl.cli.common import csv_lock, keeping_results, load, write_text
from adaedl.cli.inputs import read_kinds
from adaedl.cli.tables import thread_words
from adaedl.errors import UserError
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.system.files import check_writable, make_folder
from adaedl.system.threads import threads_in_use, usable_cores

SUMMARY = "Test the paper's claims over pairs, verification rules, temperatures and costs; write study.md."


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--pairs",
        metavar="PAIR,…",
        help="the pairs of the map (default: --pair if it is given, otherwise those that need no download)",
    )
    command.add_argument(
        "--held-out", metavar="PAIR", help="a pair that tests the rule of thumb and throughput (default none)"
    )
    command.add_argument("--kinds", metavar="KIND,…", help="built-in prompts (default all)")
    command.add_argument("--count", type=int, metavar="N", help="prompts of each kind (default all)")
    command.add_argument(
        "--measured",
        type=int,
        default=1,
        metavar="N",
        help="prompts of each kind that really run as well, to measure the model of time (default 1)",
    )
    command.add_argument("--max-new-tokens", type=int, default=64, metavar="N", help="default 64")
    command.add_argument(
        "--replay-only", action="store_true", help="record nothing; replay what the folder has, and report"
    )
    command.add_argument(
        "--folder",
        type=Path,
        default=Path("study"),
        help="where recordings, tables and study.md go; a study that is there is continued (default study)",
    )


def run(args: argparse.Namespace) -> int:
    """Record what is missing of a study, then replay it and write what it says; on Ctrl-C what has been
    recorded is kept."""
    from adaedl.measure.sweep import built_in_prompts

    pairs = read_pairs(args)
    prompts = built_in_prompts(read_kinds(args.kinds), args.count)
    measured = read_measured(args)
    check_length(args.max_new_tokens)
    make_folder(args.folder)
    check_writable(args.folder / "study.md")
    with csv_lock(args.folder / "study.csv.gz"):
        if not args.replay_only:
            with keeping_results(lambda: (args.folder / "recordings").exists()) as stopped:
                record(args, pairs, prompts)
                run_measured(args, pairs, measured)
            if stopped.status:
                print(f"{args.folder} keeps what is recorded; the same command continues.", file=sys.stderr)
                return stopped.status
        write_report(args.folder)
    return 0


def read_pairs(args: argparse.Namespace) -> list[str]:
    """Return the pairs of the map that the options name.

    Raises:
        UserError: there are none, or one is named twice.
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
    """Return the prompts that really run.

    Raises:
        UserError: there are not that many.
    """
    from adaedl.measure.sweep import built_in_prompts

    kinds = read_kinds(args.kinds)
    most = max(prompt.number for prompt in built_in_prompts(kinds))
    if not 0 <= args.measured <= most:
        raise UserError(f"measured is {args.measured}; it must be a whole number from 0 to {most}.")
    return built_in_prompts(kinds, args.measured) if args.measured else ()


def check_length(max_new_tokens: int) -> None:
    """Raise UserError if no recording has texts of this length."""
    from adaedl.replay.recorder import check_record
    from adaedl.request import check_run

    check_run(max_new_tokens, 0, "shared_noise")
    check_record(max_new_tokens, 1)


def record(args: argparse.Namespace, pairs: list[str], prompts: tuple) -> None:
    """Record the cells that the folder does not have, one pair in memory at a time."""
    from adaedl.measure.study import recordings as records

    every = records.cells_of(with_held_out(args, pairs), prompts)
    left = [cell for cell in every if not cell.is_recorded(args.folder)]
    bar = None
    for name, cells in records.by_pair(left):
        pair = load_for_study(args, name, pairs)
        bar = bar or progress_bar("recording", len(every), len(every) - len(left))
        for cell in cells:
            bar.set_postfix_str(f"{name}, {cell.prompt.kind} {cell.prompt.number}", refresh=False)
            records.record_cell(pair, cell, args.folder, args.max_new_tokens)
            bar.update()
        del pair
        gc.collect()
    if bar is not None:
        bar.close()


def run_measured(args: argparse.Namespace, pairs: list[str], prompts: tuple) -> None:
    """Really run the prompts that have not run, one pair in memory at a time."""
    from adaedl.measure.study import real_runs

    for name in pairs:
        left = real_runs.missing(args.folder, name, prompts)
        if not left:
            continue
        pair = load_for_study(args, name, pairs)
        with progress_bar(f"running {name}", len(left)) as bar:
            for verification, prompt in left:
                real_runs.run_prompt(pair, name, verification, prompt, args.folder, args.max_new_tokens)
                bar.update()
        del pair
        gc.collect()


def write_report(folder: Path) -> None:
    """Replay every lane on the recordings of a folder, and write its tables and study.md.

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


def load_for_study(args: argparse.Namespace, name: str, pairs: list[str]):
    """Load one of the pairs, and write down what the study is made with.

    Raises:
        UserError: the pair cannot be loaded, or the folder's study was begun on another machine or with texts
            of another length.
    """
    from adaedl.measure.study.recordings import Setup, begin_or_continue

    pair = load(argparse.Namespace(**vars(args) | {"pair": name}))
    machine = machine_words(pair.device)
    begin_or_continue(args.folder, Setup(machine, tuple(pairs), args.held_out, args.max_new_tokens))
    return pair


def progress_bar(description: str, total: int, done: int = 0):
    """Return a bar on stderr that tells how much is done and how long the rest takes."""
    from tqdm import tqdm

    return tqdm(total=total, initial=done, desc=description, file=sys.stderr)


def machine_words(device) -> str:
    """Return the machine that a study runs on: its processor or accelerator, cores and threads."""
    from adaedl.system.machine import device_name

    return f"{device_name(device)}, {cores_words()}"


def cores_words() -> str:
    """Return the cores that a study has; where it runs on fewer or more threads, those too."""
    cores, threads = usable_cores(), threads_in_use().count
    return f"{cores} cores" if threads == cores else f"{cores} cores, {thread_words(threads)}"
