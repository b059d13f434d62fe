"""The registry: every stopper by its name."""

import re
from typing import TypeVar

from adaedl.errors import UserError
from adaedl.stopping.base import DRAFT_NUMBERS, Stopper

AnyStopper = TypeVar("AnyStopper", bound=Stopper)

STOPPERS: dict[str, type[Stopper]] = {}
# Those that can run: what menus offer, and what `check` measures.
LIVE_STOPPERS: dict[str, type[Stopper]] = {}


def register_stopper(stopper: type[AnyStopper]) -> type[AnyStopper]:
    """Class decorator: make a stopper known by its name, to specs, the command line and the page.

    Raises:
        ValueError: its name cannot stand in a spec or is taken, it has no summary, or it looks at something
            that there is not.
        UserError: its defaults are out of their own ranges.
    """
    name = stopper.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} cannot be a stopper's name; use lower-case letters, digits and _")
    if STOPPERS.get(name, stopper) is not stopper:
        raise ValueError(f"there is already a stopper {name}: {STOPPERS[name].__qualname__}")
    if not getattr(stopper, "summary", ""):
        raise ValueError(f"{name} has no summary; say in one sentence what it does")
    if unknown := set(stopper.looks_at) - DRAFT_NUMBERS - {"acceptance", "times"}:
        raise ValueError(f"{name} looks at {', '.join(sorted(unknown))}, which stoppers do not see")
    stopper()
    STOPPERS[name] = stopper
    if not stopper.replay_only:
        LIVE_STOPPERS[name] = stopper
    return stopper


def unregister_stopper(name: str) -> None:
    """Forget a stopper. Nothing happens where there is none of that name."""
    STOPPERS.pop(name, None)
    LIVE_STOPPERS.pop(name, None)


def check_live(stopper: Stopper) -> None:
    """Raise UserError where a stopper needs a recording, so that it cannot run live."""
    if stopper.replay_only:
        raise UserError(
            "{} knows what the target will accept, so it can only be replayed from a "
            "recording; choose one of {}.",
            stopper.name,
            ", ".join(LIVE_STOPPERS),
        )
