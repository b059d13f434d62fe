"""Descriptions of the registered stoppers, as text and as data, all generated from their declarations."""

import textwrap
from typing import Any

from adaedl.stopping.base import DRAFT_NUMBERS, Stopper
from adaedl.stopping.fault_checks import is_of_engine
from adaedl.stopping.registry import STOPPERS
from adaedl.stopping.settings import Setting, settings_of
from adaedl.stopping.specs import format_value

WIDTH = 96  # characters per line in a terminal

SIGNALS = {
    "entropy": "entropy H(q)",
    "top_prob": "top probability",
    "margin": "margin",
    "token_prob": "probability of the drafted token",
    "acceptance": "measured acceptance",
    "times": "measured times",
}
SWEEPS = {
    "lambda": "a curve over λ",
    "k": "a curve over k",
    "flat": "one level, since it has neither λ nor k",
}


def describe_stoppers() -> str:
    """Return the command line's help on stoppers: the summary, settings and ranges of each."""
    parts = ["stoppers, written name or name:setting=value,setting=value:"]
    for stopper in STOPPERS.values():
        parts.append(_filled(f"{stopper.name}: {stopper.summary}", "  ", "    "))
        settings = [f"{name}={_default_and_range(each)}" for name, each in settings_of(stopper).items()]
        if settings:
            parts.append(_filled("; ".join(settings), "      ", "      "))
    return "\n".join(parts)


def stopper_data(stopper: type[Stopper]) -> dict[str, Any]:
    """Return a stopper's declaration as plain data for JSON: everything that the page shows about it."""
    return {
        "name": stopper.name,
        # From this class only: a subclass of another stopper does not inherit its display name.
        "title": vars(stopper).get("title", ""),
        "lane_title": vars(stopper).get("lane_title", ""),
        "lane_detail": stopper.lane_detail,
        "summary": stopper.summary,
        "source": stopper.source,
        "compares": stopper.compares,
        "stops_because": stopper.stops_because,
        "looks_at": list(stopper.looks_at),
        "judges_q": not DRAFT_NUMBERS.isdisjoint(stopper.looks_at),
        "replay_only": stopper.replay_only,
        "of_engine": is_of_engine(stopper),
        "sweep": sweep_of(stopper),
        "settings": [
            {
                "name": name,
                "value": setting.default,
                "kind": {bool: "switch", int: "whole", float: "number"}[setting.kind],
                "optional": setting.default is None,
                "words": setting.words,
                "symbol": setting.symbol,
                "about": setting.about,
                "range": None if setting.kind is bool else [setting.low, setting.high],
                "slider": setting.slider,
                "slider_range": list(setting.slider_range) if setting.slider_range else None,
                "complement": setting.complement,
                "limits_draft": setting.limits_draft,
            }
            for name, setting in settings_of(stopper).items()
        ],
    }


def sweep_of(stopper: type[Stopper]) -> str:
    """Return the x-axis of a stopper's curve in Explore: "lambda", "k", or "flat" if it has neither."""
    sliders = {setting.slider for setting in settings_of(stopper).values()}
    return next((axis for axis in ("lambda", "k") if axis in sliders), "flat")


def stoppers_page() -> str:
    """Return docs/stoppers.md; `python -m adaedl.stopping > docs/stoppers.md` writes it."""
    introduction = (
        "# Stoppers\n\n"
        "Generated from adaedl/stopping by `python -m adaedl.stopping > docs/stoppers.md`.\n\n"
        "A lane is written as a spec, `name` or `name:setting=value,setting=value`; a setting that is left\n"
        "out has its default. [Add a stopper](add-a-stopper.md) says how to write one.\n"
    )
    return "\n".join([introduction, *(_section(stopper) for stopper in STOPPERS.values())])


def _section(stopper: type[Stopper]) -> str:
    looks_at = (
        ", ".join(SIGNALS[name] for name in stopper.looks_at) or "nothing but the position in the round"
    )
    facts = {
        "Source": stopper.source,
        "Looks at": looks_at + (", and what a recording knows" if stopper.replay_only else ""),
        "In Explore": SWEEPS[sweep_of(stopper)],
        "On the page": stopper_data(stopper)["title"] or stopper.name,
        "Code": f"{stopper.__module__.replace('.', '/')}.py",
    }
    lines = [
        f"## {stopper.name}",
        "",
        stopper.summary,
        "",
        *(f"- {key}: {value}" for key, value in facts.items()),
    ]
    settings = settings_of(stopper)
    if settings:
        lines += ["", "| setting | default | range | what it does |", "|---|---|---|---|"]
        lines += [_row(name, setting) for name, setting in settings.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, setting: Setting) -> str:
    label = f"`{name}`, {setting.words} {setting.symbol}".rstrip()
    allowed = "true or false" if setting.kind is bool else f"{setting.low} to {setting.high}"
    cells = (label, f"`{format_value(setting.default)}`", allowed, setting.about)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default_and_range(setting: Setting) -> str:
    value = format_value(setting.default)
    return value if setting.kind is bool else f"{value} ({setting.low} to {setting.high})"


def _filled(text: str, first: str, later: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
