"""Survival: the probability that the whole draft is accepted, computed by hand."""

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaedl.stopping import DraftStep, make_stopper


def step(entropy=0.5, top_prob=0.8) -> DraftStep:
    return DraftStep(entropy, top_prob, margin=0.6, token_prob=0.8, position=1)


def test_it_stops_when_the_product_of_top_probabilities_is_below_0_3():
    stopper = make_stopper("survival")
    for _ in range(2):  # each round starts from 1
        stopper.begin_round()
        drafts = [(stopper.should_stop(step(top_prob=p)), stopper.score) for p in (0.9, 0.8, 0.5, 0.8)]
        assert [stop for stop, _ in drafts] == [False, False, False, True]
        assert [score for _, score in drafts] == pytest.approx([0.9, 0.72, 0.36, 0.288])
        assert stopper.threshold == 0.3  # 1 minus the authors' stop_threshold of 0.7


def test_it_can_multiply_bounds_instead():
    stopper = make_stopper("survival:use_bound=true,gamma=0.1")
    stopper.begin_round()
    assert not stopper.should_stop(step(entropy=1.6, top_prob=0.0))
    assert not stopper.should_stop(step(entropy=0.9, top_prob=0.0))
    assert stopper.score == pytest.approx((1 - 0.4) * (1 - 0.3))
    assert stopper.should_stop(step(entropy=1.6))


def test_two_negative_bounds_do_not_make_a_likely_draft():
    stopper = make_stopper("survival:use_bound=true,gamma=1")
    stopper.begin_round()
    assert stopper.should_stop(step(entropy=9.0))  # the bound is −2
    assert stopper.should_stop(step(entropy=9.0))
    assert stopper.score == 0


def test_a_certain_draft_continues_at_every_threshold():
    stopper = make_stopper("survival:threshold=1,use_bound=true")
    stopper.begin_round()
    assert not any(stopper.should_stop(step(entropy=0.0)) for _ in range(64))


@settings(max_examples=100)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_the_score_is_the_product_and_never_rises_within_a_round(probabilities, threshold):
    stopper = make_stopper(f"survival:threshold={threshold!r}")
    stopper.begin_round()
    before = 1.0
    for count, probability in enumerate(probabilities, start=1):
        assert stopper.should_stop(step(top_prob=probability)) == (stopper.score < threshold)
        assert stopper.score == pytest.approx(math.prod(probabilities[:count]))
        assert stopper.score <= before
        before = stopper.score


def test_a_copy_is_independent():
    stopper = make_stopper("survival")
    stopper.begin_round()
    clone = copy.copy(stopper)
    clone.should_stop(step(top_prob=0.1))
    assert not stopper.should_stop(step(top_prob=0.4))
