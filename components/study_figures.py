"""Draw a study's tables as SVG figures in its folder: `python -m components.study_figures [FOLDER]`.

plotly draws in a browser, so this needs a Chromium: the one that CHROMIUM names, the system's, or
playwright's.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from adaedl.measure.study import tables
from adaedl.measure.study.bound import bound_table
from adaedl.measure.study.claims import BAND, REFERENCES, best_rules, gains_over_fixed
from adaedl.measure.study.recordings import Setup, read_setup
from adaedl.measure.study.replays import COST_NAMES, MEASURED
from adaedl.measure.study.report import BOUND_FIGURE, GAIN_FIGURES, MAP_FIGURE
from adaedl.measure.study.tables import CONDITION
from adaedl.measure.study.words import RULES
from adaedl.stopping import STOPPERS
from components.chromium import chromium
from components.parts import palette
from components.parts.palette import GREEN, GREY

TEMPERATURE_SHADES = ("#08306b", "#2171b5", "#6baed6", "#fdae6b", "#f16913", "#a63603")  # cold to hot
# Pairs have colours far from the rules' colours. Markers tell pairs apart without colour.
PAIR_COLOURS = ("#113377", "#e6194b", "#004400", "#bb00ff", "#443333", "#7a5cff")
PAIR_MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
# For rules without a colour on the page.
MORE_COLOURS = (
    "#3b4cc0",
    "#8a6d3b",
    "#5f9ea0",
    "#c71585",
    "#556b2f",
    "#b8860b",
    "#483d8b",
    "#a0522d",
    "#008b8b",
    "#7b2d26",
)
BOUND_PANELS = {  # column of the bound's table: title of the axis
    "coverage": "share of drafts with bound ≤ β",
    "gap": "mean of β − bound",
    "rank_correlation": "rank correlation of bound and β",
    "gamma": "fitted γ",
}
# A line in each panel: the perfect value, and the published γ.
PERFECT = {"coverage": 1.0, "gap": 0.0, "rank_correlation": 1.0, "gamma": 0.2}


def figures(frame: pd.DataFrame, texts: pd.DataFrame, setup: Setup) -> dict[str, go.Figure]:
    """Return the figures by file name, from a study's tables of speedups and texts."""
    setup = setup.of_pairs(set(frame["pair"]))
    speedups = tables.of_pairs(tables.speedup_table(frame), setup.pairs)
    bounds = bound_table(texts)
    gains = gains_over_fixed(speedups)
    costs = bounds["cost_ratio"]
    gain_figures = {
        file: gain_figure({over: gains[choice, over] for over in REFERENCES}, verification, costs)
        for (verification, choice), file in GAIN_FIGURES.items()
    }
    return gain_figures | {MAP_FIGURE: map_figure(best_rules(speedups)), BOUND_FIGURE: bound_figure(bounds)}


