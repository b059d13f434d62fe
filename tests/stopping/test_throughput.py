"""The throughput stopper: what it believes about acceptance, what drafts cost, and when it drafts."""

import copy
import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from adaedl.acceptance import DraftCount
from adaedl.stopping import DraftStep, make_stopper
from adaedl.stopping.throughput import (
    CURVES,
    Beliefs,
    ExpectedCosts,
    MeasuredCosts,
    RunningLine,
    accepted,
)
from adaedl.stopping.throughput.beliefs import OPEN, SHARE
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
    first, second, third = (np.array(accepted(given_up)) for given_up in (0.1, 0.5, 0.9))
    likelihood = first * second * (1 - third)
    expected = (1 - SHARE) * likelihood / likelihood.sum() + SHARE / len(CURVES)
    assert after == pytest.approx(expected)
    assert sum(after) == pytest.approx(1)


def test_curves_are_probabilities_that_fall_with_entropy():
    falling = np.array([accepted(given_up) for given_up in (0, 0.2, 1, 3)])
    assert falling[0] == pytest.approx([certain for certain, _ in CURVES])
    assert falling.min() > 0
    assert falling.max() < 1
    assert (np.diff(falling, axis=0) <= 0).all()


def test_the_score_is_the_probability_that_all_drafts_and_one_more_are_accepted():
    stopper = make_stopper("throughput:gamma=0.2")
    assert stopper.begin_round()
    for entropy in (0.05, 1.25):  # the bound gives up 0.1 and 0.5
        stopper.should_stop(step(entropy))
    chances = np.prod([accepted(given_up) for given_up in (0.1, 0.5, 0.5)], axis=0)  # usual: 0.5
    assert stopper.score == pytest.approx(np.mean(chances))
    stopper.observe(2, 1)
    weights = Beliefs().after([(0.1, True), (0.5, False)]).weights
    stopper.begin_round()
    stopper.should_stop(step(0.05))
    usual = (DECAY * 0.5 / 3 + 0.6) / (DECAY / 3 + 2)  # what both bounds gave up, beside the prior
    chances = np.prod([accepted(0.1), accepted(usual)], axis=0)
    assert stopper.score == pytest.approx(np.dot(weights, chances))


def test_beliefs_start_from_the_drafts_of_earlier_texts():
    earlier = [DraftCount(0.05, 30.0, 2.0), DraftCount(1.25, 10.0, 8.0)]  # the bound gives up 0.1 and 0.5
    first, second = (np.array(accepted(given_up)) for given_up in (0.1, 0.5))
    likelihood = first**30 * (1 - first) ** 2 * second**10 * (1 - second) ** 8
    expected = (1 - OPEN) * likelihood / likelihood.sum() + OPEN / len(CURVES)
    beliefs = Beliefs.expecting(earlier, 0.2)
    assert beliefs.weights == beliefs.prior == pytest.approx(expected)
    rejected = 1 - np.array(accepted(0.3))
    after = beliefs.after([(0.3, False)]).weights  # and part of it returns to what earlier texts said
    assert after == pytest.approx(
        (1 - SHARE) * expected * rejected / (expected @ rejected) + SHARE * expected
    )


def test_more_than_100_earlier_drafts_count_as_100():
    some = [DraftCount(0.05, 60.0, 4.0), DraftCount(1.25, 20.0, 16.0)]
    many = [DraftCount(count.entropy, 9 * count.accepted, 9 * count.rejected) for count in some]
    assert Beliefs.expecting(many, 0.2).weights == pytest.approx(Beliefs.expecting(some, 0.2).weights)
    assert Beliefs.expecting([], 0.2) == Beliefs()


def test_the_average_entropy_starts_from_earlier_texts():
    earlier = [DraftCount(0.05, 30.0, 2.0), DraftCount(1.25, 10.0, 6.0)]
    stopper = make_stopper("throughput")
    stopper.expect_acceptance(earlier)
    stopper.begin_round()
    usual = (32 * 0.1 + 16 * 0.5) / 48
    assert stopper.next_accepted == pytest.approx(accepted(usual))


def test_counts_are_ignored_by_a_stopper_with_its_own_scoring_temperature():
    stopper = make_stopper("throughput:score_temperature=2.0")
    stopper.expect_acceptance([DraftCount(0.05, 30.0, 2.0)])
    assert stopper.beliefs == Beliefs()


