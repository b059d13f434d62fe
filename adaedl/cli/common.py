"""Code shared by the commands: options, loading the pair, keeping results after an interrupt, output."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import reduce
from pathlib import Path

from adaedl.errors import Sentence, UserError
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.stopping import describe_stoppers
from adaedl.system import interrupts
from adaedl.system.files import Output, check_writable, exclusive, write_file


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage."""

    def error(self, message: str):
        self.exit(2, f"error: {Sentence('{}', message)}\n")  # a long value is shortened


def pair_options() -> Parser:
    """Return the options of every command except `distill`, for `parents=`."""
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
    """Declare the options that, together with the prompt, determine a text."""
    command.add_argument(
        "--temperature",
        type=float,
        default=0.7,
        metavar="T",
        help="sampling temperature; 0 is argmax (default 0.7)",
    )
    command.add_argument(
        "--top-k",
        type=int,
        default=0,
        metavar="K",
        help="sample from the K most probable tokens; 0 disables it (default)",
    )
    command.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        metavar="P",
        help="sample from the most probable tokens with total probability P; 1 disables it (default)",
    )
    command.add_argument(
        "--max-new-tokens",
        type=int,
        default=96,
        metavar="N",
        help="maximum length of the text in tokens (default 96)",
    )
    command.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default 0)")


def add_prompt_options(command: argparse.ArgumentParser) -> None:
    """Declare the options for how the models read the prompt."""
    command.add_argument(
        "--system", default="", metavar="TEXT", help="system prompt (default: the one in the chat template)"
    )
    command.add_argument(
        "--continue",
        dest="continuation",
        action="store_true",
        help="continue PROMPT as plain text, without the chat template",
    )


def add_lanes_option(command: argparse.ArgumentParser, help: str) -> None:
    """Declare --lanes, and list all stoppers at the end of the command's help."""
    command.add_argument("--lanes", help=help)
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = describe_stoppers()


def load(args: argparse.Namespace, name: str | None = None):
    """Load the named pair, by default the pair of --pair, with progress on stderr.

    Raises:
        UserError: the pair cannot be loaded.
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
    sentence = error.sentence.naming(lambda parameter: parameter.option)
    print("error:", " ".join(sentence.split()), file=sys.stderr)


class Stopped:
    """How the work of a command ended: `status` is the exit status after an interrupt or error, otherwise
    0."""

    def __init__(self, error: KeyboardInterrupt | None = None):
        self.status = 0 if error is None else getattr(error, "status", 130)


@contextmanager
def keeping_results(has_results: Callable[[], object]) -> Iterator[Stopped]:
    """End only this block, not the command, on Ctrl-C or a UserError if there are results to keep."""
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
    """Lock a CSV file while rows are appended to it.

    Raises:
        UserError: another process holds the lock.
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
    """Write a result, then print its report, and return the exit status. The report is printed even if the
    file cannot be written.

    Raises:
        UserError: the file cannot be written.
    """
    return finish_all([(output, content)], report, stopped)


Result = tuple[Output | None, Callable[[], str | bytes]]  # the output and its content


def finish_all(
    results: Sequence[Result],
    report: str,
    stopped: Stopped | None = None,
) -> int:
    """Write several results, then print their report, and return the exit status, like `finish`. Each result
    is written even if another one cannot be written.

    Raises:
        UserError: some files cannot be written; the error names each of them.
    """
    status = stopped.status if stopped else 0
    failures: list[UserError] = []
    try:
        with ExitStack() as writing:
            for output, content in reversed(results):  # callbacks run last in, first out
                if output is not None:
                    writing.callback(_try_to_write, output, content, status, failures)
    finally:
        print(report)
    if failures:
        raise reduce(lambda before, error: UserError("{} {}", before, error), failures)
    return status


def _try_to_write(
    output: Output, content: Callable[[], str | bytes], status: int, failures: list[UserError]
) -> None:
    try:
        _write(output, content, status)
    except UserError as error:
        failures.append(error)


def _write(output: Output, content: Callable[[], str | bytes], status: int) -> None:
    with interrupts.held():
        output.write(content())
        line = f"Stopped; {output.path} has the results so far." if status else f"wrote {output.path}"
        print(line, file=sys.stderr)


def json_text(value) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    write_file(path, text.encode())
    print(f"wrote {path}", file=sys.stderr)
