"""A race's figures. Backgrounds are transparent and text takes the page's colour (assets/page.css), so
that one figure suits the light and the dark page."""

from html import escape
from itertools import accumulate

import plotly.graph_objects as go

from adaedl.trace import Lane, Trace
from components.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, lane_colours
from components.words import SCORE_NAMES, lane_title, stop_words, token_marks

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
LANE_HEIGHT, SUMMARY_HEIGHT = 330, 290  # pixels; assets/page.css keeps room for them
FADED = "rgba(128,128,128,0.28)"


def lane_chart(lane: Lane) -> go.Figure:
    """Entropy, bound, threshold λ and the stopper's own score over a lane's drafted tokens, in the order
    of drafting; marked: accepted, rejected and thrown-away tokens, and where the stopper said stop."""
    tokens = [token for played in lane.rounds for token in played.drafted]
    marks = [mark for played in lane.rounds for mark in token_marks(played)[: len(played.drafted)]]
    order = list(range(1, len(tokens) + 1))
    hover = [f"<b>{escape(_shown(mark.text))}</b><br>{escape(mark.words)}" for mark in marks]
    bounds = [token.bound for token in tokens]

    traces = [
        {
            "type": "bar",
            "name": "entropy H(q)",
            "x": order,
            "y": [token.entropy for token in tokens],
            "yaxis": "y2",
            "marker": {"color": FADED, "line": {"width": 0}},
            "hovertemplate": "H(q) %{y:.2f} nats<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "bound",
            "x": order,
            "y": bounds,
            "line": {"color": BLUE, "width": 1.5},
            "hovertemplate": "bound %{y:.2f}<extra></extra>",
        },
    ]
    if lane.stopper != "adaedl" and any(token.score is not None for token in tokens):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": SCORE_NAMES.get(lane.stopper, "score"),
                "x": order,
                "y": [token.score for token in tokens],
                "line": {"color": PURPLE, "width": 1.5, "dash": "dot"},
                "hovertemplate": "score %{y:.2f}<extra></extra>",
            }
        )
    if any(token.threshold is not None for token in tokens):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "threshold λ",
                "x": order,
                "y": [token.threshold for token in tokens],
                "line": {"color": ORANGE, "width": 2, "dash": "dash", "shape": "hvh"},
                "hovertemplate": "λ %{y:.3f}<extra></extra>",
            }
        )
    for kind, symbol, colour in (
        ("accepted", "circle", GREEN),
        ("rejected", "x", VERMILION),
        ("discarded", "circle-open", GREY),
    ):
        at = [i for i, mark in enumerate(marks) if mark.kind == kind]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "thrown away" if kind == "discarded" else kind,
                "x": [order[i] for i in at],
                "y": [bounds[i] for i in at],
                "marker": {"symbol": symbol, "size": 7, "color": colour},
                "customdata": [hover[i] for i in at],
                "hovertemplate": "%{customdata}<extra></extra>",
            }
        )
    stops = [
        (end, tokens[end - 1], stop_words(played, lane.stopper))
        for played, end in zip(lane.rounds, accumulate(len(r.drafted) for r in lane.rounds), strict=True)
        if played.stop_reason == "threshold" and played.drafted
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "stop",
            "x": [end for end, _, _ in stops],
            "y": [token.bound if token.score is None else token.score for _, token, _ in stops],
            "marker": {
                "symbol": "line-ns-open",
                "size": 18,
                "color": GREY,
                "line": {"width": 2.5},
            },
            "customdata": [escape(words) for _, _, words in stops],
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    )
    layout = _layout(escape(_shortened(lane_title(lane), 60)), LANE_HEIGHT)
    layout["xaxis"] |= {"title": {"text": "drafted tokens, in order"}, "rangemode": "tozero"}
    layout["yaxis"] |= {"title": {"text": "bound, score, λ"}, "overlaying": "y2", "rangemode": "tozero"}
    layout["yaxis2"] = {
        "title": {"text": "entropy (nats)"},
        "side": "right",
        "rangemode": "tozero",
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }
    layout["bargap"] = 0.15
    layout["legend"] |= {"entrywidth": 68, "font": {"size": 11}}  # two columns on a narrow page
    return go.Figure({"data": traces, "layout": layout})


def speedup_chart(trace: Trace) -> go.Figure:
    """Each lane's walltime speedup against the autoregressive lane; its tokens per second where the race
    has none."""
    baseline = any(lane.stopper == "autoregressive" for lane in trace.lanes)
    name, unit, title = "speedup", "×", "walltime speedup against autoregressive"
    if not baseline:
        name, unit, title = "tokens_per_s", "", "tokens per second"
    values = [getattr(lane.metrics, name) if lane.metrics else None for lane in trace.lanes]
    labels = [escape(_shortened(lane_title(lane))) for lane in trace.lanes]
    most = max((value for value in values if value is not None), default=1.0)

    layout = _layout(title, _summary_height(trace), legend=False)
    layout["xaxis"]["range"] = [0, 1.18 * max(most, 1.0 if baseline else 0.0)]  # room for the text
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False, "zeroline": False}
    layout["yaxis"] |= {"tickvals": list(range(len(labels))), "ticktext": labels}
    if baseline:
        line = {"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "yref": "paper"}
        layout["shapes"] = [line | {"line": {"color": GREY, "width": 1.5, "dash": "dot"}}]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": values,
        "y": list(range(len(labels))),
        "text": ["" if value is None else f"{value:.2f}{unit}" for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": lane_colours([lane.stopper for lane in trace.lanes])},
        "hovertemplate": "%{x:.3f}" + unit + "<extra></extra>",
    }
    return go.Figure({"data": [bars], "layout": layout})


def progress_chart(trace: Trace) -> go.Figure:
    """Tokens written over each lane's own clock."""
    traces = []
    colours = lane_colours([lane.stopper for lane in trace.lanes])
    for number, (lane, colour) in enumerate(zip(trace.lanes, colours, strict=True)):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(_shortened(lane_title(lane))),
                "x": [0.0, *(played.end_s for played in lane.rounds)],
                "y": [0, *accumulate(len(played.token_ids) for played in lane.rounds)],
                "line": {"color": colour, "width": 2.5, "dash": DASHES[number % len(DASHES)], "shape": "hv"},
                "hovertemplate": "%{y} tokens after %{x:.2f} s<extra></extra>",
            }
        )
    layout = _layout("tokens over each lane's own clock", _summary_height(trace))
    layout["xaxis"] |= {"title": {"text": "seconds"}, "rangemode": "tozero"}
    layout["yaxis"] |= {"title": {"text": "tokens"}, "rangemode": "tozero"}
    return go.Figure({"data": traces, "layout": layout})


def _summary_height(trace: Trace) -> int:
    return max(SUMMARY_HEIGHT, 110 + 36 * len(trace.lanes))


def _layout(title: str, height: int, legend: bool = True) -> dict:
    axis = {"gridcolor": FADED, "zerolinecolor": FADED, "automargin": True, "fixedrange": True}
    return {
        "height": height,
        "title": {"text": title, "x": 0.01, "y": 0.97, "yanchor": "top", "font": {"size": 14}},
        "margin": {"l": 8, "r": 8, "t": 44, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": GREY, "family": "system-ui, sans-serif"},
        "showlegend": legend,
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
        "hoverlabel": {"align": "left"},
        "template": None,
    }


def _shown(text: str) -> str:
    return text.replace("\n", "↵").replace("\t", "⇥").strip() or "␣"


def _shortened(label: str, most: int = 28) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"
