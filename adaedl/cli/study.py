"""`study`: test the paper's claims on a sweep of every stopper."""

import argparse
import sys
from pathlib import Path

from adaedl.cli.common import csv_lock, keeping_results, load, write_text
from adaedl.cli.inputs import read_kinds, read_text
from adaedl.cli.sweep import run_cells
from adaedl.cli.tables import thread_words
from adaedl.errors import UserError
from adaedl.system.files import check_writable, make_folder
from adaedl.system.threads import threads_in_use, usable_cores

SUMMARY = "Test the paper's claims on a sweep of every stopper; write study.md."


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--kinds", metavar="KIND,…", help="built-in prompts (default all)")
    command.add_argument("--count", type=int, metavar="N", help="prompts of each kind (default all)")
    command.add_argument(
        "--measured", type=int, default=2, metavar="N", help="how many of them also really run (default 2)"
    )
    command.add_argument("--max-new-tokens", type=int, default=48, metavar="N", help="default 48")
    command.add_argument(
        "--folder",
        type=Path,
        default=Path("study"),
        help="where study.md and study.csv go; a study that is there is continued (default study)",
    )


def run(args: argparse.Namespace) -> int:
    """Run what is left of the sweeps of a study, then write what they say; on Ctrl-C what has run is kept."""
    from adaedl.measure import study as studies
    from adaedl.measure import sweep as sweeps
    from adaedl.system.machine import device_name

    grids = read_grids(args)
    make_folder(args.folder)
    check_writable(args.folder / "study.md")
    with csv_lock(args.folder / "study.csv"):
        pair = load(args)
        machine = f"{device_name(pair.device)}, {cores_words()}"
        check_same_machine(args.folder, machine)
        frames: list = []
        for name, grid in grids.items():
            csv = args.folder / name
            done = sweeps.open_csv(csv, grid, sweeps.setup_of(pair), resume=True)
            with keeping_results(lambda: True) as stopped:
                for _ in run_cells(pair, grid, done, csv, csv.stem):
                    pass
            if stopped.status:
                print(f"{csv} has the results so far; the same command continues.", file=sys.stderr)
                return stopped.status
            frames.append(sweeps.rows_within(sweeps.read_rows(csv), grid))
    write_text(args.folder / "study.md", studies.report(frames[0], frames[1], machine))
    print(f"{args.folder / 'study.md'} is written.")
    return 0


def read_grids(args: argparse.Namespace) -> dict:
    """Return the `Grid` of each CSV file of a study: what is replayed, and what really runs.

    Raises:
        UserError: naming the invalid value and what would be valid.
    """
    from adaedl.measure import study as studies
    from adaedl.measure.sweep import built_in_prompts

    kinds = read_kinds(args.kinds)
    prompts = built_in_prompts(kinds, args.count)
    most = max(prompt.number for prompt in built_in_prompts(kinds))
    if not 1 <= args.measured <= most:
        raise UserError(f"measured is {args.measured}; it must be a whole number from 1 to {most}.")
    few = built_in_prompts(kinds, args.measured)
    return {
        "study.csv": studies.study_grid(prompts, args.max_new_tokens),
        "study-measured.csv": studies.measured_grid(few, args.max_new_tokens),
    }


def cores_words() -> str:
    """Return the cores that a study has; where it runs on fewer or more threads, those too."""
    cores, threads = usable_cores(), threads_in_use().count
    return f"{cores} cores" if threads == cores else f"{cores} cores, {thread_words(threads)}"


def check_same_machine(folder: Path, machine: str) -> None:
    """Check that a folder's study was begun on this machine, since clocks of two machines do not mix. The
    first machine to measure in a folder is written down there.

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
