"""Profile: the draft length with the most tokens per second, for known clocks and acceptance rates."""

import copy
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaedl.stopping import DraftStep, Stopper, make_stopper


def drafted(stopper: Stopper) -> int:
    """Begin a round; return how many tokens it drafts."""
    if not stopper.begin_round():
        return 0
    steps = (DraftStep(0.5, 0.8, 0.6, 0.8, position) for position in range(1, stopper.max_draft + 1))
    return next((each.position for each in steps if stopper.should_stop(each)), stopper.max_draft)


def play(stopper: Stopper, rounds: int, rate, seconds) -> list[int]:
    """Play rounds in which position i is accepted with probability rate(i) and n drafts take seconds(n);
    return their draft lengths."""
    random, lengths = Random(0), []
    for _ in range(rounds):
        length = drafted(stopper)
        accepted = next((n for n in range(length) if random.random() >= rate(n + 1)), length)
        stopper.observe(length, accepted)
        stopper.observe_times(accepted + 1, 1.0, seconds(length))
        lengths.append(length)
    return lengths


def tokens(rate: float, length: int) -> float:
    """Return the expected tokens of a round of this length if every position has the same acceptance rate."""
    return sum(rate**i for i in range(length + 1))


def test_the_acceptance_rate_of_a_position_is_a_moving_average():
    stopper = make_stopper("profile")
    stopper.observe(3, 1)  # accepted, rejected, never judged
    assert (stopper.rates[:3], stopper.reached[:3]) == ((1.0, 0.0, 0.0), (1, 1, 0))
    stopper.observe(3, 3)
    assert stopper.rates[:3] == pytest.approx((1.0, 0.1, 1.0))
    stopper.observe(2, 0)
    assert stopper.rates[:3] == pytest.approx((0.9, 0.1, 1.0))
    assert stopper.reached[:3] == (3, 2, 1)


def test_expected_tokens_use_only_the_rates_that_count():
    stopper = make_stopper("profile:trusted=2,max_draft=4")
    stopper.rates, stopper.reached = (0.8, 0.5, 0.3, 0.0), (9, 2, 1, 0)
    # The third and fourth position do not count yet and have the second's rate.
    expected = [1, 1.8, 2.2, 2.4, 2.5]
    assert [stopper.expected_tokens(n) for n in range(5)] == pytest.approx(expected)
    assert stopper.limit == 3


def test_a_cost_is_clamped_and_interpolated_between_lengths():
    stopper = make_stopper("profile")
    for drafts, seconds in ((0, 1.0), (4, 2.0), (4, 2.2), (4, 100.0), (4, 0.001)):
        stopper.observe(drafts, 0)
        stopper.observe_times(1, 0.9, seconds)
    # 2 + 0.3·0.2; then 0.3 times a quarter up, and as much down.
    assert stopper.costs[4] == pytest.approx(2.06 * 1.075 * 0.925)
    assert stopper.cost(0) == 1.0
    assert stopper.cost(1) == pytest.approx(1 + (stopper.costs[4] - 1) / 4)
    assert stopper.cost(9) == stopper.costs[4]  # unknown beyond


def test_the_length_grows_from_0_as_acceptance_is_measured():
    stopper = make_stopper("profile")
    lengths = play(stopper, 60, lambda _: 1.0, lambda n: 1 + 0.01 * n)
    assert lengths[:2] == [0, 1]
    assert all(later <= max(lengths[:number]) + 1 for number, later in enumerate(lengths) if number)
    assert lengths.index(2) >= 10  # the first position counts from its tenth round on
    assert lengths[-1] >= 5


@pytest.mark.parametrize(("rate", "cost"), [(0.9, 0.02), (0.8, 0.1), (0.6, 0.05), (0.7, 0.2)])
def test_it_converges_to_about_the_best_length(rate, cost):
    def seconds(n: int) -> float:
        return 1 + cost * n

    lengths = play(make_stopper("profile"), 1500, lambda _: rate, seconds)[-300:]
    speed = sum(tokens(rate, n) for n in lengths) / sum(map(seconds, lengths))
    assert speed > 0.95 * max(tokens(rate, n) / seconds(n) for n in range(13))


def test_it_stops_drafting_if_nothing_is_accepted_and_retries_ever_less_often():
    lengths = play(make_stopper("profile"), 1500, lambda _: 0.0, lambda n: 1 + 0.2 * n)
    assert max(lengths) <= 2
    tries = [number for number, length in enumerate(lengths) if length and number > 60]
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert all(later == min(2 * earlier, 512) for earlier, later in pairwise(gaps))
    assert len(tries) >= 3


def test_it_drafts_again_once_drafting_pays():
    stopper = make_stopper("profile")
    play(stopper, 200, lambda _: 0.0, lambda n: 1 + 0.2 * n)
    assert stopper.best_length == 0
    lengths = play(stopper, 3000, lambda _: 0.95, lambda n: 1 + 0.02 * n)
    assert lengths[-1] >= 4


def test_a_duration_of_zero_is_not_a_measurement():
    stopper = make_stopper("profile")
    for seconds in (0.0, -1.0):
        stopper.observe(0, 0)
        stopper.observe_times(1, 0.0, seconds)
    assert set(stopper.costs) == {None}
    lengths = [drafted(stopper) for _ in range(20)]
    assert 1 in lengths  # it still tries


def test_more_drafts_than_max_draft_are_clipped():
    stopper = make_stopper("profile:max_draft=1")
    stopper.observe(3, 1)
    stopper.observe_times(2, 1.0, 1.5)
    assert (stopper.rates, stopper.reached, stopper.costs) == ((1.0,), (1,), (None, 1.5))


def test_a_copy_is_independent():
    stopper = make_stopper("profile")
    clone = copy.copy(stopper)
    before = vars(copy.copy(stopper))
    play(clone, 40, lambda _: 0.7, lambda n: 1 + 0.1 * n)
    assert vars(stopper) == before
    assert sum(clone.reached) > 0


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e6)), max_size=60),
    st.integers(1, 64),
    st.integers(1, 1000),
)
def test_the_length_stays_between_0_and_the_limit(round_, max_draft, trusted):
    stopper = make_stopper(f"profile:max_draft={max_draft},trusted={trusted}")
    for share, seconds in round_:
        length = drafted(stopper)
        assert 0 <= length <= stopper.limit <= max_draft
        accepted = round(share * length)
        stopper.observe(length, accepted)
        stopper.observe_times(accepted + 1, seconds, seconds)
