"""The study's figures show the numbers of its tables."""

from dataclasses import replace
from math import dist

import pandas as pd
import pytest
from test_study import COSTS, PAIRS, SETUP, flat, speedups, texts

from adaedl.measure.study.claims import REFERENCES
from adaedl.measure.study.report import BOUND_FIGURE, GAIN_FIGURES, MAP_FIGURE
from adaedl.stopping import LIVE_STOPPERS
from components.parts import palette
from components.study_figures import MORE_COLOURS, PAIR_COLOURS, PAIR_MARKS, figures, rule_colours


@pytest.fixture(scope="module")
def drawn() -> dict:
    return figures(speedups(flat), texts(), replace(SETUP, pairs=(*PAIRS, "not recorded")))


def test_every_figure_of_the_report_is_drawn(drawn):
    assert set(drawn) == {*GAIN_FIGURES.values(), MAP_FIGURE, BOUND_FIGURE}


def test_a_line_shows_the_gain_over_c_at_one_temperature(drawn):
    figure = drawn[GAIN_FIGURES["speculative", "as published"]]
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(lines) == len(REFERENCES) * len(PAIRS) * 3  # temperatures; 0 comes from the other rule
    assert [line.name for line in lines[:3]] == ["T = 0", "T = 0.7", "T = 1.7"]
    assert list(lines[0].x) == [0.02, 0.1, 0.5]
    assert list(lines[0].y) == pytest.approx([-4, 20, 20])
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert (points[0].x[0], points[0].y[0]) == (pytest.approx(0.03), pytest.approx(-4))
    bands = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert {(band.y0, band.y1) for band in bands} == {(10, 57)}
    assert len(bands) == len(REFERENCES) * len(PAIRS)
    shared = drawn[GAIN_FIGURES["shared_noise", "as published"]]
    assert {trace.name for trace in shared.data} == {"T = 0"}


def test_a_map_cell_has_the_colour_and_gain_of_the_fastest_rule(drawn):
    figure = drawn[MAP_FIGURE]
    maps = [trace for trace in figure.data if trace.type == "heatmap"]
    names = [trace.name for trace in figure.data if trace.type == "scatter"]
    assert len(maps) == 2 * len(PAIRS)
    assert list(maps[0].x) == list(COSTS)
    speculative = maps[len(PAIRS)]
    assert list(speculative.y) == ["0", "0.7", "1.7"]
    at = COSTS.index("0.1")
    assert names[int(speculative.z[1][at])] == "SVIP"
    assert speculative.text[1][at] == "+25%*"


def test_every_rule_has_its_own_colour(drawn):
    marks = [trace for trace in drawn[MAP_FIGURE].data if trace.type == "scatter"]
    page = palette.rule_colours()
    assert next(mark.marker.color for mark in marks if mark.name == "SVIP") == page["svip"]
    assert set(LIVE_STOPPERS) <= set(page)
    many = rule_colours(pd.Series([*LIVE_STOPPERS, *(f"rule {n}" for n in range(10))]))
    assert len(set(many.values())) == len(many)


def test_no_pair_is_drawn_in_a_colour_like_a_rule(drawn):
    used = {line.line.color for line in drawn[BOUND_FIGURE].data if line.mode == "lines+markers+text"}
    assert used
    assert used <= set(PAIR_COLOURS)
    assert len(set(PAIR_COLOURS)) == len(PAIR_COLOURS) == len(set(PAIR_MARKS))
    rules = {*palette.rule_colours().values(), *MORE_COLOURS}
    assert min(distance(pair, rule) for pair in PAIR_COLOURS for rule in rules) > 50


def distance(colour: str, other: str) -> float:
    """Return the distance of two colours as points (red, green, blue), each from 0 to 255."""
    return dist(bytes.fromhex(colour[1:]), bytes.fromhex(other[1:]))


def test_the_bound_is_plotted_over_the_agreement(drawn):
    line = drawn[BOUND_FIGURE].data[0]
    assert line.name == "toy, shared noise"
    assert list(line.x) == [0.5]
    assert list(line.y) == [1.0]
    assert list(line.text) == ["0"]
