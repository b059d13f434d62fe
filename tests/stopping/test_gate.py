"""The entropy gate: when it opens, when it closes, and its hysteresis."""

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaedl.stopping import DraftStep, Stopper, make_stopper
from adaedl.stopping.gate import RETRY_ROUNDS


def drafted(stopper: Stopper, entropy: float, later: float = 0.0) -> int:
    """Play a round in which the first draft has this entropy and the others `later`; return its length."""
    if not stopper.begin_round():
        return 0
    for position in range(1, stopper.max_draft + 1):
        if stopper.should_stop(DraftStep(entropy if position == 1 else later, 0.8, 0.6, 0.8, position)):
            return position
    return stopper.max_draft


def test_the_default_limits_are_those_of_the_authors_code_in_nats():
    stopper = make_stopper("gate")
    assert stopper.low == pytest.approx(0.6 * math.log(2), abs=0.005)
    assert stopper.high == pytest.approx(1.4 * math.log(2), abs=0.005)
    assert (stopper.k, stopper.max_draft, stopper.smoothing) == (5, 5, 0.65)


def test_it_closes_above_the_high_limit_and_opens_below_the_low_one():
    stopper = make_stopper("gate:k=3,low=0.4,high=1,smoothing=1")
    # Between the limits the gate keeps its state; a closed gate measures the entropy every fourth round.
    worked = [(0.2, 3), (0.99, 3), (1.01, 1), (0.1, 0), (0.1, 0), (0.1, 0), (0.7, 1)]
    worked += [(0.1, 0), (0.1, 0), (0.1, 0), (0.39, 3), (0.99, 3)]
    for entropy, length in worked:
        assert drafted(stopper, entropy) == length


def test_it_averages_the_entropy_of_the_first_draft_of_each_round():
    stopper = make_stopper("gate:smoothing=0.65")
    for entropy, average in ((0.5, 0.5), (1.0, 0.825), (0.2, 0.41875)):
        assert drafted(stopper, entropy, later=9.0) == 5
        assert stopper.entropy == pytest.approx(average)
    assert drafted(stopper, 1.3) == 1  # 0.65·1.3 + 0.35·0.41875 = 0.99
    assert (stopper.score, stopper.threshold) == (pytest.approx(math.exp(-0.9915625)), math.exp(-0.97))


def test_a_closed_gate_measures_the_entropy_every_fourth_round():
    stopper = make_stopper("gate")
    lengths = [drafted(stopper, 5.0) for _ in range(200)]
    assert lengths == [1, 0, 0, 0] * 50
    assert RETRY_ROUNDS == 4
    drafted(stopper, 0.0)
    later = [drafted(stopper, 0.0) for _ in range(20)]
    assert later[-1] == 5


def test_swapped_limits_do_not_keep_the_gate_closed():
    stopper = make_stopper("gate:low=3,high=1,smoothing=1")
    assert drafted(stopper, 2.0) == 1
    assert [drafted(stopper, 2.0) for _ in range(4)] == [0, 0, 0, 1]  # not below 1
    assert [drafted(stopper, 0.5) for _ in range(4)] == [0, 0, 0, 5]


def test_a_gate_that_drops_its_first_draft_still_measures_its_entropy():
    stopper = make_stopper("gate:keep_last=false,smoothing=1")
    assert drafted(stopper, 2.0) == 1
    stopper.observe(0, 0, 1)
    assert [drafted(stopper, 0.1) for _ in range(4)] == [0, 0, 0, 5]


def test_a_copy_is_independent():
    stopper = make_stopper("gate")
    clone = copy.copy(stopper)
    drafted(clone, 5.0)
    assert not clone.begin_round()
    assert (drafted(stopper, 0.1), stopper.entropy) == (5, pytest.approx(0.1))


@settings(max_examples=100)
@given(
    st.lists(st.floats(0, 12), max_size=60),
    st.integers(1, 64),
    st.floats(0, 20),
    st.floats(0, 20),
    st.floats(0.01, 1),
)
def test_a_round_drafts_k_1_or_0_tokens_and_at_most_three_in_a_row_draft_0(
    entropies, k, low, high, smoothing
):
    stopper = make_stopper(f"gate:k={k},low={low!r},high={high!r},smoothing={smoothing!r}")
    lengths = [drafted(stopper, entropy) for entropy in entropies]
    assert set(lengths) <= {0, 1, k}
    assert all(any(lengths[number : number + 4]) for number in range(len(lengths) - 3))
