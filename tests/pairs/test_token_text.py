"""The text of a sequence of tokens, for every kind of tokenizer."""

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS
from adaedl.pairs.reading import load_tokenizer
from adaedl.pairs.token_text import TextStream, TokenReader, is_whole
from adaedl.pairs.weights import fetch_weights

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
# Emoji of one and of several characters, Japanese, Chinese, Arabic, Hebrew, and marks on letters.
SCRIPTS = [
    "✅",
    "🦊🎉",
    "👩\u200d👩\u200d👧",
    "🏳\ufe0f\u200d🌈",
    "水は青い",
    "你好，世界",
    "مرحبا بكم",
    "שלום",
    "e\u0301Z\u0351\u0316",
]
WORDS = ["▁", "▁▁", "▁Paris", "Paris", "▁is", "s", "水", "é", "▁�", "<s>", "</s>", ""]


def fast(model, decoder=None, **options) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(model)
    if decoder:
        tokenizer.decoder = decoder
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)


def byte_level() -> PreTrainedTokenizerFast:
    """Like GPT-2's: bytes, some tokens that start or end inside a character, and added tokens."""
    letters = bytes_to_unicode()
    spelled = [*([byte] for byte in range(256)), *map(str.encode, (" the", "水", "�", " 🦊"))]
    spelled += [" 🦊".encode()[:3], "🦊水".encode()[2:5], b"\xb0\xb4a"]
    vocab = {"".join(letters[byte] for byte in text): number for number, text in enumerate(spelled)}
    tokenizer = fast(models.BPE(vocab=vocab, merges=[]), decoders.ByteLevel())
    tokenizer.add_tokens(["<|im_end|>", "a b", "é", "水 "])
    return tokenizer


def llama() -> PreTrainedTokenizerFast:
    """SentencePiece's BPE with byte fallback, whose decoder drops the first space."""
    vocab = {token: number for number, token in enumerate([*BYTES, *WORDS])}
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer = fast(models.BPE(vocab=vocab, merges=[], byte_fallback=True), decoders.Sequence(parts))
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return tokenizer


def gemma() -> PreTrainedTokenizerFast:
    """Like `llama`, but the decoder keeps the first space."""
    tokenizer = llama()
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.backend_tokenizer.decoder = decoders.Sequence(parts)
    return tokenizer


def unigram() -> PreTrainedTokenizerFast:
    """SentencePiece's unigram model with byte fallback, and a clean-up of spaces that must not be done."""
    pieces = [(token, -1.0) for token in [*BYTES, *WORDS, "▁.", "▁'s"]]
    parts = [decoders.ByteFallback(), decoders.Metaspace()]
    model = models.Unigram(pieces, unk_id=0, byte_fallback=True)
    return fast(model, decoders.Sequence(parts), clean_up_tokenization_spaces=True)


def metaspace() -> PreTrainedTokenizerFast:
    """Like T5's, without bytes."""
    return fast(models.Unigram([(token, -1.0) for token in WORDS], unk_id=0), decoders.Metaspace())


def wordpiece() -> PreTrainedTokenizerFast:
    words = ["[UNK]", "paris", "##s", "##", ".", "'", "n't", "水", "a"]
    model = models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    return fast(model, decoders.WordPiece())


def end_of_word() -> PreTrainedTokenizerFast:
    """Like the first GPT's."""
    words = ["a</w>", "b", "c</w>", "</w>", "水</w>"]
    return fast(models.BPE({word: n for n, word in enumerate(words)}, []), decoders.BPEDecoder("</w>"))


def bare() -> PreTrainedTokenizerFast:
    """Words without a decoder, which are joined with spaces."""
    return fast(models.WordLevel({f"w{n}": n for n in range(8)}, unk_token="w0"))


def default() -> PreTrainedTokenizerFast:
    return load_tokenizer(fetch_weights(PRESETS[DEFAULT_PAIR].target).folder)


MADE = [byte_level, llama, gemma, unigram, metaspace, wordpiece, end_of_word, bare, default]


@pytest.fixture(scope="module", params=MADE, ids=lambda make: make.__name__)
def reader(request) -> TokenReader:
    return TokenReader(request.param())


def sequences(reader: TokenReader) -> st.SearchStrategy[list[int]]:
    """Return a strategy for sequences of any tokens, often with parts of characters."""
    ids = st.integers(0, len(reader.tokenizer) + 1)  # a model may have more tokens than its tokenizer
    parts = [n for n in range(len(reader.tokenizer)) if not is_whole(reader.bytes_of(n))]
    if reader.byte_fallback:
        parts = [*reader.tokenizer.convert_tokens_to_ids(["<0x20>", "<0x41>"]), *parts]
        letters = {byte for text in SCRIPTS for byte in text.encode()}
        spelled = reader.tokenizer.convert_tokens_to_ids([f"<0x{byte:02X}>" for byte in sorted(letters)])
        ids |= st.sampled_from(spelled)
    if parts:
        ids |= st.sampled_from(parts)
    some = st.text(max_size=6) | st.sampled_from(SCRIPTS)
    texts = some.map(lambda text: reader.tokenizer(text, add_special_tokens=False).input_ids)
    return st.lists(ids.map(lambda token: [token]) | texts, max_size=8).map(lambda lists: list(chain(*lists)))


