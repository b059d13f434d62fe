"""`sweep`: measure speed over prompts, temperatures, seeds and stoppers."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from adaedl.cli.common import add_lanes_option, csv_lock, finish, keeping_results
from adaedl.cli.inputs import print_repeats, read_kinds, read_text
from adaedl.cli.tables import NOISE, describe_pair, metrics_table, noise_in
from adaedl.cli.workers import add_workers_options, check_workers_options, open_workers, report_failures
from adaedl.errors import UserError
from adaedl.measure.number_lists import read_numbers, read_whole_numbers
from adaedl.measure.prompts import split_prompts
from adaedl.stopping import split_specs
from adaedl.system import interrupts

SUMMARY = "Measure speed over prompts, temperatures, seeds and stoppers."


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--prompts", type=Path, metavar="FILE", help="file with one prompt per line")
    command.add_argument(
        "--kinds",
        metavar="KIND,…",
        help="kinds of built-in prompts (default all: chat,summary,translation,code,story)",
    )
    command.add_argument(
        "--count", type=int, metavar="N", help="number of built-in prompts of each kind (default all)"
    )
    command.add_argument("--temperatures", metavar="T,T,…", help="sampling temperatures (default 0,0.7,1.0)")
    add_lanes_option(command, "stoppers (default: a selection of each kind)")
    command.add_argument(
        "--seeds", metavar="S,S,…", default="0", help="seeds of the random numbers (default 0)"
    )
    command.add_argument(
        "--max-new-tokens",
        type=int,
        default=96,
        metavar="N",
        help="maximum length of a text in tokens (default 96)",
    )
    command.add_argument(
        "--verification",
        default="shared_noise",
        help="verification rule: shared_noise (default) or speculative",
    )
    command.add_argument("--csv", type=Path, metavar="FILE", help="append rows as they are measured")
    command.add_argument("--resume", action="store_true", help="continue the CSV file")
    command.add_argument("--parquet", type=Path, metavar="FILE", help="write all rows at the end")
    add_workers_options(command)


def run(args: argparse.Namespace) -> int:
    """Run the grid and append each result to the CSV file, then print a summary. Ctrl-C keeps the finished
    cells."""
    from adaedl.measure import sweep as sweeps

    if args.resume and args.csv is None:
        raise UserError("--resume continues a CSV file; name it with --csv.")
    check_workers_options(args)
    grid = read_grid(args)
    if args.parquet is not None:
        sweeps.check_parquet()
    with csv_lock(args.csv), open_workers(args, describe, OneSetup().check) as workers:
        first = workers.begin(args.pair)
        done: set[tuple] = set()
        if args.csv is not None:
            done = sweeps.open_csv(args.csv, grid, first.setup, args.resume)
        rows: list = []
        with keeping_results(lambda: rows or done) as stopped:
            for cell in run_cells(workers, args.pair, grid, done, args.csv):
                rows += cell
        frame = sweeps.to_frame(rows) if args.csv is None else sweeps.read_rows(args.csv)
        stopped.status = report_failures(workers, stopped.status)
    if stopped.status and args.csv is not None:
        cells = len(sweeps.cells_in(frame))
        print(f"{args.csv} has {cells} of {len(grid.cells)} cells; --resume continues it.", file=sys.stderr)
    report = "\n\n".join([first.description, *summary_tables(frame)])
    return finish(args.parquet, lambda: sweeps.to_parquet(frame), report, stopped)


class Described(NamedTuple):
    """The pair of a worker: its `setup_of`, and a line to print."""

    setup: dict
    description: str


def describe(pair) -> Described:
    from adaedl.measure.sweep import setup_of

    return Described(setup_of(pair), describe_pair(pair))


class OneSetup:
    """Checks that all workers measure the same pair, dtype and kind of device."""

    first: Described | None = None

    def check(self, described: Described) -> None:
        """Raise UserError if an earlier worker measures another setup."""
        from adaedl.measure.sweep import same_setup

        self.first = first = self.first or described
        if not same_setup(first.setup, described.setup):
            raise UserError(
                "It runs {} on {}/{}, and others on {}/{}; choose with --device and --dtype.",
                *(described.setup[name] for name in ("pair", "device", "dtype")),
                *(first.setup[name] for name in ("device", "dtype")),
            )


def read_grid(args: argparse.Namespace):
    """Return the `Grid` of the options.

    Raises:
        UserError: a value is invalid; the error names it and a valid one.
    """
    from adaedl.measure import sweep as sweeps

    if args.prompts is not None:
        text = read_text(args.prompts)
        prompts = sweeps.prompts_from_lines(text)
        print_repeats(split_prompts(text))
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


def run_cells(workers, pair: str, grid, done: set[tuple], csv: Path | None) -> Iterator[list]:
    """Run the remaining cells of a sweep and append them to a CSV file; yield the rows of each cell."""
    from tqdm import tqdm

    from adaedl.measure import sweep as sweeps

    tasks = sweeps.tasks_of(pair, grid, done)
    with (
        closing(workers.run(tasks)) as results,
        tqdm(total=len(grid.cells), initial=len(done), desc="sweeping", unit="cell", file=sys.stderr) as bar,
    ):
        for _, cell in results:
            with interrupts.held():
                if csv is not None:
                    sweeps.append_csv(csv, cell)
                yield cell
            bar.update()


def summary_tables(frame) -> list[str]:
    """Return a table over all prompts, a table for each kind of prompts if there are several, and the meaning
    of the mark after a speedup."""
    import pandas as pd

    from adaedl.measure.sweep import summarise
    from adaedl.metrics import UNRELIABLE

    tables = [metrics_table(summarise(frame).sort_values("temperature", kind="stable"))]
    if frame["kind"].nunique() > 1:
        tables += [
            f"{kind}\n{metrics_table(summarise(pd.DataFrame(part)))}"
            for kind, part in frame.groupby("kind", sort=False)
        ]
    if any(noise_in(frame)):
        tables.append(f"{NOISE} {UNRELIABLE}")
    if frame["machine"].nunique() > 1:
        machines = "; ".join(sorted(frame["machine"].dropna().unique()))
        tables.append(
            f"Measured on {machines}. Each speedup compares lanes of one machine; "
            "tokens/s are means over machines."
        )
    return tables
