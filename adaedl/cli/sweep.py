"""`sweep`: measure speed over prompts, temperatures, seeds and stoppers."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from adaedl.cli.common import add_lanes_option, csv_lock, finish, keeping_results, load
from adaedl.cli.inputs import print_repeats, read_kinds, read_text
from adaedl.cli.tables import describe_pair, metrics_table
from adaedl.errors import UserError
from adaedl.measure.number_lists import read_numbers, read_whole_numbers
from adaedl.measure.prompts import split_prompts
from adaedl.stopping import split_specs
from adaedl.system import interrupts

SUMMARY = "Measure speed over prompts, temperatures, seeds and stoppers."


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt per line")
    command.add_argument(
        "--kinds",
        metavar="KIND,…",
        help="built-in prompts (default all: chat,summary,translation,code,story)",
    )
    command.add_argument("--count", type=int, metavar="N", help="built-in prompts of each kind (default all)")
    command.add_argument("--temperatures", metavar="T,T,…", help="default 0,0.7,1.0")
    add_lanes_option(command, "stoppers (default: a few of each kind)")
    command.add_argument("--seeds", metavar="S,S,…", default="0", help="default 0")
    command.add_argument("--max-new-tokens", type=int, default=96, metavar="N", help="default 96")
    command.add_argument(
        "--verification", default="shared_noise", help="shared_noise (default) or speculative"
    )
    command.add_argument("--csv", type=Path, metavar="FILE", help="append the rows to it as they come")
    command.add_argument("--resume", action="store_true", help="continue the CSV file")
    command.add_argument("--parquet", type=Path, metavar="FILE", help="write all rows to it at the end")


def run(args: argparse.Namespace) -> int:
    """Run the grid, appending to the CSV file as results come, then print a summary; on Ctrl-C a summary
    of the cells done by then."""
    from adaedl.measure import sweep as sweeps

    if args.resume and args.csv is None:
        raise UserError("--resume continues a CSV file; name it with --csv.")
    grid = read_grid(args)
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
        print(f"{args.csv} has {cells} of {len(grid.cells)} cells; --resume continues it.", file=sys.stderr)
    report = "\n\n".join([describe_pair(pair), *summary_tables(frame)])
    return finish(args.parquet, lambda: sweeps.to_parquet(frame), report, stopped)


def read_grid(args: argparse.Namespace):
    """Return the `Grid` that the options ask for.

    Raises:
        UserError: naming the invalid value and what would be valid.
    """
    from adaedl.measure import sweep as sweeps

    if args.prompts is not None:
        listed = read_text(args.prompts)
        prompts = sweeps.prompts_from_lines(listed)
        print_repeats(split_prompts(listed))
    else:
        prompts = sweeps.built_in_prompts(read_kinds(args.kinds), args.count)
    temperatures = list(sweeps.TEMPERATURES)
    if args.temperatures is not None:
        temperatures = read_numbers("temperatures", args.temperatures)
    lanes = sweeps.LANES if args.lanes is None else split_specs(args.lanes)
    return sweeps.Grid(
        prompts,
        tuple(temperatures),
        tuple(lanes),
        tuple(read_whole_numbers("seeds", args.seeds)),
        args.max_new_tokens,
        args.verification,
    )


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


def summary_tables(frame) -> list[str]:
    """Return a table over all prompts and, where there are several kinds of prompts, one for each kind."""
    import pandas as pd

    from adaedl.measure.sweep import summarise

    tables = [metrics_table(summarise(frame).sort_values("temperature", kind="stable"))]
    if frame["kind"].nunique() > 1:
        tables += [
            f"{kind}\n{metrics_table(summarise(pd.DataFrame(part)))}"
            for kind, part in frame.groupby("kind", sort=False)
        ]
    return tables
