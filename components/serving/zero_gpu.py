"""Run tasks on Hugging Face ZeroGPU, where the page's process has no GPU. A function under `spaces.GPU` runs
in a fork, which has a GPU for the requested number of seconds.

The host's pair is loaded before the page is served, in the main thread, where `spaces` emulates CUDA; a fork
inherits the pair, with its weights moved to the GPU. Data between the two processes is pickled, so a fork
receives settings and returns parts of a trace. Without ZeroGPU all of this is plain functions and generators.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, wraps

from adaedl.errors import UserError
from adaedl.pairs.pair import Pair
from components.settings.hosting import on_zero_gpu

START_S = 15  # to fork, move the weights and read the prompt
TOKEN_S = 0.06  # per token of a lane, all details recorded, for a target of 7 billion weights
DRAFT_S = 0.02  # per drafted token of a recording without batched drafts, for half a billion weights
MAX_S = 120  # the most that one visitor of a Space gets at once
LEAST_S = START_S + 5  # a task with less would end before it starts
FORGET_S = 3600  # until a quota grows again, if a refusal does not say when

_lent: Pair | None = None  # inherited by forks


if on_zero_gpu():
    import spaces  # before anything uses CUDA, which it emulates


def lend(pair: Pair) -> None:
    """Make a loaded pair the one that forks use."""
    global _lent
    _lent = pair


@dataclass
class Quota:
    """The rest of a visitor's ZeroGPU quota, as far as ZeroGPU's refusals have revealed it.

    Attributes:
        left_s: seconds left; None if unknown.
        until: when more becomes available (`time.monotonic`).
    """

    left_s: float | None = None
    until: float = 0.0

    def cut(self, seconds: int) -> int:
        """Return how many of `seconds` to request: no more than are left, but enough for a start."""
        if self.left_s is None or time.monotonic() > self.until:
            return seconds
        return min(seconds, max(int(self.left_s), LEAST_S))

    def learn(self, left_s: float, wait_s: float) -> None:
        """Store the seconds left, and the seconds until there are more, from a refusal."""
        self.left_s, self.until = left_s, time.monotonic() + wait_s

    def spend(self, seconds: float) -> None:
        """Count a finished task that held a GPU for `seconds`."""
        if self.left_s is not None:
            self.left_s = max(0.0, self.left_s - seconds)


@lru_cache(maxsize=300)
def quota_of(visitor: str) -> Quota:
    """Return the quota of a visitor: a session of the page, or a caller of the API."""
    return Quota()


def race_duration(lanes: int, tokens: int, most: int) -> int:
    """Return the GPU seconds to request: the most that a race with these lanes and new tokens needs."""
    return min(round(START_S + TOKEN_S * lanes * tokens), most, MAX_S)


def recording_duration(tokens: int, depth: int, most: int) -> int:
    """Return the GPU seconds to request: the most that a recording of `tokens` new tokens needs, with `depth`
    drafts from each."""
    # The target writes the text once alone and once along with rounds of every length, and then reads it.
    return min(round(START_S + (3 * TOKEN_S + depth * DRAFT_S) * tokens), most, MAX_S)


@dataclass(frozen=True)
class _Refusal:
    """A UserError on its way out of a fork, which cannot pass on exceptions themselves."""

    template: str
    values: tuple


def gpu_task(duration: Callable[..., int]) -> Callable[[Callable], Callable]:
    """Decorate a generator function `task(pair, *arguments)` to run where the GPU is. Callers leave out the
    pair; the task uses the one that was lent. Arguments and yielded values are pickled. Callers may pass a
    `quota`, which limits the requested seconds and learns from ZeroGPU's answers.

    Args:
        duration: a function of the arguments that returns the seconds to request.
    """

    def decorate(task: Callable[..., Iterator]) -> Callable[..., Iterator]:
        def work(seconds: int, *arguments) -> Iterator:
            try:
                yield from task(_lent, *arguments)
            except UserError as error:
                yield _Refusal(error.sentence.template, error.sentence.values)

        work = wraps(task)(work)
        work.__dict__.pop("__wrapped__")  # its signature differs
        if on_zero_gpu():
            work = spaces.GPU(duration=lambda seconds, *arguments: seconds)(work)

        @wraps(task)
        def run(*arguments, quota: Quota | None = None) -> Iterator:
            quota = quota or Quota()
            seconds = quota.cut(duration(*arguments))
            for part in _lease(work, (seconds, *arguments), quota):
                if isinstance(part, _Refusal):
                    raise UserError(part.template, *part.values)
                yield part

        return run

    return decorate


def _lease(work: Callable, arguments: tuple, quota: Quota) -> Iterator:
    """Yield the fork's values. `spaces` raises gradio errors, with possible HTML in the message, to refuse a
    task or to end one that exceeds its time.

    Raises:
        UserError: ZeroGPU refused or ended the task.
    """
    import gradio as gr

    seconds, began = arguments[0], None
    try:
        with closing(work(*arguments)) as parts:
            for part in parts:
                began = began or time.monotonic()
                yield part
    except gr.Error as error:
        reason = re.sub(r"<[^>]*>", "", str(error.message)).strip() or "no reason given"
        raise _refusal(reason, seconds, quota) from None
    finally:
        if began is not None:
            quota.spend(START_S + time.monotonic() - began)


# The wording of `spaces` 0.51 (client.py). On some GPUs it charges more than one second per second.
EXCEEDED = re.compile(r"quota \((?P<asked>\d+)s requested vs\. (?P<left>-?\d+)s left\)")
RETRY = re.compile(r"Try again in (?:(?P<days>\d+) days?, )?(?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d)")
TOO_LONG = "larger than the maximum allowed"


def _refusal(reason: str, seconds: int, quota: Quota) -> UserError:
    """Return the UserError for an error of `spaces` after a request for `seconds`; update the quota from
    it."""
    if TOO_LONG in reason:
        return UserError(
            "ZeroGPU grants no GPU for the {} s that this task needs; request fewer new tokens or run fewer "
            "lanes.",
            seconds,
        )
    exceeded = EXCEEDED.search(reason)
    if not exceeded:
        return UserError("ZeroGPU ended or refused this task ({}); try again later.", reason)
    left_s = max(0, int(exceeded["left"])) * seconds // max(int(exceeded["asked"]), 1)
    again = RETRY.search(reason)
    wait_s = _seconds(again) if again else FORGET_S
    quota.learn(left_s, wait_s)
    if left_s < LEAST_S:
        return UserError(
            "Your ZeroGPU quota has {} s left, but a task needs at least {}; try again in {} min.",
            left_s,
            LEAST_S,
            -(-wait_s // 60),
        )
    return UserError(
        "This task requests {} s from ZeroGPU, but your quota has {} s left; request fewer new tokens or run"
        " fewer lanes. If you try again without changes, the task ends when that time is used up.",
        seconds,
        left_s,
    )


def _seconds(match: re.Match) -> int:
    """Return the seconds of a duration in the format of `timedelta`."""
    return ((int(match["days"] or 0) * 24 + int(match["h"])) * 60 + int(match["m"])) * 60 + int(match["s"])
