"""The study's figures show what its rows say, and names that stay apart."""

import pytest
from test_study import flat, rows

from adaedl.measure import study
from components.study_figures import BEST_FIXED, SHOWN, figures, spread


@pytest.fixture(scope="module")
def drawn() -> dict:
    return figures(rows(flat))


def test_every_figure_that_the_report_shows_is_drawn(drawn):
    assert set(drawn) == set(study.FIGURES)


def test_each_line_is_a_lanes_mean_speedup_over_temperature(drawn):
    lines = dict(zip(SHOWN, drawn["study-speedup.svg"].data, strict=True))
    assert list(lines["adaedl"].x) == [0.0, 0.3, 1.0]
    assert list(lines["adaedl"].y) == pytest.approx([1.4, 1.4, 1.4])
    assert list(lines[BEST_FIXED].y) == pytest.approx([1.25, 1.25, 1.25])
    assert list(lines["fixed:k=8"].y) == pytest.approx([1.0, 1.0, 0.8])


def test_a_setting_is_told_by_what_it_loses_to_the_best(drawn):
    line = drawn["study-settings.svg"].data[0]
    losses = dict(zip(line.x, line.y, strict=True))
    assert losses[0.4] == 0
    assert losses[0.8] == pytest.approx(100 * (1.12 / 1.4 - 1))


def test_labels_keep_their_order_and_stay_apart():
    placed = spread({"a": 1.0, "b": 1.01, "c": 3.0}, apart=0.5)
    assert placed == {"a": 1.0, "b": 1.5, "c": 3.0}
