"""The engine on the command line: python -m adaedl pairs, race, record, sweep, study, check, bench, distill.
`page` serves the page.

Results go to stdout and progress to stderr. Files are written before results are printed. Exit status: 0 on
success; 1 if `check` finds a property that does not hold; 2 on bad input, with one line that names a valid
value; 130 on Ctrl-C and 143 on SIGTERM, which both keep the results so far.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

from adaedl.cli import bench, check, page, pairs, race, record, study, sweep
from adaedl.cli.common import Parser, pair_options, print_error
from adaedl.errors import UserError
from adaedl.stopping.plugins import load_plugins
from adaedl.system import interrupts
from adaedl.system.files import Output
from adaedl.system.streams import lenient_streams
from adaedl.system.threads import prepare_threads

# In the order of the help. Each module has SUMMARY, add_arguments(command) and run(args) → exit status, and
# OUTPUTS if its output options differ from the default ones.
COMMANDS = {
    "pairs": pairs,
    "race": race,
    "record": record,
    "sweep": sweep,
    "study": study,
    "check": check,
    "bench": bench,
}
DISTILL_SUMMARY = "Train the shipped drafter again."
OUTPUTS = ("json", "parquet")  # the default output options


def start() -> int:
    """Run the command line in a process of its own and return the exit status."""
    try:
        prepare_threads()  # before importing the libraries that read its environment variables
    except UserError as error:
        print_error(error)
        return 2
    if sys.argv[1:2] != ["page"]:  # the page loads plugins itself, if the host allows them
        for problem in load_plugins(os.environ):
            print(f"warning: {problem}", file=sys.stderr)
    return main()


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    warnings.simplefilter("ignore")
    with lenient_streams() as out:
        status = run(sys.argv[1:] if arguments is None else arguments)
        out.flush()
        # A closed pipe is no error: readers such as `head` stop early.
        if out.error is not None and not isinstance(out.error, BrokenPipeError):
            print(f"error: Cannot write standard output: {out.error.strerror}.", file=sys.stderr)
            return status or 2
    return status


def run(arguments: list[str]) -> int:
    """Run one command on streams that never fail, and return the exit status."""
    args = argparse.Namespace()
    try:
        with interrupts.raised():
            make_parser(with_distill=arguments[:1] == ["distill"]).parse_args(arguments, args)
            open_outputs(args)
            return args.func(args) or 0
    except UserError as error:
        print_error(error)
        return 2
    except KeyboardInterrupt as error:
        for output in outputs_of(args):
            if not output.written:
                print(f"Stopped; nothing was written to {output.path}.", file=sys.stderr)
        return getattr(error, "status", 130)


def make_parser(with_distill: bool = True) -> Parser:
    """Return the parser of the whole command line.

    Args:
        with_distill: whether to declare the steps of `distill`. This imports torch.
    """
    parser = Parser(prog="python -m adaedl", description="Adaptive speculative decoding, side by side.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = pair_options()
    for name, module in COMMANDS.items():
        summary = module.SUMMARY
        command = commands.add_parser(name, parents=[common], help=summary, description=summary)
        module.add_arguments(command)
        outputs = getattr(module, "OUTPUTS", OUTPUTS)
        command.set_defaults(func=module.run, may_replace_inputs=False, outputs=outputs)

    command = commands.add_parser("page", help=page.SUMMARY, description=page.SUMMARY)
    command.set_defaults(func=page.run, may_replace_inputs=False, outputs=())

    command = commands.add_parser("distill", help=DISTILL_SUMMARY, description=DISTILL_SUMMARY)
    # A new drafter may replace the drafter that training started from.
    command.set_defaults(may_replace_inputs=True)
    if with_distill:
        from adaedl.cli import distill

        distill.add_arguments(command)
    return parser


def open_outputs(args: argparse.Namespace) -> None:
    """Open the outputs before the work starts. If a result goes to standard output, redirect printing to
    standard error.

    Raises:
        UserError: an output cannot be written, or two options name the same file.
    """
    if not args.may_replace_inputs:
        check_different_files(args)
    for name in getattr(args, "outputs", OUTPUTS):
        if getattr(args, name, None) is not None:
            setattr(args, name, Output(getattr(args, name)))
    if any(output.is_standard_output for output in outputs_of(args)):
        sys.stdout = sys.stderr


def outputs_of(args: argparse.Namespace) -> list[Output]:
    return [value for value in vars(args).values() if isinstance(value, Output)]


def check_different_files(args: argparse.Namespace) -> None:
    """Check that no two options of a command name the same file, because one result would be lost.

    Raises:
        UserError: two options name the same file.
    """
    names: dict[str, str] = {}
    for name, value in vars(args).items():
        if not isinstance(value, Path):
            continue
        path = os.path.realpath(value)
        if path in names and not (os.path.exists(path) and not os.path.isfile(path)):
            raise UserError("--{} and --{} both name {}; choose two files.", names[path], name, value)
        names[path] = name
