"""Specs: a stopper and its settings in one line of text, such as `adaedl:threshold=0.4,adapt=false`."""

import difflib
from typing import Any

from adaedl.errors import Parameter, Sentence, UserError
from adaedl.stopping.base import Stopper
from adaedl.stopping.fault_checks import construct, unwrapped
from adaedl.stopping.registry import STOPPERS
from adaedl.stopping.settings import settings_of


def make_stopper(spec: str) -> Stopper:
    """Return a fresh stopper from `name` or `name:key=value,key=value`, such as `fixed:k=5` or
    `adaedl:threshold=0.4,gamma=0.2,adapt=false`.

    Raises:
        UserError: a name, setting or value is invalid; the message lists the valid ones.
    """
    if not isinstance(spec, str):
        raise UserError("{} is {!r:.60}; it must be text, such as 'fixed:k=5'.", Parameter("spec"), spec)
    name, _, rest = spec.strip().partition(":")
    name = name.strip()
    if name not in STOPPERS:
        close = difflib.get_close_matches(name, STOPPERS, 1)
        hint = Sentence(" Did you mean {}?", close[0]) if close else ""
        raise UserError("There is no stopper {!r}; choose one of {}.{}", name, ", ".join(STOPPERS), hint)
    known = settings_of(STOPPERS[name])
    settings: dict[str, Any] = {}
    for item in filter(None, (item.strip() for item in rest.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or key not in known:
            takes = ", ".join(known) or Sentence("no settings")
            raise UserError("{} has no setting {!r}; it takes {}, as key=value.", name, item, takes)
        if key in settings:
            raise UserError("{} has {} twice in {!r}; give it once.", name, key, spec)
        settings[key] = _parse(value)
    return construct(STOPPERS[name], settings)


def format_spec(stopper: Stopper) -> str:
    """Return the shortest spec from which `make_stopper` rebuilds this stopper."""
    declared = settings_of(type(unwrapped(stopper)))
    changed = {name: value for name, value in stopper.settings.items() if value != declared[name].default}
    values = ",".join(f"{name}={format_value(value)}" for name, value in changed.items())
    return f"{stopper.name}:{values}" if values else stopper.name


def limit_draft(stopper: Stopper, depth: int) -> Stopper:
    """Return a fresh stopper with the same settings that drafts at most `depth` tokens per round, for a
    recording of that depth. The limit of a replay-only stopper is raised to `depth` if it is lower."""
    rule = type(unwrapped(stopper))
    declared = settings_of(rule)
    limited = {
        name: depth if stopper.replay_only else min(value, depth)
        for name, value in stopper.settings.items()
        if declared[name].limits_draft
    }
    return construct(rule, stopper.settings | limited)


def split_specs(text: str) -> list[str]:
    """Split a list of specs: `a,b:x=1,y=2,c` → [`a`, `b:x=1,y=2`, `c`]; a key=value after a comma belongs to
    the spec before it."""
    specs: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if specs and "=" in part and ":" not in part:
            specs[-1] += f",{part}"
        else:
            specs.append(part)
    return specs


def format_value(value: Any) -> str:
    """Return a setting's value as a spec writes it: 0.4, 12, true or none."""
    return str(value).lower() if isinstance(value, bool | None) else str(value)


def _parse(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