@settings(max_examples=200)
@given(data=st.data())
def test_the_joined_pieces_are_the_tokenizer_s_decoding(reader, data):
    token_ids = data.draw(sequences(reader))
    cut = data.draw(st.integers(0, len(token_ids)))
    whole = reader.tokenizer.decode(token_ids, clean_up_tokenization_spaces=False)
    stream = TextStream(reader)
    stream._correct = lambda text: pytest.fail(f"{stream.text!r} for {text!r}")
    stream.add(token_ids[:cut])
    stream.add(token_ids[cut:])
    assert len(stream.pieces) == len(token_ids)
    assert "".join(stream.pieces) == stream.text
    stream.finish()
    assert "".join(stream.pieces) == stream.text == whole


@pytest.mark.parametrize("text", SCRIPTS)
def test_every_character_is_written_once_and_whole(reader, text):
    """The text is in tokens of single bytes if the vocabulary has them, else as the tokenizer splits it."""
    token_ids = reader.tokenizer(text, add_special_tokens=False).input_ids
    letters = bytes_to_unicode()
    if in_bytes := reader.byte_level or reader.byte_fallback:
        names = [letters[byte] if reader.byte_level else f"<0x{byte:02X}>" for byte in text.encode()]
        token_ids = reader.tokenizer.convert_tokens_to_ids(names)
        assert b"".join(map(reader.bytes_of, token_ids)) == text.encode()
    whole = reader.decode(token_ids)
    assert not in_bytes or whole == text
    stream = TextStream(reader)
    for token in token_ids:
        stream.add([token])
        assert "".join(stream.pieces) == stream.text
        assert "\ufffd" not in stream.text or "\ufffd" in whole
    stream.finish()
    assert stream.text == whole


def test_a_sequence_of_decoders_writes_only_whole_characters():
    tokenizer = byte_level()
    strip = [decoders.ByteLevel(), decoders.Strip("é", 0, 1)]
    tokenizer.backend_tokenizer.decoder = decoders.Sequence(strip)
    reader = TokenReader(tokenizer)
    assert reader.bytes_of("水".encode()[0]) == "水".encode()[:1]
    stream = TextStream(reader)
    stream.add("水🦊".encode())
    assert (stream.text, stream.pieces) == ("水🦊", ["", "", "水", "", "", "", "🦊"])
    stream.add("é".encode())
    stream.finish()
    assert stream.text == "".join(stream.pieces) == reader.decode([*"水🦊é".encode()])


def test_a_character_belongs_to_the_token_that_completes_it():
    for make, spelled in ((byte_level, None), (llama, "<0x{:02X}>")):
        tokenizer = make()
        letters = bytes_to_unicode()
        names = [spelled.format(byte) if spelled else letters[byte] for byte in "水🦊".encode()]
        stream = TextStream(TokenReader(tokenizer))
        stream.add(tokenizer.convert_tokens_to_ids(names))
        assert stream.pieces == ["", "", "水", "", "", "", "🦊"]


def test_an_incomplete_character_appears_only_at_the_end_of_a_text():
    reader = TokenReader(byte_level())
    stream = TextStream(reader)
    stream.add("a🦊".encode()[:-1])  # tokens 0 to 255 are the bytes
    assert (stream.text, stream.pieces) == ("a", ["a", "", "", ""])
    stream.finish()
    assert stream.text == "a\ufffd"


def test_invalid_bytes_change_the_pieces_of_their_run():
    stream = TextStream(TokenReader(llama()))
    stream.add("水".encode())
    assert stream.pieces == ["", "", "水"]
    stream.add([0x80])
    assert stream.pieces == ["\ufffd"] * 4
    assert stream.text == "\ufffd" * 4


def test_the_end_of_sequence_token_is_not_part_of_the_text():
    tokenizer = llama()
    paris, end = tokenizer.convert_tokens_to_ids(["▁Paris", "</s>"])
    stream = TextStream(TokenReader(tokenizer), frozenset({end}))
    stream.add([paris, end])
    stream.finish()
    assert (stream.text, stream.pieces) == ("Paris", ["Paris", ""])


def test_a_single_token_keeps_its_leading_space_and_its_bytes():
    for make, name, text in (
        (llama, "▁Paris", b" Paris"),
        (llama, "▁▁", b"  "),
        (llama, "<0x20>", b" "),
        (llama, "<0xE6>", b"\xe6"),
        (metaspace, "▁Paris", b" Paris"),
        (byte_level, "Ġthe", b" the"),
        (byte_level, "æ", b"\xe6"),
        (byte_level, "a b", b"a b"),
        (wordpiece, "paris", b"paris"),
    ):
        tokenizer = make()
        token = tokenizer.convert_tokens_to_ids(name)
        reader = TokenReader(tokenizer)
        assert reader.bytes_of(token) == text
        assert reader.text(token) == text.decode(errors="replace")
    assert reader.bytes_of(len(tokenizer)) == b""  # a model may have more tokens than its tokenizer


def test_the_cost_of_a_growing_text_is_linear():
    reader = TokenReader(llama())
    decode, decoded = reader.decode, []
    reader.decode = lambda token_ids: decoded.append(len(token_ids)) or decode(token_ids)
    paris = reader.tokenizer.convert_tokens_to_ids("▁Paris")
    for more in ([paris] * 300, list("水".encode()) * 300, [0xE6] * 300):
        decoded.clear()
        stream = TextStream(reader)
        stream.add(more)
        stream.finish()
        assert sum(decoded) <= 6 * len(more)
