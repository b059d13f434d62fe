"""The figures of a study: `python -m components.study_figures [FOLDER]` draws study.csv as SVG beside it.

plotly draws in a browser, so this needs a Chromium: the one named by CHROMIUM, the system's, or playwright's
own.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from adaedl.measure.study import (
    ADAEDL,
    FIGURES,
    FIXED,
    GAMMAS,
    ORACLE,
    OURS,
    THRESHOLDS,
    best_in_hindsight,
    mean_speedups,
    speedup_table,
)
from adaedl.measure.sweep import read_rows
from adaedl.statistics import geometric_mean
from components.chromium import chromium
from components.parts.palette import BLUE, GREEN, GREY, PURPLE, VERMILION

BEST_FIXED = "the best fixed k, in hindsight"
SHOWN = {  # lane: name, colour and dash
    ORACLE: ("oracle, which knows", GREY, "dot"),
    OURS: ("throughput, ours", VERMILION, "solid"),
    ADAEDL: ("AdaEDL, λ0 = 0.4", BLUE, "solid"),
    BEST_FIXED: ("best fixed k, in hindsight", GREEN, "dash"),
    FIXED["k=4"]: ("fixed k = 4", PURPLE, "dash"),
    FIXED["k=8"]: ("fixed k = 8", PURPLE, "dot"),
}
WIDTH, HEIGHT = 860, 460


def figures(frame: pd.DataFrame) -> dict[str, go.Figure]:
    """Return each figure by its file's name, from the rows of a study's sweep."""
    speedups = speedup_table(frame)
    return dict(zip(FIGURES, (speedup_figure(speedups), settings_figure(speedups)), strict=True))


def speedup_figure(speedups: pd.DataFrame) -> go.Figure:
    """Return the mean speedup over temperature with its 95% interval, each line named at its end."""
    shown = speedups.assign(**{BEST_FIXED: best_in_hindsight(speedups, FIXED.values())})
    figure = go.Figure()
    ends = {}
    for lane, (name, colour, dash) in SHOWN.items():
        means = intervals(shown[lane])
        figure.add_scatter(
            x=means.index,
            y=means["mean"],
            error_y={
                "array": means["high"] - means["mean"],
                "arrayminus": means["mean"] - means["low"],
                "thickness": 1,
                "width": 3,
            },
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2.5},
            marker={"size": 7},
            name=name,
        )
        ends[lane] = means["mean"].iloc[-1]
    last = max(speedups.index.get_level_values("temperature"))
    for lane, y in spread(ends, apart=0.045 * (max(ends.values()) - min(ends.values()) + 0.5)).items():
        name, colour, _ = SHOWN[lane]
        figure.add_annotation(
            x=last, y=y, text=name, font={"color": colour}, xanchor="left", xshift=14, showarrow=False
        )
    figure.add_hline(y=1, line={"color": GREY, "width": 1})
    figure.update_layout(look(), showlegend=False, margin={"r": 210})
    figure.update_xaxes(title="temperature", range=[-0.05, last + 0.05])
    figure.update_yaxes(title="speedup over the target alone", ticksuffix="×")
    return figure


def settings_figure(speedups: pd.DataFrame) -> go.Figure:
    """Return how much of the best setting's speed AdaEDL keeps with each λ0 and each γ, a line for each
    temperature."""
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04)
    averages = mean_speedups(speedups)
    shades = ["#08306b", "#2171b5", "#6baed6", "#fdae6b", "#f16913", "#a63603"]  # cold to hot
    for column, (name, lanes) in enumerate({"λ0": THRESHOLDS, "γ": GAMMAS}.items(), 1):
        means = pd.DataFrame({value: averages[lanes[value]] for value in sorted(lanes)})
        for shade, (temperature, row) in zip(shades, means.iterrows(), strict=False):
            figure.add_scatter(
                x=row.index,
                y=100 * (row / row.max() - 1),
                mode="lines+markers",
                line={"color": shade, "width": 2.5},
                name=f"T = {temperature:g}",
                showlegend=column == 1,
                row=1,
                col=column,
            )
        figure.update_xaxes(title=name, row=1, col=column)
    figure.update_layout(look(), legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": 1.12})
    figure.update_yaxes(title="speed against the best setting shown", ticksuffix="%", row=1, col=1)
    return figure


def intervals(values: pd.Series) -> pd.DataFrame:
    """Return mean, low and high of a lane's speedups by temperature."""
    by_temperature = values.groupby(level="temperature")
    found = {temperature: geometric_mean(part) for temperature, part in by_temperature}
    return pd.DataFrame.from_dict(found, "index", columns=["mean", "low", "high"])


def spread(ends: dict[str, float], apart: float) -> dict[str, float]:
    """Return heights for labels near their lines' ends, at least `apart` from one another."""
    placed: dict[str, float] = {}
    below = -float("inf")
    for lane, y in sorted(ends.items(), key=lambda item: item[1]):
        placed[lane] = below = max(y, below + apart)
    return placed


def look() -> dict:
    """Give a figure the look that both share: black on white, because a README is read in light and dark."""
    return {
        "template": "plotly_white",
        "paper_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "size": 15, "color": "#1f2328"},
        "width": WIDTH,
        "height": HEIGHT,
        "margin": {"l": 80, "t": 50, "b": 60, "r": 30},
    }


def drawings(shown: dict[str, go.Figure]) -> Iterator[tuple[str, str]]:
    """Yield each figure's file name and SVG."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, chromium(playwright) as browser:
        page = browser.new_page()
        page.add_script_tag(content=get_plotlyjs())
        for name, figure in shown.items():
            options = {"format": "svg", "width": WIDTH, "height": HEIGHT, "imageDataOnly": True}
            drawn = [json.loads(figure.to_json()), options]
            yield name, page.evaluate("([figure, options]) => Plotly.toImage(figure, options)", drawn)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m components.study_figures", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs"), help="with study.csv in it")
    folder = parser.parse_args().folder
    for name, svg in drawings(figures(read_rows(folder / "study.csv"))):
        (folder / name).write_text(svg + "\n", encoding="utf-8")
        print(f"{folder / name} is written.")


if __name__ == "__main__":
    main()
