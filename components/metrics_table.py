"""The numbers of a race as a table: one row a metric, one column a lane, every metric explained."""

from html import escape

import pandas as pd

from adaedl import metrics
from adaedl.trace import Trace
from components.words import lane_title

# How each metric is called and written, in the order of the table; `{}` takes the number.
FORMATS: dict[str, tuple[str, str]] = {
    "speedup": ("speedup", "{:.2f}×"),
    "tokens_per_s": ("tokens per second", "{:.1f} tok/s"),
    "ms_per_token": ("time per token", "{:.1f} ms"),
    "tokens": ("tokens", "{:.0f}"),
    "acceptance_rate": ("acceptance rate α", "{:.3f}"),
    "draft_length": ("mean draft length k̄", "{:.2f}"),
    "block_efficiency": ("block efficiency τ", "{:.2f}"),
    "mean_beta": ("mean β", "{:.3f}"),
    "cost_ratio": ("cost ratio c", "{:.3f}"),
    "draft_share": ("time in accepted drafts", "{:.1%}"),
    "wasted_share": ("time in wasted drafts", "{:.1%}"),
    "verify_share": ("time in the target", "{:.1%}"),
    "overhead_share": ("time outside both", "{:.1%}"),
    "same_text": ("same text as the target alone", "{}"),
}

HEAD_FORMATS = {
    "acceptance_rate": "α {:.2f}",
    "draft_length": "k̄ {:.1f}",
    "block_efficiency": "τ {:.1f}",
    "tokens_per_s": "{:.0f} tok/s",
}


def _documented() -> dict[str, tuple[str, str]]:
    """(what it is, unit) by metric, from the table in the docstring of adaedl.metrics."""
    explained = {}
    for line in metrics.__doc__.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3:
            for name in cells[0].split(","):
                explained[name.strip()] = (cells[1], cells[2])
    return {"tokens": ("tokens written so far", "tokens")} | explained


DOCUMENTED = _documented()


def describe(name: str) -> str:
    """A metric in words: what it is called, its formula, its unit."""
    what, unit = DOCUMENTED[name]
    return f"{FORMATS[name][0]}: {what} ({unit})"


def format_metric(name: str, value, *, table: bool = False) -> str:
    """A number as it is shown, short in a lane's head and longer in the table."""
    if value is None or value != value:  # pandas writes a missing number as NaN
        return "—"
    if name == "same_text":
        return "yes" if value else "no"
    pattern = FORMATS[name][1] if table else HEAD_FORMATS.get(name, FORMATS[name][1])
    return pattern.format(value)


def table_html(trace: Trace | None) -> str:
    """The table; each cell carries its full number as data-value, "" where there is none."""
    if trace is None:
        return '<p class="note">The numbers of each lane appear here while a race runs.</p>'
    frame: pd.DataFrame = metrics.to_frame(trace)
    heads = "".join(f'<th scope="col">{escape(label)}</th>' for label in map(lane_title, trace.lanes))
    rows = "".join(_row(name, frame[name].tolist()) for name in FORMATS)
    return (
        '<div class="table" tabindex="0" role="region" aria-label="Metrics of each lane">'
        f'<table id="metrics"><thead><tr><th scope="col">metric</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def explanations_html() -> str:
    """Every metric with its formula and unit."""
    items = "".join(
        f"<dt>{escape(label)} <code>{name}</code></dt>"
        f"<dd>{escape(DOCUMENTED[name][0])} <em>({escape(DOCUMENTED[name][1])})</em></dd>"
        for name, (label, _) in FORMATS.items()
    )
    return (
        f'<dl class="explanations">{items}</dl><p class="note">Each lane has a clock of its own, which only '
        "its own rounds move. Reading the prompt is in no lane's clock: it is done once a race.</p>"
    )


def _row(name: str, values: list) -> str:
    cells = "".join(
        f'<td data-value="{_exact(value)}">{format_metric(name, value, table=True)}</td>' for value in values
    )
    label = f'<span title="{escape(describe(name))}">{escape(FORMATS[name][0])}</span>'
    return f'<tr data-metric="{name}"><th scope="row">{label}</th>{cells}</tr>'


def _exact(value) -> str:
    if value is None or value != value:
        return ""
    return str(value).lower() if isinstance(value, bool) else repr(value)
