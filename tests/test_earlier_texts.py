"""What a pair remembers of its earlier texts."""

from adaedl.acceptance import DraftCount
from adaedl.earlier_texts import MOST_KEPT, EarlierTexts
from adaedl.request import Sampling
from adaedl.times import Times

COOL, WARM = Sampling(0.7), Sampling(1.0)


def times(seconds: float) -> Times:
    return Times([seconds], 0.1, 0.1, 0.0, 0.0, 0.0)


def test_drafts_are_counted_separately_for_each_setting():
    texts = EarlierTexts()
    texts.add("speculative", COOL, [(1.0, True)])
    texts.add("speculative", WARM, [(1.0, False)])
    texts.add("speculative", COOL, [(1.0, False)])
    assert texts.acceptance("speculative", COOL) == [DraftCount(1.0, 0.5, 1)]
    assert texts.acceptance("shared_noise", COOL) == []


def test_a_text_without_drafts_leaves_the_counts():
    texts = EarlierTexts()
    texts.add("speculative", COOL, [(1.0, True)])
    texts.add("speculative", COOL, [], times(1.0))
    assert texts.acceptance("speculative", COOL) == [DraftCount(1.0, 1, 0)]


def test_times_are_of_the_last_text_with_these_settings():
    texts = EarlierTexts()
    assert texts.times("speculative", COOL) is None
    texts.add("speculative", COOL, times=times(1.0))
    texts.add("speculative", WARM, times=times(2.0))
    texts.add("speculative", COOL, [(1.0, True)])
    assert texts.times("speculative", COOL) == times(1.0)
    assert texts.times("speculative", WARM) == times(2.0)


def test_the_first_text_with_its_settings_starts_from_the_times_of_the_last_one():
    texts = EarlierTexts()
    texts.add("speculative", COOL, times=times(1.0))
    texts.add("speculative", WARM, times=times(2.0))
    texts.add("shared_noise", WARM, [(1.0, True)])
    assert texts.times("shared_noise", WARM) == times(2.0)


def test_the_least_recent_settings_are_forgotten():
    texts = EarlierTexts()
    for number in range(MOST_KEPT + 1):
        texts.add("speculative", COOL, [(1.0, True)])
        texts.add("speculative", Sampling(1 + number / 100), [(1.0, True)])
    texts.add("speculative", Sampling(2))
    assert len(texts.experiences) == MOST_KEPT
    assert texts.acceptance("speculative", COOL)
    assert not texts.acceptance("speculative", WARM)
