import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaedl.models.drafters import text_memory
from adaedl.models.drafters.text_memory import LONGEST_MATCH, MAX_FOLLOWERS, TextMemory

TEXTS = st.lists(st.integers(0, 3), min_size=1, max_size=40)
DRAFTS = st.lists(st.integers(0, 3), max_size=6)


def memory_of(text: list[int], vocab=frozenset()) -> TextMemory:
    memory = TextMemory(vocab)
    memory.append(text)
    return memory


def followers_by_search(text: list[int], certain: int, drafted: list[int]) -> dict[int, int]:
    """Return the followers by their definition, searching every position of the text."""
    latest = text[:certain] + drafted
    expected: dict[int, int] = {}
    for length in range(1, LONGEST_MATCH + 1):
        for end in range(length, certain):
            if text[end - length : end] == latest[-length:]:
                expected[text[end]] = length
    return expected


@given(text=TEXTS, drafted=DRAFTS, data=st.data())
def test_followers_of_the_longest_match_are_found(text, drafted, data):
    certain = data.draw(st.integers(1, len(text)))
    assert memory_of(text).followers(certain, drafted) == followers_by_search(text, certain, drafted)


@given(text=TEXTS, drafted=DRAFTS, cuts=st.lists(st.integers(0, 40)), data=st.data())
def test_a_text_appended_in_pieces_is_the_same_text(text, drafted, cuts, data):
    memory, whole = TextMemory({0, 2}), memory_of(text, {0, 2})
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(text)], strict=True):
        memory.append(text[first:last])
        memory = data.draw(st.sampled_from([memory, memory.copy()]))
    certain = data.draw(st.integers(1, len(text)))
    assert (memory.text, memory.extra, memory.extra_since) == (whole.text, whole.extra, whole.extra_since)
    assert memory.followers(certain, drafted) == whole.followers(certain, drafted)


@given(text=TEXTS, drafted=DRAFTS, data=st.data(), max_followers=st.integers(1, 3))
def test_a_whole_text_answers_like_each_of_its_prefixes(text, drafted, data, max_followers):
    certain = data.draw(st.integers(1, len(text)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_memory, "MAX_FOLLOWERS", max_followers)
        whole, prefix = memory_of(text), memory_of(text[:certain])
        assert whole.followers(certain, drafted) == prefix.followers(certain, drafted)


def test_the_cost_of_a_lookup_does_not_grow_with_repetitions():
    memory = memory_of([7] * 8000)
    assert {context: list(followers) for context, followers in memory.tables[0].items()} == {
        (7,) * length: [7] for length in range(1, LONGEST_MATCH + 1)
    }
    assert memory.followers(8000, []) == {7: LONGEST_MATCH}


def test_a_context_keeps_a_bounded_number_of_its_first_followers():
    memory = memory_of([token for follower in range(1, 2000) for token in (0, follower)])
    memory = memory.copy()
    memory.append([token for follower in range(2000, 3000) for token in (0, follower)])
    assert memory.followers(len(memory.text), [0]) == dict.fromkeys(range(1, MAX_FOLLOWERS + 1), 1)


@given(text=TEXTS)
def test_the_texts_own_tokens_join_the_vocabulary_when_they_appear(text):
    memory = memory_of(text, {0, 2})
    assert list(memory.extra) == [t for t in dict.fromkeys(text) if t in {1, 3}]
    assert list(memory.extra.values()) == list(range(len(memory.extra)))
    assert memory.extra_since == [text.index(token) + 1 for token in memory.extra]


def test_a_phrase_and_its_matches():
    #              the  cat  sat  on   the  cat
    memory = memory_of([10, 11, 12, 13, 10, 11])
    assert memory.followers(6, []) == {12: 2}
    assert memory.followers(6, [12]) == {13: 3}
    assert memory.followers(6, [99]) == {}
    assert memory.followers(5, []) == {11: 1}
    assert memory.followers(1, []) == {}


@pytest.mark.parametrize("more", [[7], [10, 12]])
def test_a_copied_memory_is_independent(more):
    memory = memory_of([10, 11, 10])
    copy = memory.copy()
    copy.append(more)
    memory.append([11, 13])
    assert memory.followers(5, [10]) == followers_by_search([10, 11, 10, 11, 13], 5, [10])
    assert copy.followers(3 + len(more), [10]) == followers_by_search(
        [10, 11, 10, *more], 3 + len(more), [10]
    )
