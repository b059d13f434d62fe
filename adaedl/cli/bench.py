"""`bench`: measure speed, of a pair, of random weights of real shapes, or beside busy processes."""

import argparse
from pathlib import Path

from adaedl.cli import bench_neighbours, bench_shapes
from adaedl.cli.bench_tables import bench_report
from adaedl.cli.common import add_lanes_option, finish, json_text, keeping_results, load
from adaedl.cli.inputs import read_prompts
from adaedl.cli.tables import describe_pair
from adaedl.errors import UserError
from adaedl.measure.number_lists import read_numbers
from adaedl.measure.prompts import BENCH_PROMPTS
from adaedl.stopping import split_specs
from adaedl.system import interrupts

SUMMARY = "Measure speed in one run with transformers and, if it is installed, llama.cpp."


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_workload_options(command)
    add_mode_options(command)
    command.add_argument("--json", type=Path, metavar="FILE", help="write the results")


def add_workload_options(command: argparse.ArgumentParser) -> None:
    """Declare what is run, and how often."""
    command.add_argument(
        "--prompts", type=Path, metavar="FILE", help="one prompt per line (default: 8 built-in ones)"
    )
    command.add_argument("--temperatures", metavar="T,T,…", help="default 0,0.7,1.0,1.3")
    add_lanes_option(command, "stoppers (default: fixed:k=1 to 6, adaedl, max_confidence)")
    command.add_argument("--max-new-tokens", type=int, metavar="N", help="for each text (default 96)")
    command.add_argument(
        "--repeats",
        type=int,
        metavar="N",
        help="runs of everything (default 1, with --neighbours 3)",
    )
    command.add_argument("--seed", type=int, default=0, help="seed of the first repeat (default 0)")
    command.add_argument(
        "--assisted",
        action=argparse.BooleanOptionalAction,
        help="also measure transformers' assisted generation (default: if the draft is an independent model)",
    )
    command.add_argument(
        "--quick", action="store_true", help="2 prompts × 16 tokens at one temperature, as a quick test"
    )


def add_mode_options(command: argparse.ArgumentParser) -> None:
    """Declare what is measured instead of a pair, where something is."""
    command.add_argument(
        "--shapes",
        nargs="?",
        const="",
        metavar="NAME,…",
        help="instead of a pair: random weights in the shapes of real models (default all that fit)",
    )
    command.add_argument(
        "--acceptance", type=float, metavar="A", help="with --shapes: share of drafts accepted (default 0.7)"
    )
    command.add_argument(
        "--neighbours",
        action="store_true",
        help="instead: how much slower it is beside busy processes, a second engine, or under a CPU quota",
    )


def run(args: argparse.Namespace) -> int:
    if args.neighbours:
        return bench_neighbours.run(args)
    if args.repeats is None:
        args.repeats = 1
    if args.max_new_tokens is None:
        args.max_new_tokens = 16 if args.quick else 96
    if args.shapes is not None:
        return bench_shapes.run(args)
    if args.acceptance is not None:
        raise UserError("--acceptance works only with --shapes; leave it out or add --shapes.")
    return bench_pair(args)


def bench_pair(args: argparse.Namespace) -> int:
    """Measure a pair, then print the results of each temperature and a summary; on Ctrl-C of what has run."""
    from adaedl.measure import bench as benches

    prompts = list(BENCH_PROMPTS) if args.prompts is None else read_prompts(args.prompts)
    temperatures = [*benches.TEMPERATURES]
    if args.quick:
        prompts, temperatures = prompts[:2], [0.7]
    if args.temperatures is not None:
        temperatures = read_numbers("temperatures", args.temperatures)
    lanes = list(benches.LANES) if args.lanes is None else split_specs(args.lanes)
    benches.check_bench(prompts, lanes, temperatures, args.max_new_tokens, args.repeats, args.seed)

    pair = load(args)
    result: dict = {}
    with keeping_results(lambda: result) as stopped:
        for result in benches.bench_in_parts(  # noqa: B007, the last one counts
            pair,
            prompts,
            lanes,
            temperatures,
            max_new_tokens=args.max_new_tokens,
            repeats=args.repeats,
            seed=args.seed,
            assisted=args.assisted,
        ):
            interrupts.check()
    report = f"{describe_pair(pair)}\n{bench_report(result)}"
    return finish(args.json, lambda: json_text(result), report, stopped)
