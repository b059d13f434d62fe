"""Hugging Face ZeroGPU: the page's process has no GPU; a function under `spaces.GPU` runs in a fork that has
one for as long as it said beforehand.

The host's pair is loaded before the page is up, in the main thread, where `spaces` stands in for CUDA; a
fork inherits it, its weights moved to the GPU. What crosses between the two processes is pickled, so a fork
is given settings and gives back parts of a trace. Elsewhere all of this is plain functions and generators.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps

from adaedl.errors import UserError
from adaedl.models.pair import Pair

START_S = 15  # to fork, to move the weights, to read the prompt
TOKEN_S = 0.06  # a token of one lane with all that is recorded of it, on a pair of 7 billion weights
DRAFT_S = 0.02  # a draft of a recording, where positions draft in turn, by half a billion weights
MAX_S = 120  # what a visitor of a Space may have at once

_lent: Pair | None = None  # what a fork inherits


def on_zero_gpu() -> bool:
    """Whether this Space runs on ZeroGPU."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


if on_zero_gpu():
    import spaces  # before anything reaches for CUDA: it stands in for it


def lend(pair: Pair) -> None:
    """Make a loaded pair the one that forks work with."""
    global _lent
    _lent = pair


def race_duration(lanes: int, tokens: int, most: int) -> int:
    """Seconds to ask a GPU for: what a race of so many lanes and new tokens takes at the most."""
    return min(round(START_S + TOKEN_S * lanes * tokens), most, MAX_S)


def recording_duration(tokens: int, depth: int, most: int) -> int:
    """Seconds to ask a GPU for: what a recording of so many new tokens, with drafts of `depth` from each,
    takes at the most."""
    # The target writes the text once alone and once beside rounds of every length, and then reads it.
    return min(round(START_S + (3 * TOKEN_S + depth * DRAFT_S) * tokens), most, MAX_S)


@dataclass(frozen=True)
class _Refusal:
    """A UserError on its way out of a fork, which lets no exception out whole."""

    template: str
    values: tuple


def gpu_task(duration: Callable[..., int]) -> Callable[[Callable], Callable]:
    """Let a generator function `task(pair, *arguments)` run where the GPU is: called with its arguments
    alone, it works on the pair that was lent. Arguments and what it yields are pickled.

    Args:
        duration: given the arguments, the seconds to ask for.
    """

    def decorate(task: Callable[..., Iterator]) -> Callable[..., Iterator]:
        def work(*arguments) -> Iterator:
            try:
                yield from task(_lent, *arguments)
            except UserError as error:
                yield _Refusal(error.sentence.template, error.sentence.values)

        work = wraps(task)(work)
        work.__dict__.pop("__wrapped__")  # its signature is another one
        if on_zero_gpu():
            work = spaces.GPU(duration=duration)(work)

        @wraps(task)
        def told(*arguments) -> Iterator:
            for part in _lease(work, arguments):
                if isinstance(part, _Refusal):
                    raise UserError(part.template, *part.values)
                yield part

        return told

    return decorate


def _lease(work: Callable, arguments: tuple) -> Iterator:
    """What the fork yields. `spaces` refuses, and ends what takes too long, with errors of gradio's whose
    message may hold HTML."""
    import gradio as gr

    try:
        yield from work(*arguments)
    except gr.Error as error:
        reason = re.sub(r"<[^>]*>", "", str(error.message)).strip() or "no reason given"
        raise UserError("ZeroGPU ended or refused this task ({}); try again later.", reason) from None
