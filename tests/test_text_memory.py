import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaedl.models.text_memory import LONGEST_MATCH, TextMemory

TEXTS = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def remembered(text: list[int], vocab=frozenset()) -> TextMemory:
    memory = TextMemory(vocab)
    memory.append(text)
    return memory


@given(text=TEXTS, drafted=st.lists(st.integers(0, 3), max_size=6), data=st.data())
def test_what_followed_the_longest_match_is_found(text, drafted, data):
    certain = data.draw(st.integers(1, len(text)))
    latest = text[:certain] + drafted
    expected: dict[int, int] = {}
    for length in range(1, LONGEST_MATCH + 1):
        for end in range(length, certain):
            if text[end - length : end] == latest[-length:]:
                expected[text[end]] = length
    assert remembered(text).followers(certain, drafted) == expected


@given(text=TEXTS, cuts=st.lists(st.integers(0, 40)))
def test_a_text_told_in_pieces_is_the_same_text(text, cuts):
    memory = TextMemory({0, 2})
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(text)], strict=True):
        memory.append(text[first:last])
    assert vars(memory) == vars(remembered(text, {0, 2}))


@given(text=TEXTS)
def test_the_texts_own_tokens_join_the_vocabulary_when_they_appear(text):
    memory = remembered(text, {0, 2})
    assert list(memory.extra) == [t for t in dict.fromkeys(text) if t in {1, 3}]
    assert list(memory.extra.values()) == list(range(len(memory.extra)))
    assert memory.extra_since == [text.index(token) + 1 for token in memory.extra]


def test_a_phrase_and_its_matches():
    #              the  cat  sat  on   the  cat
    memory = remembered([10, 11, 12, 13, 10, 11])
    assert memory.followers(6, []) == {12: 2}
    assert memory.followers(6, [12]) == {13: 3}
    assert memory.followers(6, [99]) == {}
    assert memory.followers(5, []) == {11: 1}
    assert memory.followers(1, []) == {}


@pytest.mark.parametrize("more", [[7], [10, 12]])
def test_a_copy_goes_on_apart_from_its_original(more):
    memory = remembered([10, 11, 10])
    before = memory.followers(3, [])
    memory.copy().append(more)
    assert memory.followers(3, []) == before
    assert vars(memory) == vars(remembered([10, 11, 10]))