def gain_figure(gains: dict[str, pd.DataFrame], verification: str, costs: pd.Series) -> go.Figure:
    """Return the gain over each reference (rows) for each pair (columns) against c, one line per temperature.

    Args:
        gains: for each reference, a table with the mean, low and high gain of each cell, in percent.
        costs: the measured c of each condition.
    """
    pairs = pairs_of(next(iter(gains.values())))
    figure = make_subplots(
        len(gains),
        len(pairs),
        shared_xaxes=True,
        shared_yaxes=True,
        column_titles=pairs,
        horizontal_spacing=0.02,
        vertical_spacing=0.03,
    )
    for row, (over, table) in enumerate(gains.items(), 1):
        for column, pair in enumerate(pairs, 1):
            place = {"row": row, "col": column}
            shape = {**place, "exclude_empty_subplots": False}
            figure.add_hrect(*BAND, fillcolor=GREEN, opacity=0.12, line_width=0, layer="below", **shape)
            figure.add_hline(y=0, line={"color": GREY, "width": 1}, **shape)
            lines = by_temperature(table, pair, verification)
            for (condition, part), shade in zip(lines, TEMPERATURE_SHADES, strict=False):
                name = f"T = {condition[-1]:g}"
                first = row == column == 1
                figure.add_scatter(**line(part, shade, name), showlegend=first, **place)
                figure.add_scatter(**measured_point(part, costs[condition], shade, name), **place)
        figure.update_yaxes(title=f"gain over<br>{over}", row=row, col=1)
    figure.update_xaxes(type="log", tickvals=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
    figure.update_xaxes(title="c", row=len(gains))
    figure.update_yaxes(ticksuffix="%")
    figure.update_layout(look(240 + 260 * len(pairs), 780), legend=top_legend())
    return figure


def by_temperature(table: pd.DataFrame, pair: str, verification: str) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Yield the condition of a pair at each temperature and its rows by cost. At temperature 0, where both
    verification rules are the same, the rows are the first rule's."""
    parts = {condition: part.droplevel(CONDITION) for condition, part in table.groupby(level=CONDITION)}
    for condition in sorted(parts, key=lambda condition: condition[-1]):
        if is_of(condition, pair, verification):
            yield condition, parts[condition]


def is_of(condition: tuple, pair: str, verification: str) -> bool:
    return condition[0] == pair and (condition[1] == verification or not condition[2])


def line(part: pd.DataFrame, shade: str, name: str) -> dict:
    """Return a line through the chosen cost ratios, with intervals."""
    part = part.drop(index=MEASURED)
    return {
        "x": [float(cost) for cost in part.index],
        "y": part["mean"],
        "error_y": {
            "array": part["high"] - part["mean"],
            "arrayminus": part["mean"] - part["low"],
            "thickness": 1,
            "width": 2,
        },
        "mode": "lines",
        "line": {"color": shade, "width": 2},
        "name": name,
        "legendgroup": name,
    }


def measured_point(part: pd.DataFrame, cost: float, shade: str, name: str) -> dict:
    """Return the point at the measured cost."""
    return {
        "x": [cost],
        "y": [part.loc[MEASURED, "mean"]],
        "mode": "markers",
        "marker": {"symbol": "diamond", "size": 9, "color": shade},
        "name": name,
        "legendgroup": name,
        "showlegend": False,
    }


def map_figure(best: pd.DataFrame) -> go.Figure:
    """Return a map of the winning rule by c and temperature, for each verification rule (rows) and pair
    (columns), with its gain over the best fixed length in percent."""
    pairs = pairs_of(best)
    costs = [cost for cost in COST_NAMES if cost in best.index.get_level_values("cost")]
    colours = rule_colours(best["rule"])
    names = list(colours)
    figure = make_subplots(
        len(RULES),
        len(pairs),
        shared_xaxes=True,
        shared_yaxes=True,
        column_titles=pairs,
        row_titles=list(RULES.values()),
        horizontal_spacing=0.015,
        vertical_spacing=0.04,
    )
    scale = [
        (edge / len(names), colours[name])
        for number, name in enumerate(names)
        for edge in (number, number + 1)
    ]
    for row, verification in enumerate(RULES, 1):
        for column, pair in enumerate(pairs, 1):
            cells = pd.concat(
                {c[-1]: part.reindex(costs) for c, part in by_temperature(best, pair, verification)}
            )
            rules, words = (
                cells["rule"].unstack(sort=False),
                cells.apply(cell_words, axis=1).unstack(sort=False),
            )
            figure.add_heatmap(
                x=costs,
                y=[f"{temperature:g}" for temperature in rules.index],
                z=[[names.index(rule) for rule in line] for line in rules.to_numpy()],
                text=words.to_numpy(),
                texttemplate="%{text}",
                textfont={"size": 10, "color": "white"},
                zmin=-0.5,
                zmax=len(names) - 0.5,
                colorscale=scale,
                showscale=False,
                xgap=1,
                ygap=1,
                row=row,
                col=column,
            )
    for name, colour in colours.items():
        marker = {"symbol": "square", "size": 12, "color": colour}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=title_of(name))
    figure.update_xaxes(type="category", title=None, tickangle=-45)
    figure.update_xaxes(title="c", row=len(RULES))
    figure.update_yaxes(type="category", title=None)
    figure.update_yaxes(title="temperature", col=1)
    figure.update_layout(look(170 + 380 * len(pairs), 620), legend=top_legend())
    return figure


def cell_words(cell: pd.Series) -> str:
    star = "*" if cell["low"] > 0 or cell["high"] < 0 else ""
    return f"{cell['mean']:+.0f}%{star}"


def rule_colours(rules: pd.Series) -> dict[str, str]:
    """Return a colour for each winning rule, the most frequent rule first. Rules on the page keep their
    colour there."""
    page_colours, others = palette.rule_colours(), cycle(MORE_COLOURS)
    return {name: page_colours.get(name) or next(others) for name in rules.value_counts().index}


