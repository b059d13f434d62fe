"""SGLang's moving average and GammaTune, compared with values computed by hand from their formulas."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaedl.stopping import DraftStep, Stopper, make_stopper

rounds = st.lists(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=40)


def drafted(stopper: Stopper) -> int:
    """Return how many tokens the next round drafts."""
    assert stopper.begin_round()
    steps = (DraftStep(0.5, 0.8, 0.6, 0.8, position) for position in range(1, stopper.max_draft + 1))
    return next((each.position for each in steps if stopper.should_stop(each)), stopper.max_draft)


# SGLang's moving average.


def test_ema_has_the_defaults_of_sglang():
    defaults = {"k": 5, "smoothing": 0.2, "up": 0.0, "down": -0.25, "warmup": 10, "interval": 5}
    assert make_stopper("ema").settings == {**defaults, "max_draft": 12}


def test_ema_warms_up_for_10_rounds_and_then_changes_every_5_rounds():
    stopper = make_stopper("ema")
    lengths = []
    for _ in range(21):
        lengths.append(drafted(stopper))
        stopper.observe(
            lengths[-1], lengths[-1]
        )  # all accepted: the average approaches the length from below
    # The average starts at 4. After 15 rounds it is 5 − 0.8¹⁵ = 4.96 > 4.5, and 5 later 6 − 1.04·0.8⁵ > 5.5.
    assert lengths == [5] * 15 + [6] * 5 + [7]
    assert stopper.average == pytest.approx(0.8 * (6 - (1 + 0.8**15) * 0.8**5) + 0.2 * 7)


def test_ema_without_hysteresis_drafts_the_rounded_average_plus_1():
    stopper = make_stopper("ema:k=4,smoothing=1,down=0,warmup=0,interval=1")
    for accepted, length in ((3, 4), (1, 2), (2, 3), (3, 4), (0, 1), (1, 2)):
        stopper.observe(drafted(stopper), accepted)
        assert drafted(stopper) == length == accepted + 1


def test_ema_has_hysteresis():
    stopper = make_stopper("ema:k=3,smoothing=0.5,warmup=0,interval=1")
    # The average starts at 2. It must exceed 2.5 to rise to 4, and fall to 2.25 to return to 3.
    for accepted, average, length in ((3, 2.5, 3), (3, 2.75, 4), (2, 2.375, 4), (2, 2.1875, 3)):
        stopper.observe(drafted(stopper), accepted)
        assert (stopper.average, drafted(stopper)) == (pytest.approx(average), length)


def test_ema_falls_to_1_if_nothing_is_accepted():
    stopper = make_stopper("ema:k=12,smoothing=1,warmup=0,interval=1")
    for _ in range(50):
        stopper.observe(drafted(stopper), 0)
        assert drafted(stopper) == 1
    stopper.observe(1, 1)
    assert drafted(stopper) == 2


# GammaTune.


def test_gammatune_grows_after_full_acceptance_and_otherwise_drafts_the_rounded_average():
    stopper = make_stopper("gammatune:max_draft=10")
    worked = [
        # accepted, average, length
        (3, 3.0, 5),  # all: 3 + 2
        (5, 3.0, 7),
        (4, 3.3, 4),  # 0.7·3 + 0.3·4
        (1, 2.61, 3),
        (3, 2.61, 5),
        (0, 1.827, 2),
        (0, 1.2789, 2),
        (0, 1.0, 1),  # 0.895, clamped to 1
        (1, 1.0, 3),
    ]
    for accepted, average, length in worked:
        stopper.observe(drafted(stopper), accepted)
        assert (stopper.average, drafted(stopper)) == (pytest.approx(average), length)


def test_gammatune_stays_within_max_draft():
    stopper = make_stopper("gammatune:k=9,step=64,max_draft=6")
    assert drafted(stopper) == 6
    for _ in range(3):
        stopper.observe(6, 6)
        assert drafted(stopper) == 6
    stopper.observe(6, 5)
    assert (stopper.average, drafted(stopper)) == (pytest.approx(5.7), 6)


def test_a_draft_cut_short_by_the_end_of_the_text_is_not_a_full_acceptance():
    stopper = make_stopper("gammatune:k=5")
    stopper.observe(2, 2)
    assert (stopper.average, drafted(stopper)) == (pytest.approx(0.7 * 5 + 0.3 * 2), 5)


# Both.


@pytest.mark.parametrize("name", ["ema", "gammatune"])
def test_a_round_without_drafts_changes_nothing(name):
    stopper = make_stopper(name)
    before = vars(copy.copy(stopper))
    stopper.observe(0, 0)
    assert vars(stopper) == before


@pytest.mark.parametrize("name", ["ema", "gammatune"])
def test_a_copy_is_independent(name):
    stopper = make_stopper(name)
    clone = copy.copy(stopper)
    for _ in range(20):
        clone.observe(drafted(clone), 0)
    assert drafted(clone) == 1
    assert drafted(stopper) == stopper.k


@settings(max_examples=100)
@given(
    rounds,
    st.sampled_from(["ema:warmup=0,interval=1", "gammatune:step=3"]),
    st.integers(1, 64),
    st.integers(1, 64),
    st.floats(0, 1),
    st.sampled_from(["", ",up=5,down=5", ",up=-5,down=5", ",up=-5,down=-5"]),
)
def test_a_length_stays_between_1_and_max_draft(round_, spec, k, max_draft, smoothing, offsets):
    spec += f",k={k},max_draft={max_draft},smoothing={smoothing!r}" + offsets * spec.startswith("ema")
    stopper = make_stopper(spec)
    for drafts, accepted in round_:
        stopper.observe(drafts, accepted)
        assert 1 <= drafted(stopper) <= max_draft
