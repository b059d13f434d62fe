"""How often drafts were accepted in earlier texts, counted by entropy."""

import pytest

from adaedl.acceptance import EDGES, DraftCount, count_text


def test_drafts_are_counted_by_entropy():
    judged = [(0.0, True), (0.002, True), (0.002, False), (2.0, False), (9.0, True)]
    assert count_text([], judged) == [
        DraftCount(pytest.approx(0.0013, abs=1e-4), 2, 1),
        DraftCount(2.0, 0, 1),
        DraftCount(9.0, 1, 0),
    ]


def test_a_draft_of_an_older_text_counts_half():
    first = count_text([], [(2.0, True), (2.0, True)])
    second = count_text(first, [(1.6, False), (0.5, True)])
    assert second == [DraftCount(0.5, 1, 0), DraftCount(pytest.approx(1.8), 1, 1)]
    assert count_text(second, [])[0] == DraftCount(0.5, 0.5, 0)


def test_classes_stay_within_their_bounds_and_forgotten_ones_disappear():
    counts = count_text([], [(edge, True) for edge in (0.0, *EDGES, 20.0)])
    assert len(counts) == len(EDGES) + 1
    for _ in range(20):
        counts = count_text(counts, [(1.0, True)])
    assert [count.entropy for count in counts] == [1.0]
