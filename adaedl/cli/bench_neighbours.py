"""`bench --neighbours`: measure how much slower a pair is on a shared machine."""

import argparse
from contextlib import closing

from adaedl.cli.common import finish, json_text, keeping_results, load
from adaedl.cli.tables import describe_machine, describe_pair
from adaedl.errors import UserError
from adaedl.system import interrupts


def run(args: argparse.Namespace) -> int:
    """Measure under every condition, then print. Ctrl-C keeps the results so far."""
    from adaedl.measure import neighbours

    check_options(args)
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
    report = f"{describe_pair(pair)}\n{describe_machine(result['machine'])}\n{neighbours.report(result)}"
    return finish(args.json, lambda: json_text(result), report, stopped)


def check_options(args: argparse.Namespace) -> None:
    """Check that no option sets what this bench chooses itself.

    Raises:
        UserError: an option does; the error names it.
    """
    for name in (
        "pairs",
        "shapes",
        "prompts",
        "temperatures",
        "lanes",
        "verification",
        "assisted",
        "acceptance",
    ):
        if getattr(args, name) is not None:
            raise UserError("--neighbours measures its own lanes and text; leave out --{}.", name)
    if args.device not in (None, "auto", "cpu"):
        raise UserError("--neighbours measures the CPU; leave out --device {}.", args.device)
