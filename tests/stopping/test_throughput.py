"""The throughput stopper: what it believes of acceptance, what drafts cost it, and when it drafts."""

import copy
import math
from random import Random

import numpy as np
import pytest

from adaedl.stopping import DraftStep, make_stopper
from adaedl.stopping.throughput import (
    CURVES,
    Beliefs,
    ExpectedCosts,
    MeasuredCosts,
    RunningLine,
    accepted,
)
from adaedl.stopping.throughput.beliefs import SHARE
from adaedl.stopping.throughput.costs import DECAY
from adaedl.stopping.throughput.rule import FIRST_COST
from adaedl.times import Times


def step(entropy: float = 1.0, position: int = 1) -> DraftStep:
    return DraftStep(entropy=entropy, top_prob=0.5, margin=0.2, token_prob=0.5, position=position)


def play(stopper, chances, entropies=lambda position: 1.0, rounds=60, costs=(0.1, 0.02), seed=0):
    """Play rounds against a target that accepts a draft of an entropy with chances(entropy); one draft takes
    costs[0], verifying it costs[1] and the target's own step 1. Returns the drafts of each round."""
    random, lengths = Random(seed), []
    draft_s, verify_s = costs
    for _ in range(rounds):
        drafted = []
        if stopper.begin_round():
            while len(drafted) < stopper.max_draft:
                drafted.append(entropies(len(drafted)))
                if stopper.should_stop(step(drafted[-1], len(drafted))):
                    break
        fits = 0
        while fits < len(drafted) and random.random() < chances(drafted[fits]):
            fits += 1
        stopper.observe(len(drafted), fits)
        verifying = 1 + verify_s * len(drafted)
        stopper.observe_times(fits + 1, verifying, verifying + draft_s * len(drafted))
        lengths.append(len(drafted))
    return lengths


def test_beliefs_follow_bayes_rule():
    after = Beliefs().after([(0.1, True), (0.5, True), (0.9, False)]).weights
    likelihood = np.array([accepted(c, 0.1) * accepted(c, 0.5) * (1 - accepted(c, 0.9)) for c in CURVES])
    expected = (1 - SHARE) * likelihood / likelihood.sum() + SHARE / len(CURVES)
    assert after == pytest.approx(expected)
    assert sum(after) == pytest.approx(1)


def test_curves_are_probabilities_that_fall_with_entropy():
    for curve in CURVES:
        falling = [accepted(curve, given_up) for given_up in (0, 0.2, 1, 3)]
        assert 1 > falling[0] > 0
        assert falling == sorted(falling, reverse=True)


def test_the_score_is_the_probability_that_all_drafts_and_one_more_are_accepted():
    stopper = make_stopper("throughput:gamma=0.2")
    assert stopper.begin_round()
    for entropy in (0.05, 1.25):  # the bound gives up 0.1 and 0.5
        stopper.should_stop(step(entropy))
    chances = [accepted(c, 0.1) * accepted(c, 0.5) * accepted(c, 0.5) for c in CURVES]  # usual: 0.5
    assert stopper.score == pytest.approx(np.mean(chances))
    stopper.observe(2, 1)
    weights = Beliefs().after([(0.1, True), (0.5, False)]).weights
    stopper.begin_round()
    stopper.should_stop(step(0.05))
    usual = (DECAY * 0.5 / 3 + 0.6) / (DECAY / 3 + 2)  # what both bounds gave up, beside the prior
    chances = [accepted(c, 0.1) * accepted(c, usual) for c in CURVES]
    assert stopper.score == pytest.approx(np.dot(weights, chances))


TIMES = Times(
    verify_s=[1.0, 1.0, 1.0, 1.3, 1.4],
    first_draft_s=0.3,
    next_draft_s=0.1,
    plain_overhead_s=0.0,
    round_overhead_s=0.05,
    draft_overhead_s=0.01,
)


def test_the_first_round_drafts_at_a_usual_cost_where_nothing_was_measured_before():
    stopper = make_stopper("throughput")
    stopper.expect(None)
    assert stopper.begin_round()
    stopper.should_stop(step())
    assert stopper.threshold == FIRST_COST


def test_what_earlier_texts_took_prices_every_draft_from_the_first_round_on():
    stopper = make_stopper("throughput")
    stopper.expect(TIMES)
    assert stopper.begin_round()
    assert stopper.threshold == pytest.approx(0.1 + 0.01 + 0.0)  # verifying the first adds nothing
    for price in (0.11 + 0.0, 0.11 + 0.2, 0.11 + 0.1, 0.11 + 0.1):  # of the second, the third, …
        stopper.should_stop(step())
        assert stopper.threshold == pytest.approx(price)
    assert stopper.costs.of_drafting_at_all == pytest.approx(0.2 + 0.05)


def test_expected_costs_follow_the_machine():
    costs = ExpectedCosts.of(TIMES)
    assert costs.speed == pytest.approx(1.0)
    before = costs.of_draft(1)
    for _ in range(300):  # two drafts should take 1 + 0.4 + 0.07 s, and take twice that
        costs = costs.after(2, 3, 2.0, 2.94)
    assert costs.of_draft(1) == pytest.approx(2 * before, rel=0.05)
    assert costs.speed == pytest.approx(3 / 2.94)


