"""Checks around external stoppers, so that a faulty stopper ends only its own lane.

The engine's own stoppers are tested, and run unchecked. Any other stopper runs inside a `CheckedStopper`,
which checks what it returns and how long it takes, and shows it only the numbers that its `looks_at` names.
"""

import math
import os
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adaedl.errors import Sentence, UserError, first_line
from adaedl.stopping.base import DRAFT_NUMBERS, DraftStep, ExpectedDrafts, ExpectedTimes, Stopper
from adaedl.stopping.settings import MAX_DRAFT_LIMIT

ENGINE = "adaedl."
CALL_S = 0.5  # a decision takes microseconds, but the first may have to import something
SLOW_CALLS = 2  # number of calls longer than CALL_S that ends a lane
LANE_S = 10.0  # limit for all of a lane's calls together


class StopperFault(UserError):
    """A stopper raised an exception, returned an invalid value or took too long. Only its own lane ends."""


def checked(stopper: Stopper) -> Stopper:
    """Return a stopper that can fail only with a StopperFault; the engine's own stoppers are returned
    unchanged.

    Raises:
        StopperFault: an attribute that the engine reads has an invalid value.
    """
    if isinstance(stopper, CheckedStopper) or is_of_engine(type(stopper)):
        return stopper
    return CheckedStopper(stopper)


def is_of_engine(stopper: type[Stopper]) -> bool:
    """Return whether a stopper's class is the engine's own."""
    return stopper.__module__.startswith(ENGINE)


def unwrapped(stopper: Stopper) -> Stopper:
    """Return the stopper inside the checks, whose class declares the settings."""
    return stopper.rule if isinstance(stopper, CheckedStopper) else stopper


def construct(stopper: type[Stopper], settings: dict[str, Any]) -> Stopper:
    """Construct a stopper with these settings.

    Raises:
        UserError: a setting is out of range, or the class's own constructor fails.
    """
    try:
        return stopper(**settings)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise _raised(stopper.name, "__init__", error) from error


class CheckedStopper(Stopper):
    """A stopper inside checks, with the same decisions and the same learning."""

    def __init__(self, rule: Stopper):
        self.rule = rule
        self.name, self.replay_only, self.looks_at = rule.name, rule.replay_only, rule.looks_at
        self.hidden = DRAFT_NUMBERS - set(rule.looks_at)
        self.slow_calls, self.spent_s = 0, 0.0
        self._settings = self._read("settings")
        self.gamma = self._number("gamma", 0, math.inf)
        self.score_temperature = None
        if self._read("score_temperature") is not None:
            self.score_temperature = self._number("score_temperature", 0.01, 10)
        self.drafts = self.max_draft > 0

    @property
    def max_draft(self) -> int:  # type: ignore[override]
        value = self._read("max_draft")
        low = 1 if getattr(self, "drafts", False) else 0
        high = MAX_DRAFT_LIMIT if getattr(self, "drafts", True) else 0
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self._refuse("max_draft", value, Sentence("a whole number from {} to {}", low, high))
        return value

    @property
    def keep_last(self) -> bool:  # type: ignore[override]
        value = self._read("keep_last")
        if not isinstance(value, bool):
            self._refuse("keep_last", value, Sentence("True or False"))
        if not value and "token_prob" in self.looks_at:
            # Dropping tokens by their own score would bias the text.
            self._refuse("keep_last", value, Sentence("True, because the rule looks at token_prob"))
        return value

    def expect(self, times: ExpectedTimes | None) -> None:
        self._call("expect", times)

    def expect_acceptance(self, earlier: Sequence[ExpectedDrafts]) -> None:
        self._call("expect_acceptance", earlier)

    def begin_round(self) -> bool:
        return self._decide("begin_round")

    def should_stop(self, step: DraftStep) -> bool:
        stop = self._decide("should_stop", _VisibleStep(step, self.hidden) if self.hidden else step)
        self.score, self.threshold = self._compared("score"), self._compared("threshold")
        return stop

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        self._call("observe", drafted, accepted, dropped)

    def observe_times(self, tokens: int, verify_s: float, duration_s: float) -> None:
        self._call("observe_times", tokens, verify_s, duration_s)

    def _decide(self, method: str, *arguments: Any) -> bool:
        value = self._call(method, *arguments)
        if isinstance(value, bool):
            return value
        if type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy":
            return bool(value)
        raise StopperFault(
            "The stopper {} failed: {}() returned {}; it must return True or False.",
            self.name,
            method,
            _shown(value),
        )

    def _call(self, method: str, *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            value = getattr(self.rule, method)(*arguments)
        except (Exception, SystemExit) as error:
            raise _raised(self.name, method, error) from error
        self._charge(method, time.perf_counter() - start)
        return value

    def _read(self, name: str) -> Any:
        try:
            return getattr(self.rule, name)
        except (Exception, SystemExit) as error:
            raise _raised(self.name, name, error) from error

    def _charge(self, method: str, seconds: float) -> None:
        self.spent_s += seconds
        self.slow_calls += seconds > CALL_S
        if self.slow_calls >= SLOW_CALLS:
            raise StopperFault(
                "The stopper {} is too slow: {}() took {:.0f} ms; the limit is {:.0f} ms, passed {} times.",
                self.name,
                method,
                1000 * seconds,
                1000 * CALL_S,
                self.slow_calls,
            )
        if self.spent_s > LANE_S:
            raise StopperFault(
                "The stopper {} is too slow: its calls took more than {:g} s together.",
                self.name,
                LANE_S,
            )

    def _compared(self, name: str) -> float | None:
        """Return a score or threshold as a float or None, for the trace."""
        value = self._read(name)
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or isinstance(value, bool | str):
            self._refuse(name, value, Sentence("a finite number or None"))
        return number

    def _number(self, name: str, low: float, high: float) -> float:
        value = self._read(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            self._refuse(name, value, Sentence("a number from {} to {}", low, high))
        return float(value)

    def _refuse(self, name: str, value: Any, valid: Sentence) -> None:
        raise StopperFault(
            "The stopper {} failed: its {} is {}; it must be {}.", self.name, name, _shown(value), valid
        )


class _VisibleStep:
    """A DraftStep without the numbers that a rule's `looks_at` does not name. `looks_at` determines whether a
    replay is valid and whether dropped tokens bias the text, so a rule must not use any other number."""

    def __init__(self, step: DraftStep, hidden: frozenset[str]):
        self.__dict__ = {name: value for name, value in vars(step).items() if name not in hidden}

    def __getattr__(self, name: str) -> float:
        if name in DRAFT_NUMBERS:
            raise AttributeError(f"looks_at does not name {name}; add it")
        raise AttributeError(f"a draft step has no {name}")


def _raised(name: str, method: str, error: BaseException) -> StopperFault:
    return StopperFault("The stopper {} failed: {}() raised {}.", name, method, describe_error(error))


def describe_error(error: BaseException) -> str:
    """Describe an exception from external code in one line: its type, its message and where it was raised."""
    kind = type(error).__name__
    try:
        message = first_line(error).rstrip(".")
    except Exception:  # its own __str__ fails
        message = kind
    return f"{kind if message == kind else f'{kind}: {message}'}{_place_of(error)}"


def _place_of(error: BaseException) -> str:
    """Return where a rule raised an exception, such as " (my_rule.py, line 12)". Folders are left out, since
    visitors need not know them."""
    other_code = (str(Path(__file__).parent), str(Path(os.__file__).parent), "site-packages", "<frozen")
    stack = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in stack if not any(place in frame.filename for place in other_code)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}…"
