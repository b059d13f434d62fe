"""`bench`: measure the speed of one pair, of several pairs, of random weights in real shapes, next to busy
processes, or of `adaedl.generate` in transformers."""

import argparse
from functools import partial
from pathlib import Path

from adaedl.cli import bench_generate, bench_neighbours, bench_shapes
from adaedl.cli.bench_markdown import markdown_table
from adaedl.cli.bench_tables import bench_report
from adaedl.cli.common import add_lanes_option, finish, json_text, keeping_results, load
from adaedl.cli.inputs import read_prompts, read_text
from adaedl.cli.tables import describe_measured, describe_pair
from adaedl.errors import UserError
from adaedl.measure.number_lists import read_numbers
from adaedl.measure.prompts import BENCH_PROMPTS
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.request import VERIFICATIONS
from adaedl.stopping import split_specs
from adaedl.system import interrupts

SUMMARY = "Measure speed in one run with transformers and, if installed, llama.cpp."


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_workload_options(command)
    add_mode_options(command)
    command.add_argument("--json", type=Path, metavar="FILE", help="write the results")


def add_workload_options(command: argparse.ArgumentParser) -> None:
    """Declare the options for what runs and how often."""
    command.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="file with one prompt per line (default: 8 built-in prompts)",
    )
    command.add_argument(
        "--temperatures", metavar="T,T,…", help="sampling temperatures (default 0,0.7,1.0,1.3)"
    )
    add_lanes_option(
        command,
        "stoppers (default: fixed:k=1 to 6, adaedl, max_confidence; with --pairs: fixed:k=1 to 8 and 12, "
        "adaedl as published and tuned for the pair, throughput)",
    )
    command.add_argument(
        "--verification",
        metavar="RULE,…",
        help="one or both of shared_noise and speculative (default shared_noise; both with --pairs)",
    )
    command.add_argument("--max-new-tokens", type=int, metavar="N", help="new tokens per text (default 96)")
    command.add_argument(
        "--repeats",
        type=int,
        metavar="N",
        help="runs of everything (default 1; 3 with --neighbours or --generate)",
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
    """Declare the options that measure something other than one pair."""
    command.add_argument(
        "--pairs", metavar="NAME,…", help="measure several pairs one after another: presets or TARGET:DRAFT"
    )
    command.add_argument(
        "--shapes",
        nargs="?",
        const="",
        metavar="NAME,…",
        help="measure random weights in the shapes of real models instead (default: all that fit)",
    )
    command.add_argument(
        "--acceptance", type=float, metavar="A", help="with --shapes: share of accepted drafts (default 0.7)"
    )
    command.add_argument(
        "--neighbours",
        action="store_true",
        help="measure the slowdown next to busy processes or a second engine, or under a CPU quota",
    )
    command.add_argument(
        "--generate",
        action="store_true",
        help="compare adaedl.generate with transformers' assisted generation on the same models (default: "
        "smollm2-135m-self, and four-to-one, a small pair of random weights)",
    )
    command.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="print a Markdown table of the results in FILE, written by --json, and measure nothing",
    )


def run(args: argparse.Namespace) -> int:
    if args.table is not None:
        return print_table(args)
    if args.generate:
        return bench_generate.run(args)
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
    return bench_pair(args) if args.pairs is None else bench_pairs(args)


def print_table(args: argparse.Namespace) -> int:
    """Print the table of an earlier result."""
    for name in ("pairs", "shapes", "neighbours", "generate", "json"):
        if getattr(args, name) not in (None, False):
            raise UserError("--table measures nothing; leave out --{}.", name)
    text = read_text(args.table)
    print(bench_generate.table_in(text) or markdown_table(text, str(args.table)))
    return 0


def bench_pair(args: argparse.Namespace) -> int:
    """Measure a pair, then print its results and a summary. Ctrl-C keeps the results so far."""
    from adaedl.measure import bench as benches

    prompts, temperatures = workload(args)
    lanes = list(benches.LANES) if args.lanes is None else split_specs(args.lanes)
    options = measuring_options(args, ["shared_noise"])
    benches.check_bench(prompts, lanes, temperatures, **options)

    pair = load(args)
    result: dict = {}
    with keeping_results(lambda: result) as stopped:
        parts = benches.bench_in_parts(pair, prompts, lanes, temperatures, assisted=args.assisted, **options)
        for result in parts:  # noqa: B007, the last one counts
            interrupts.check()
    report = f"{describe_pair(pair)}\n{bench_report(result)}"
    return finish(args.json, lambda: json_text(result), report, stopped)


def bench_pairs(args: argparse.Namespace) -> int:
    """Measure several pairs, then print the report of each. Ctrl-C keeps the results so far."""
    from adaedl.measure import bench_pairs as benches

    if args.pair != DEFAULT_PAIR:
        raise UserError("--pairs names all pairs; leave out --pair.")
    if args.assisted:
        raise UserError("--pairs runs assisted generation wherever it can; leave out --assisted.")
    names = [name for name in map(str.strip, args.pairs.split(",")) if name]
    prompts, temperatures = workload(args)
    lanes = None if args.lanes is None else split_specs(args.lanes)
    options = measuring_options(args, list(VERIFICATIONS))
    benches.check_bench_pairs(
        names, prompts, temperatures, lanes, device=args.device, dtype=args.dtype, **options
    )

    result: dict = {}
    with keeping_results(lambda: result) as stopped:
        parts = benches.bench_pairs_in_parts(
            names,
            partial(load, args),
            prompts,
            temperatures,
            lanes=lanes,
            assisted=args.assisted,
            same_drafts=False,
            **options,
        )
        for result in parts:  # noqa: B007, the last one counts
            interrupts.check()
    report = "\n\n".join(f"{describe_measured(one)}\n{bench_report(one)}" for one in result["pairs"])
    return finish(args.json, lambda: json_text(result), report, stopped)


def workload(args: argparse.Namespace) -> tuple[list[str], list[float]]:
    """Return the prompts and the temperatures of the options."""
    from adaedl.measure.bench import TEMPERATURES

    prompts = list(BENCH_PROMPTS) if args.prompts is None else read_prompts(args.prompts)
    temperatures = [*TEMPERATURES]
    if args.quick:
        prompts, temperatures = prompts[:2], [0.7]
    if args.temperatures is not None:
        temperatures = read_numbers("temperatures", args.temperatures)
    return prompts, temperatures


def measuring_options(args: argparse.Namespace, verifications: list[str]) -> dict:
    """Return the options for measuring a prompt. `verifications` are the default verification rules."""
    if args.verification is not None:
        verifications = [rule for rule in map(str.strip, args.verification.split(",")) if rule]
    return {
        "max_new_tokens": args.max_new_tokens,
        "repeats": args.repeats,
        "seed": args.seed,
        "verifications": list(dict.fromkeys(verifications)),
    }