def certainty(certain: float, decline: float) -> tuple[float, ...]:
    """Weights of the one curve that is true."""
    return tuple(float(curve == (certain, decline)) for curve in CURVES)


TIMES = Times(
    verify_s=[1.0, 1.0, 1.0, 1.3, 1.4],
    first_draft_s=0.3,
    next_draft_s=0.1,
    plain_overhead_s=0.0,
    round_overhead_s=0.05,
    draft_overhead_s=0.01,
)


def test_without_earlier_times_the_first_round_assumes_a_usual_cost():
    stopper = make_stopper("throughput")
    stopper.expect(None)
    assert stopper.begin_round()
    stopper.should_stop(step())
    assert stopper.threshold == FIRST_COST


def test_prices_use_the_speed_of_the_best_number_of_drafts():
    stopper = make_stopper("throughput:max_draft=4")
    stopper.expect(TIMES)
    stopper.expect_acceptance([DraftCount(0.0, 1000.0, 5.0)])
    stopper.begin_round()
    chances, weights = np.array(accepted(0)), np.array(stopper.beliefs.weights)
    tokens = [weights @ sum(chances**drafts for drafts in range(most + 1)) for most in range(5)]
    seconds = [1.0, 1.0 + 0.36, 1.0 + 0.47, 1.3 + 0.58, 1.4 + 0.69]
    best = max(np.array(tokens) / seconds)
    assert stopper.threshold == pytest.approx(best * 0.11)


def test_the_best_speed_can_lie_beyond_a_step_in_verification_times():
    costs = ExpectedCosts.of(replace(TIMES, verify_s=[1.0, 1.5, 1.5, 1.5, 1.5], first_draft_s=0.1))
    assert costs.best_speed([1, 1.5, 2.4, 3.0, 3.6]) == pytest.approx(3.6 / (1.5 + 4 * 0.11 + 0.05))
    assert costs.best_speed([1, 1.1, 1.2, 1.3, 1.4]) == pytest.approx(1)


def test_earlier_times_price_every_draft_from_the_first_round_on():
    stopper = make_stopper("throughput")
    stopper.expect(TIMES)
    stopper.beliefs = Beliefs(certainty(0.2, 0.0))  # so the target is fastest alone, with 1 token per second
    stopper.begin_round()
    assert stopper.threshold == pytest.approx(0.1 + 0.01 + 0.0)  # verifying the first adds nothing
    for price in (0.11 + 0.0, 0.11 + 0.2, 0.11 + 0.1, 0.11 + 0.1):  # of the second, the third, …
        stopper.should_stop(step())
        assert stopper.threshold == pytest.approx(price)
    assert stopper.costs.of_drafting_at_all == pytest.approx(0.2 + 0.05)


def test_expected_costs_follow_the_speed_of_the_machine():
    costs = ExpectedCosts.of(TIMES)
    assert costs.best_speed([1, 1.3, 1.4]) == pytest.approx(1.0)
    before = costs.of_drafts(1)[0]
    for _ in range(300):  # two drafts should take 1 + 0.4 + 0.07 s, and take twice that
        costs = costs.after(2, 3, 2.0, 2.94)
    assert costs.of_drafts(1)[0] == pytest.approx(2 * before, rel=0.05)
    assert costs.best_speed([1, 1.3, 1.4]) == pytest.approx(1 / 2, rel=0.05)


def test_measured_costs_shrink_slopes_towards_the_average_cost():
    costs = MeasuredCosts()
    for drafts, tokens, verify_s, duration_s in ((1, 2, 0.5, 0.6), (3, 2, 0.7, 1.0)):
        costs = costs.after(drafts, tokens, verify_s, duration_s)
    # The first round counts for 0.98; 3.96 tokens took 1.588 s; drafting takes 0.398 s / 3.98 on average.
    mean, speed = 0.398 / 3.98, 3.96 / 1.588
    counts, drafts = np.array([0.98, 1]), np.array([1, 3])
    spread = counts @ (drafts - 3.98 / 1.98) ** 2
    verifying, drafting = (np.polyfit(drafts, seconds, 1)[0] for seconds in ([0.5, 0.7], [0.1, 0.3]))
    shrunk = spread / (spread + 5)
    assert costs.best_speed([]) == pytest.approx(speed)
    assert costs.of_drafts(1)[0] == pytest.approx(mean + shrunk * (drafting - mean) + shrunk * verifying)


