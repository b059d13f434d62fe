"""`bench --generate`: compare `adaedl.generate` with transformers' assisted generation on the same models."""

import argparse
import json
from functools import partial
from itertools import chain

from adaedl.cli.common import finish, json_text, keeping_results, load
from adaedl.cli.inputs import read_prompts
from adaedl.cli.tables import describe_machine, times
from adaedl.errors import UserError
from adaedl.measure.number_lists import read_numbers
from adaedl.measure.prompts import BENCH_PROMPTS
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.stopping import split_specs
from adaedl.system import interrupts

RATIOS = {"× its defaults": "over_defaults", "× its fastest settings": "over_searched"}


def run(args: argparse.Namespace) -> int:
    """Measure each pair, then print a Markdown table. Ctrl-C keeps the results so far."""
    from transformers.utils import logging

    from adaedl.measure import assisted
    from adaedl.system.threads import apply_threads

    check_options(args)
    names = pair_names(args)
    prompts = list(BENCH_PROMPTS[: assisted.PROMPTS]) if args.prompts is None else read_prompts(args.prompts)
    temperatures = list(assisted.TEMPERATURES)
    if args.quick:
        prompts, temperatures = prompts[:2], [0.0]
    if args.temperatures is not None:
        temperatures = read_numbers("temperatures", args.temperatures)
    lanes = None if args.lanes is None else split_specs(args.lanes)
    tokens = 16 if args.quick else assisted.MAX_NEW_TOKENS
    options = {
        "max_new_tokens": tokens if args.max_new_tokens is None else args.max_new_tokens,
        "repeats": (1 if args.quick else assisted.REPEATS) if args.repeats is None else args.repeats,
        "seed": args.seed,
    }
    assisted.check_assisted(names, prompts, temperatures, lanes, device=args.device, **options)
    apply_threads()
    logging.set_verbosity_error()

    options["settings"] = assisted.QUICK_SETTINGS if args.quick else assisted.SETTINGS
    result: dict = {}
    with keeping_results(lambda: result) as stopped:
        parts = assisted.bench_assisted_in_parts(
            names, partial(make_models, args, prompts), temperatures, lanes, **options
        )
        for result in parts:  # noqa: B007, the last one counts
            interrupts.check()
    return finish(args.json, lambda: json_text(result), report(result), stopped)


def pair_names(args: argparse.Namespace) -> list[str]:
    """Return the pairs of the options, or the default pairs.

    Raises:
        UserError: two options name pairs.
    """
    from adaedl.measure.assisted import PAIRS

    if args.pairs is not None and args.pair != DEFAULT_PAIR:
        raise UserError("--pairs names all pairs; leave out --pair.")
    if args.pair != DEFAULT_PAIR:
        return [args.pair]
    if args.pairs is None:
        return list(PAIRS)
    return [name for name in map(str.strip, args.pairs.split(",")) if name]


def make_models(args: argparse.Namespace, prompts: list[str], name: str):
    """Return the transformers models of a pair and free its other parts."""
    from adaedl.measure import assisted_models
    from adaedl.pairs.devices import pick_device

    if name == assisted_models.FOUR_TO_ONE:
        return assisted_models.four_to_one(len(prompts), pick_device(args.device))
    return assisted_models.models_of(load(args, name), prompts)


def check_options(args: argparse.Namespace) -> None:
    """Check that no option sets what this bench chooses itself.

    Raises:
        UserError: an option does; the error names it.
    """
    for name in ("shapes", "verification", "assisted", "acceptance"):
        if getattr(args, name) is not None:
            raise UserError(
                "--generate measures assisted generation under speculative sampling; leave out --{}.", name
            )
    if args.neighbours:
        raise UserError("--generate and --neighbours are different benches; leave out one of them.")


def report(result: dict) -> str:
    """Return the report of `bench --generate`, from its JSON object."""
    lines = [describe_machine(result["machine"])]
    for pair in result["pairs"]:
        lines += ["", f"{pair['name']}: {pair['description']}", *settings_lines(pair)]
    return "\n".join([*lines, "", markdown_table(result)])


def settings_lines(pair: dict) -> list[str]:
    """Return the fastest settings of assisted generation at each temperature."""
    return [
        f"fastest settings at {row['temperature']:g}: "
        + ", ".join(f"{name} {value}" for name, value in row["settings"].items())
        for row in pair["results"]
        if row["settings"]
    ]


def table_in(text: str) -> str | None:
    """Return the table of a result that `bench --generate --json` wrote, or None if the text is no such
    result."""
    try:
        result = json.loads(text)
        return markdown_table(result) if result["pairs"] else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def markdown_table(result: dict) -> str:
    """Return a Markdown table with a block of rows for each pair. The columns of each temperature are the
    speed and its ratios to transformers' assisted generation, with the lowest and the highest ratio of a
    cycle in brackets."""
    all_rows = [row for pair in result["pairs"] for row in pair["results"]]
    temperatures = list(dict.fromkeys(row["temperature"] for row in all_rows))
    headings = [
        heading for temperature in temperatures for heading in (f"T = {temperature:g}: tokens/s", *RATIOS)
    ]
    lines = [["", *headings], ["---"] * (1 + len(headings))]
    for pair in result["pairs"]:
        lines.append([f"**{pair['name']}**", *[""] * len(headings)])
        rows = {(row["system"], row["temperature"]): row for row in pair["results"]}
        for system in dict.fromkeys(row["system"] for row in pair["results"]):
            cells = [_cells(rows.get((system, temperature))) for temperature in temperatures]
            lines.append([system, *chain(*cells)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(row: dict | None) -> list[str]:
    if row is None:
        return ["–"] * (1 + len(RATIOS))
    ratios = [
        f"{times(row[name])} ({row[f'{name}_low']:.2f}–{row[f'{name}_high']:.2f})" for name in RATIOS.values()
    ]
    return [f"{row['tokens_per_s']:.1f}", *ratios]