def test_the_threshold_is_what_a_draft_costs_at_the_speed_so_far():
    costs = MeasuredCosts()
    for drafts, tokens, verify_s, duration_s in ((1, 2, 0.5, 0.6), (3, 2, 0.7, 1.0)):
        costs = costs.after(drafts, tokens, verify_s, duration_s)
    # The first round counts for 0.98; 3.96 tokens took 1.588 s; drafting takes 0.398 s / 3.98 on average.
    mean, speed = 0.398 / 3.98, 3.96 / 1.588
    counts, drafts = np.array([0.98, 1]), np.array([1, 3])
    spread = counts @ (drafts - 3.98 / 1.98) ** 2
    verifying, drafting = (np.polyfit(drafts, seconds, 1)[0] for seconds in ([0.5, 0.7], [0.1, 0.3]))
    shrunk = spread / (spread + 5)
    assert costs.speed == pytest.approx(speed)
    assert costs.of_draft(1) == pytest.approx(mean + shrunk * (drafting - mean) + shrunk * verifying)


def test_the_speed_is_at_least_that_of_the_target_alone():
    costs = MeasuredCosts().after(4, 1, 1.0, 3.0)  # a round that lost time
    assert costs.speed == pytest.approx(1.0)


@pytest.mark.parametrize("drafts", [3, 7, 12])
def test_rounds_of_one_length_tell_nothing_of_longer_verifications(drafts):
    costs = MeasuredCosts()
    for number in range(60):
        costs = costs.after(drafts, drafts + 1, 0.1 + 0.001 * (number % 7), 0.15)
    assert costs.of_draft(1) == pytest.approx(costs.drafting.y / costs.drafting.x)
    assert costs.of_drafting_at_all == pytest.approx(0, abs=1e-12)


def test_a_drafts_cost_is_told_from_that_of_drafting_at_all():
    costs = MeasuredCosts()
    for number in range(400):
        drafts = 1 + number % 5
        costs = costs.after(drafts, drafts + 1, 1 + 0.02 * drafts, 1 + 0.02 * drafts + 0.3 + 0.01 * drafts)
    assert costs.of_draft(1) == pytest.approx(0.01 + 0.02, rel=0.2)
    assert costs.of_drafting_at_all == pytest.approx(0.3, rel=0.05)


def test_rounds_without_drafts_tell_about_verification_but_not_about_drafting():
    costs = MeasuredCosts().after(2, 3, 1.0, 1.4).after(0, 1, 0.9, 1.0)
    assert costs.drafting == pytest.approx(RunningLine(1, 2, 4, 0.4, 0.8).fade(DECAY))
    assert costs.verifying.count == pytest.approx(1 + DECAY)
    assert (costs.tokens, costs.seconds) == pytest.approx((3 * DECAY + 1, 1.4 * DECAY + 1))
    assert not MeasuredCosts().after(0, 1, 1.0, 1.0).known


@pytest.mark.parametrize(("chance", "cost"), [(0.9, 0.3), (0.9, 0.05), (0.6, 0.1), (0.75, 0.2)])
def test_where_entropy_tells_nothing_it_comes_to_the_best_fixed_length(chance, cost):
    speeds = [
        sum(chance**n for n in range(k + 1)) / (1 + k * (cost + 0.02)) for k in range(17)
    ]  # tokens per target step
    stopper, random = make_stopper("throughput"), Random(1)
    lengths = play(
        stopper, lambda _: chance, lambda _: random.expovariate(1), rounds=400, costs=(cost, 0.02)
    )[200:]
    played = [speeds[k] for k in lengths]
    assert np.mean(played) > 0.97 * max(speeds)


def test_where_entropy_tells_all_it_stops_at_an_uncertain_draft():
    stopper = make_stopper("throughput")
    sure = lambda position: 0.0 if position < 3 else 5.0  # noqa: E731
    lengths = play(stopper, lambda entropy: 0.98 if entropy == 0 else 0.02, sure, rounds=200)
    assert set(lengths[100:]) <= {3, 4}


def test_it_drafts_none_where_drafting_does_not_pay_and_tries_again_ever_more_rarely():
    lengths = play(make_stopper("throughput"), lambda _: 0.1, rounds=200, costs=(0.4, 0.02))
    drafting = [number for number, drafts in enumerate(lengths) if drafts]
    assert len([number for number in drafting if number < 64]) <= 8
    assert 1 <= len([number for number in drafting if number >= 64]) <= 8
    assert max(lengths[8:]) == 1


def test_it_drafts_again_once_drafting_has_come_to_pay():
    stopper = make_stopper("throughput")
    play(stopper, lambda _: 0.05, rounds=60, costs=(0.4, 0.02))
    assert np.mean(play(stopper, lambda _: 0.97, rounds=200, costs=(0.4, 0.02))[100:]) > 2


def test_a_copy_goes_its_own_way():
    stopper = make_stopper("throughput")
    clone = copy.copy(stopper)
    clone.begin_round()
    clone.should_stop(step())
    clone.observe(1, 1)
    clone.observe_times(2, 1.0, 1.1)
    assert stopper.beliefs == Beliefs()
    assert (stopper.given_up, stopper.costs, stopper.steps) == ((), MeasuredCosts(), 1)
    assert clone.beliefs != Beliefs()


def test_dropped_drafts_say_nothing_of_acceptance_but_come_to_end_drafting():
    stopper = make_stopper("throughput:keep_last=false")
    drafting = []
    for _ in range(200):
        drafting.append(stopper.begin_round())
        if drafting[-1]:
            stopper.should_stop(step(entropy=5.0))
            stopper.observe(0, 0, 1)
            stopper.observe_times(1, 1.0, 1.4)
        else:
            stopper.observe(0, 0)
            stopper.observe_times(1, 1.0, 1.0)
    assert sum(drafting[100:]) <= 8
    assert stopper.beliefs.weights == pytest.approx(Beliefs().weights)
    assert math.isclose(sum(stopper.beliefs.weights), 1)