def test_the_speed_is_never_below_the_speed_of_the_target_alone():
    costs = MeasuredCosts().after(4, 1, 1.0, 3.0)  # a round that lost time
    assert costs.best_speed([]) == pytest.approx(1.0)


@pytest.mark.parametrize("drafts", [3, 7, 12])
def test_rounds_of_one_length_say_nothing_about_longer_verifications(drafts):
    costs = MeasuredCosts()
    for number in range(60):
        costs = costs.after(drafts, drafts + 1, 0.1 + 0.001 * (number % 7), 0.15)
    assert costs.of_drafts(1)[0] == pytest.approx(costs.drafting.y / costs.drafting.x)
    assert costs.of_drafting_at_all == pytest.approx(0, abs=1e-12)


def test_the_cost_per_draft_is_separated_from_the_fixed_cost_of_drafting():
    costs = MeasuredCosts()
    for number in range(400):
        drafts = 1 + number % 5
        costs = costs.after(drafts, drafts + 1, 1 + 0.02 * drafts, 1 + 0.02 * drafts + 0.3 + 0.01 * drafts)
    assert costs.of_drafts(1)[0] == pytest.approx(0.01 + 0.02, rel=0.2)
    assert costs.of_drafting_at_all == pytest.approx(0.3, rel=0.05)


def test_rounds_without_drafts_inform_verification_but_not_drafting():
    costs = MeasuredCosts().after(2, 3, 1.0, 1.4).after(0, 1, 0.9, 1.0)
    assert costs.drafting == pytest.approx(RunningLine(1, 2, 4, 0.4, 0.8).fade(DECAY))
    assert costs.verifying.count == pytest.approx(1 + DECAY)
    assert (costs.tokens, costs.seconds) == pytest.approx((3 * DECAY + 1, 1.4 * DECAY + 1))
    assert not MeasuredCosts().after(0, 1, 1.0, 1.0).known


@pytest.mark.parametrize(("chance", "cost"), [(0.9, 0.3), (0.9, 0.05), (0.6, 0.1), (0.75, 0.2)])
def test_with_uninformative_entropy_it_converges_to_the_best_fixed_length(chance, cost):
    speeds = [
        sum(chance**n for n in range(k + 1)) / (1 + k * (cost + 0.02)) for k in range(17)
    ]  # tokens per target step
    stopper, random = make_stopper("throughput"), Random(1)
    lengths = play(
        stopper, lambda _: chance, lambda _: random.expovariate(1), rounds=400, costs=(cost, 0.02)
    )[200:]
    round_ = [speeds[k] for k in lengths]
    assert np.mean(round_) > 0.97 * max(speeds)


def test_with_decisive_entropy_it_stops_at_an_uncertain_draft():
    stopper = make_stopper("throughput")
    sure = lambda position: 0.0 if position < 3 else 5.0  # noqa: E731
    lengths = play(stopper, lambda entropy: 0.98 if entropy == 0 else 0.02, sure, rounds=200)
    assert set(lengths[100:]) <= {3, 4}


def test_it_stops_drafting_where_drafting_does_not_pay_and_retries_rarely():
    lengths = play(make_stopper("throughput"), lambda _: 0.1, rounds=200, costs=(0.4, 0.02))
    drafting = [number for number, drafts in enumerate(lengths) if drafts]
    assert len([number for number in drafting if number < 64]) <= 8
    assert 1 <= len([number for number in drafting if number >= 64]) <= 8
    assert max(lengths[8:]) == 1


def test_it_drafts_again_once_drafting_pays():
    stopper = make_stopper("throughput")
    play(stopper, lambda _: 0.05, rounds=60, costs=(0.4, 0.02))
    assert np.mean(play(stopper, lambda _: 0.97, rounds=200, costs=(0.4, 0.02))[100:]) > 2


def test_a_copy_does_not_share_state():
    stopper = make_stopper("throughput")
    clone = copy.copy(stopper)
    clone.begin_round()
    clone.should_stop(step())
    clone.observe(1, 1)
    clone.observe_times(2, 1.0, 1.1)
    assert stopper.beliefs == Beliefs()
    assert (stopper.given_up, stopper.costs, stopper.steps) == ((), MeasuredCosts(), 1)
    assert clone.beliefs != Beliefs()


def test_dropped_drafts_are_no_evidence_of_acceptance_but_end_drafting():
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
