"""`bench --shapes`: measure pairs with random weights in real shapes."""

import argparse

from adaedl.cli.bench_tables import shape_report
from adaedl.cli.common import finish, json_text, keeping_results
from adaedl.errors import UserError
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.stopping import split_specs
from adaedl.system import interrupts


def run(args: argparse.Namespace) -> int:
    """Measure each shape, then print the report of each. Ctrl-C keeps the finished shapes."""
    from transformers.utils import logging

    from adaedl.measure import shapes
    from adaedl.pairs.devices import pick_device, pick_dtype

    check_options(args)
    lanes = list(shapes.LANES) if args.lanes is None else split_specs(args.lanes)
    options = {
        "max_new_tokens": args.max_new_tokens,
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


def check_options(args: argparse.Namespace) -> None:
    """Check that no option needs what a pair with random weights does not have.

    Raises:
        UserError: an option does; the error names it.
    """
    options = {
        "--pair": args.pair != DEFAULT_PAIR,
        "--pairs": args.pairs is not None,
        "--prompts": args.prompts,
        "--temperatures": args.temperatures,
        "--assisted": args.assisted is not None,
        "--verification": args.verification is not None,
    }
    for name, value in options.items():
        if value:
            raise UserError("--shapes makes its own models and text; leave out {}.", name)
