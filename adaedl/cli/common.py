"""What the commands share: options, loading the pair, keeping results when a command is stopped, output."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from adaedl.errors import Sentence, UserError
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.stopping import describe_stoppers
from adaedl.system import interrupts
from adaedl.system.files import Output, check_writable, exclusive, write_file


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str):
        self.exit(2, f"error: {Sentence('{}', message)}\n")  # a long value is shortened


def pair_options() -> Parser:
    """Return the options that every command but `distill` has, for `parents=`."""
    options = Parser(add_help=False)
    options.add_argument(
        "--pair",
        default=DEFAULT_PAIR,
        metavar="NAME",
        help=f"a preset, TARGET:DRAFT or TARGET:int8 (default {DEFAULT_PAIR})",
    )
    options.add_argument("--device", help="auto, cpu, cuda, cuda:1 or mps (default auto)")
    options.add_argument("--dtype", help="auto, float32, bfloat16, float16 or, on a CPU, int8 (default auto)")
    return options


def add_text_options(command: argparse.ArgumentParser) -> None:
    """Declare what, beside its prompt, decides one text."""
    command.add_argument("--temperature", type=float, default=0.7, help="0 is argmax (default 0.7)")
    command.add_argument("--top-k", type=int, default=0, help="0 switches it off (default)")
    command.add_argument("--top-p", type=float, default=1.0, help="1 switches it off (default)")
    command.add_argument("--max-new-tokens", type=int, default=96, metavar="N", help="default 96")
    command.add_argument("--seed", type=int, default=0, help="default 0")


def add_lanes_option(command: argparse.ArgumentParser, help: str) -> None:
    """Declare --lanes; the command's help then ends with a list of all stoppers."""
    command.add_argument("--lanes", help=help)
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = describe_stoppers()


def load(args: argparse.Namespace, name: str | None = None):
    """Load the pair of this name, or the one that --pair names, with progress on stderr.

    Raises:
        UserError: it cannot be loaded.
    """
    from adaedl.pairs.loading import load_pair

    with loading_bar() as progress:
        return load_pair(name or args.pair, device=args.device, dtype=args.dtype, progress=progress)


@contextmanager
def loading_bar() -> Iterator[Callable[[str, float | None], None]]:
    """Yield `load_pair`'s progress callback, which moves a bar on stderr."""
    from tqdm import tqdm
    from transformers.utils import logging

    logging.set_verbosity_error()
    form = "{desc} {percentage:3.0f}% |{bar}| {elapsed}"
    with tqdm(total=1.0, bar_format=form, leave=False, file=sys.stderr, delay=0.5) as bar:

        def progress(sentence: str, fraction: float | None) -> None:
            bar.set_description_str(sentence, refresh=False)
            bar.n = fraction or 0.0
            bar.refresh()

        yield progress


def print_error(error: UserError) -> None:
    print("error:", " ".join(str(error).split()), file=sys.stderr)


class Stopped:
    """How a command's work ended: `status` is the exit status where something ended it early, 0 otherwise."""

    def __init__(self, error: KeyboardInterrupt | None = None):
        self.status = 0 if error is None else getattr(error, "status", 130)


@contextmanager
def keeping_results(has_results: Callable[[], object]) -> Iterator[Stopped]:
    """Let Ctrl-C, or an error that the user can mend, end only this block, and not the command, where the
    results so far are worth keeping."""
    stopped = Stopped()
    try:
        yield stopped
    except KeyboardInterrupt as error:
        if not has_results():
            raise
        stopped.status = Stopped(error).status
    except UserError as error:
        if not has_results():
            raise
        print_error(error)
        stopped.status = 2


@contextmanager
def csv_lock(csv: Path | None) -> Iterator[None]:
    """Keep other processes from a CSV file that rows are appended to.

    Raises:
        UserError: another process has it.
    """
    if csv is None:
        yield
        return
    check_writable(csv)
    with exclusive(csv):
        yield


def finish(
    output: Output | None, content: Callable[[], str | bytes], report: str, stopped: Stopped | None = None
) -> int:
    """Write a result, then print its report, even where the file cannot be written; returns the exit status.

    Raises:
        UserError: the file cannot be written.
    """
    status = stopped.status if stopped else 0
    try:
        if output is not None:
            with interrupts.held():
                output.write(content())
                line = f"Stopped; {output.path} has the results so far." if status else f"wrote {output.path}"
                print(line, file=sys.stderr)
    finally:
        print(report)
    return status


def json_text(value) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    write_file(path, text.encode())
    print(f"wrote {path}", file=sys.stderr)
