"""The registry: every stopper by its name."""

import re
from typing import TypeVar

from adaedl.errors import Sentence, UserError
from adaedl.stopping.base import DRAFT_NUMBERS, Stopper
from adaedl.stopping.fault_checks import checked, construct

AnyStopper = TypeVar("AnyStopper", bound=Stopper)

STOPPERS: dict[str, type[Stopper]] = {}
# Stoppers that can run live: menus offer them, and `check` measures them.
LIVE_STOPPERS: dict[str, type[Stopper]] = {}
WORDS = ("title", "lane_title", "lane_detail", "summary", "source")
OPTIONAL_WORDS = ("compares", "stops_because")


def register_stopper(stopper: type[AnyStopper]) -> type[AnyStopper]:
    """Register a stopper by its name for specs, the command line and the page; a class decorator.

    Raises:
        UserError: it is not a Stopper class, its name is invalid in specs or taken, it has no summary, one of
            its texts is not a string, its `looks_at` is invalid, or a default is out of range.
    """
    if not isinstance(stopper, type) or not issubclass(stopper, Stopper):
        raise UserError("{!r:.60} cannot be registered; a stopper is a class that extends Stopper.", stopper)
    name = getattr(stopper, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise UserError(
            "{!r:.60} cannot be a stopper's name; use lower-case letters, digits and _, up to 40.", name
        )
    if STOPPERS.get(name, stopper) is not stopper:
        raise UserError(
            "There is already a stopper {}, {}; choose another name.", name, STOPPERS[name].__qualname__
        )
    if wrong := _wrong_declaration(stopper):
        raise UserError("The stopper {} cannot be registered: {}.", name, wrong)
    checked(construct(stopper, {}))
    STOPPERS[name] = stopper
    if not stopper.replay_only:
        LIVE_STOPPERS[name] = stopper
    return stopper


def unregister_stopper(name: str) -> None:
    """Remove a stopper from the registry, if there is one with this name."""
    STOPPERS.pop(name, None)
    LIVE_STOPPERS.pop(name, None)


def check_live(stopper: Stopper) -> None:
    """Raise UserError if a stopper needs a recording and cannot run live."""
    if stopper.replay_only:
        raise UserError(
            "{} knows what the target will accept, so it can only be replayed from a "
            "recording; choose one of {}.",
            stopper.name,
            ", ".join(LIVE_STOPPERS),
        )


def _wrong_declaration(stopper: type[Stopper]) -> Sentence | None:
    """Return what is wrong with the declaration of a stopper class, or None."""
    if not getattr(stopper, "summary", ""):
        return Sentence("it has no summary; say in one sentence what it does")
    for name in (*WORDS, *OPTIONAL_WORDS):
        value = getattr(stopper, name)
        if not isinstance(value, str) and (name in WORDS or value is not None):
            return Sentence("its {} is {!r:.60}; it must be text", name, value)
    signals = stopper.looks_at
    if not isinstance(signals, tuple | list) or not all(isinstance(signal, str) for signal in signals):
        return Sentence(
            "its looks_at is {!r:.60}; it must be a tuple of names, such as ('entropy',)", signals
        )
    if unknown := set(signals) - DRAFT_NUMBERS - {"acceptance", "times"}:
        return Sentence("it looks at {}, which stoppers do not see", ", ".join(sorted(unknown)))
    return _undeclared_signal(stopper)


def _undeclared_signal(stopper: type[Stopper]) -> Sentence | None:
    """Return which method of a class uses a signal that its `looks_at` does not name, or None."""
    uses = {
        "observe": "acceptance",
        "observe_times": "times",
        "expect": "times",
        "expect_acceptance": "acceptance",
    }
    for method, signal in uses.items():
        if getattr(stopper, method) is not getattr(Stopper, method) and signal not in stopper.looks_at:
            return Sentence("it has {}, so its looks_at must name {}", method, signal)
    return None
