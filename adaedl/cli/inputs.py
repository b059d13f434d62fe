"""Inputs of the commands: a prompt on standard input, a file of prompts, kinds of built-in prompts."""

import sys
from pathlib import Path

from adaedl.errors import UserError
from adaedl.measure.prompts import PROMPT_SETS, repeats_in, split_prompts
from adaedl.request import MAX_PROMPT_CHARACTERS


def read_prompt(argument: str) -> str:
    """Return PROMPT itself, or the text on standard input if PROMPT is “-”.

    Raises:
        UserError: standard input cannot be read, is too long or is not text.
    """
    return read_stdin() if argument == "-" else argument


def read_stdin() -> str:
    """Return the prompt on standard input.

    Raises:
        UserError: standard input cannot be read, is too long or is not text.
    """
    if sys.stdin is None:
        raise UserError("Standard input is closed; give the prompt as an argument.")
    limit = 4 * (MAX_PROMPT_CHARACTERS + 1)  # bytes: up to 4 per character, and a byte order mark
    try:
        content = sys.stdin.buffer.read(limit + 1)  # a stream may never end
        if len(content) > limit:
            raise UserError(
                f"The prompt on stdin has more than {limit:,} bytes; "
                f"at most {MAX_PROMPT_CHARACTERS:,} characters are read."
            )
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("The prompt on stdin is not UTF-8 text; convert it first.") from None
    except OSError as error:
        raise UserError(f"Cannot read the prompt on stdin: {error.strerror}.") from None


def read_prompts(path: Path) -> list[str]:
    """Return the distinct prompts of a file with one prompt per line; report on stderr how many are repeated.

    Raises:
        UserError: the file cannot be read, is too long or is not text.
    """
    prompts = split_prompts(read_text(path))
    print_repeats(prompts)
    return list(dict.fromkeys(prompts))


def print_repeats(prompts: list[str]) -> None:
    """Report on stderr how many prompts repeat an earlier one."""
    if sentence := repeats_in(prompts):
        print(sentence, file=sys.stderr)


def read_text(path: Path) -> str:
    """Return the text of a file of prompts.

    Raises:
        UserError: the file cannot be read, is too long or is not text.
    """
    from adaedl.measure.sweep import MAX_PROMPT_LIST_BYTES

    try:
        with path.open("rb") as file:
            content = file.read(MAX_PROMPT_LIST_BYTES + 1)  # a device file may never end
        if len(content) > MAX_PROMPT_LIST_BYTES:
            raise UserError(
                f"{path} has more than {MAX_PROMPT_LIST_BYTES // 2**10} KB, the limit for a list of prompts; "
                "use fewer prompts."
            )
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; --prompts needs one prompt per line.") from None
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None


def read_kinds(text: str | None) -> list[str]:
    """Return the kinds of built-in prompts that an option lists, by default all kinds."""
    return list(PROMPT_SETS) if text is None else [kind.strip() for kind in text.split(",")]
