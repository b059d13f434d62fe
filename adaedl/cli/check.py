"""`check`: measure that decoding with a pair is lossless."""

import argparse
from pathlib import Path

from adaedl.cli.common import finish, json_text, keeping_results, load
from adaedl.cli.tables import describe_pair
from adaedl.errors import Parameter, UserError
from adaedl.measure.prompts import BENCH_PROMPTS
from adaedl.request import check_run
from adaedl.system import interrupts

SUMMARY = "Measure that decoding is lossless."


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--prompts-count", type=int, default=4, metavar="N", help="number of built-in prompts (default 4)"
    )
    command.add_argument(
        "--max-new-tokens", type=int, default=32, metavar="N", help="new tokens per prompt (default 32)"
    )
    command.add_argument(
        "--draws",
        type=int,
        default=5000,
        metavar="N",
        help="samples per test of speculative sampling (default 5000)",
    )
    command.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default 0)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the measurements")


def run(args: argparse.Namespace) -> int:
    """Print one line for each property and a verdict; return 1 if a property does not hold."""
    from adaedl.measure import check as checks

    check_run(args.max_new_tokens, args.seed, "shared_noise")
    if not 1 <= args.prompts_count <= len(BENCH_PROMPTS):
        raise UserError(
            "{} is {}; it must be from 1 to {}.",
            Parameter("prompts_count"),
            args.prompts_count,
            len(BENCH_PROMPTS),
        )
    if not 100 <= args.draws <= 10**7:
        raise UserError(
            "{} is {}; it must be a whole number from 100 to 10000000.", Parameter("draws"), args.draws
        )

    pair = load(args)
    print(describe_pair(pair))
    measured: list[checks.Measurement] = []
    prompts = list(BENCH_PROMPTS[: args.prompts_count])
    with keeping_results(lambda: measured) as stopped:
        for measurement in checks.check(
            pair, prompts, max_new_tokens=args.max_new_tokens, draws=args.draws, seed=args.seed
        ):
            measured.append(measurement)
            mark = "holds" if measurement.passed else "FAILS"
            print(f"{mark}  {measurement.name}: {measurement.found}", flush=True)
            interrupts.check()
    failed = sum(not measurement.passed for measurement in measured)
    complete = not stopped.status
    result = {
        "passed": not failed and complete,
        "complete": complete,
        "measured": [vars(measurement) for measurement in measured],
    }
    verdict = "not lossless" if failed else "lossless" if complete else "not finished"
    report = f"\n{verdict}: {len(measured) - failed} of {len(measured)} properties hold"
    return finish(args.json, lambda: json_text(result), report, stopped) or (1 if failed else 0)