def title_of(rule: str) -> str:
    return STOPPERS[rule].title or rule if rule in STOPPERS else rule


def bound_figure(bounds: pd.DataFrame) -> go.Figure:
    """Return coverage, gap, rank correlation and fitted γ against the pair's mean β: for each pair and
    verification rule, a line through its temperatures."""
    figure = make_subplots(2, 2, horizontal_spacing=0.1, vertical_spacing=0.09, shared_xaxes=True)
    for number, (column, words) in enumerate(BOUND_PANELS.items()):
        place = {"row": 1 + number // 2, "col": 1 + number % 2}
        figure.add_hline(
            y=PERFECT[column],
            line={"color": GREY, "width": 1, "dash": "dot"},
            exclude_empty_subplots=False,
            **place,
        )
        for colour, mark, pair in zip(PAIR_COLOURS, PAIR_MARKS, pairs_of(bounds), strict=False):
            for verification, dash in zip(RULES, ("solid", "dot"), strict=True):
                part = pd.DataFrame(
                    {
                        condition[-1]: bounds.loc[condition]
                        for condition in conditions(bounds, pair, verification)
                    }
                ).T.sort_index()
                figure.add_scatter(
                    x=part["beta"],
                    y=part[column],
                    text=[f"{temperature:g}" for temperature in part.index],
                    textposition="top center",
                    textfont={"size": 10, "color": colour},
                    mode="lines+markers+text",
                    line={"color": colour, "dash": dash, "width": 1.5},
                    marker={"symbol": mark, "size": 8},
                    error_y=error_bars(part, column),
                    name=f"{pair}, {RULES[verification]}",
                    showlegend=number == 0,
                    **place,
                )
        figure.update_yaxes(title=words, **place)
    figure.update_xaxes(title="mean β; the numbers are temperatures", row=2)
    figure.update_layout(look(980, 820), legend=top_legend())
    return figure


def conditions(bounds: pd.DataFrame, pair: str, verification: str) -> list[tuple]:
    return [condition for condition in bounds.index if is_of(condition, pair, verification)]


def error_bars(part: pd.DataFrame, column: str) -> dict | None:
    """Return the intervals of a column of the bound's table as error bars; None if it has no intervals."""
    if f"{column}_low" not in part:
        return None
    high, low = part[f"{column}_high"] - part[column], part[column] - part[f"{column}_low"]
    return {"array": high, "arrayminus": low, "thickness": 1, "width": 2}


def pairs_of(table: pd.DataFrame) -> list[str]:
    return list(table.index.get_level_values("pair").unique())


def look(width: int, height: int) -> dict:
    """Return the layout that all figures share: black on white, because a README is read in light and
    dark."""
    return {
        "template": "plotly_white",
        "paper_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "size": 14, "color": "#1f2328"},
        "width": width,
        "height": height,
        "margin": {"l": 90, "t": 110, "b": 60, "r": 40},
    }


def top_legend() -> dict:
    return {"orientation": "h", "x": 0.5, "xanchor": "center", "y": 1.06, "yanchor": "bottom"}


def drawings(named: dict[str, go.Figure]) -> Iterator[tuple[str, str]]:
    """Yield the file name and the SVG of each figure."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, chromium(playwright) as browser:
        page = browser.new_page()
        page.add_script_tag(content=get_plotlyjs())
        for name, figure in named.items():
            size = {"width": figure.layout.width, "height": figure.layout.height}
            options = {"format": "svg", "imageDataOnly": True, **size}
            drawing = "([figure, options]) => Plotly.toImage(figure, options)"
            yield name, page.evaluate(drawing, [json.loads(figure.to_json()), options])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m components.study_figures", description=__doc__)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("docs"), help="the study's folder (default docs)"
    )
    folder = parser.parse_args().folder
    setup = read_setup(folder)
    if setup is None:
        parser.error(f"{folder} has no study; run python -m adaedl study --folder {folder}")
    frame, texts = (tables.read_table(folder / name) for name in ("study.csv.gz", "study-texts.csv.gz"))
    for name, svg in drawings(figures(frame, texts, setup)):
        (folder / name).write_text(svg + "\n", encoding="utf-8")
        print(f"Wrote {folder / name}.")


if __name__ == "__main__":
    main()
