"""The text and the bytes of a token, and the text of a growing sequence.

A token need not be text by itself. A byte-level vocabulary splits characters between tokens. SentencePiece
writes an unknown character as one token per byte and drops the space before the first word. WordPiece puts
spaces between words. So the text of a sequence is the tokenizer's decoding of the whole sequence, never the
joined texts of its tokens. `TextStream` returns this text token by token, and each token costs only its own
decoding.
"""

import codecs
import json
import re
from collections.abc import Iterable
from functools import cached_property

BYTE_TOKEN = re.compile("<0x([0-9A-Fa-f]{2})>")  # the name of a byte in SentencePiece
WORD_START = "▁"  # SentencePiece's mark for a space


class TokenReader:
    """Reads tokens with a transformers tokenizer."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
        form = json.loads(decoder.__getstate__()) if decoder else {}
        parts = form["decoders"] if form.get("type") == "Sequence" else [form]
        kinds = {part.get("type") for part in parts}
        self.byte_level = "ByteLevel" in kinds
        self.byte_fallback = "ByteFallback" in kinds
        self.spaces_marked = WORD_START in json.dumps(form, ensure_ascii=False)
        self._bytes: dict[int, bytes] = {}

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of a sequence without transformers' clean-up, which would remove spaces."""
        return self.tokenizer.decode(token_ids, clean_up_tokenization_spaces=False)

    def text(self, token_id: int) -> str:
        """Return the text of one token within a sequence, including a leading space; a part of a character
        becomes �."""
        return self.bytes_of(token_id).decode(errors="replace")

    def bytes_of(self, token_id: int) -> bytes:
        """Return the bytes that one token within a sequence adds to the UTF-8 text."""
        if token_id not in self._bytes:
            self._bytes[token_id] = self._read(token_id)
        return self._bytes[token_id]

    def knows(self, token_id: int) -> bool:
        """Return whether the tokenizer has a token. A model may have more tokens, which are not text."""
        return self._name(token_id) is not None

    def is_byte(self, token_id: int) -> bool:
        """Return whether a token is a single byte of a vocabulary that writes unknown characters as bytes."""
        return self.byte_fallback and bool(BYTE_TOKEN.fullmatch(self._name(token_id) or ""))

    def _name(self, token_id: int) -> str | None:
        return self.tokenizer.convert_ids_to_tokens(token_id)

    def _read(self, token_id: int) -> bytes:
        name = self._name(token_id)
        if name is None:
            return b""
        if self.byte_level and all(letter in self._byte_of_letter for letter in name):
            return bytes(self._byte_of_letter[letter] for letter in name)
        if self.byte_fallback and (byte := BYTE_TOKEN.fullmatch(name)):
            return bytes.fromhex(byte[1])
        if self.spaces_marked and WORD_START in name:
            return name.replace(WORD_START, " ").encode()
        return self.decode([token_id]).encode()

    @cached_property
    def _byte_of_letter(self) -> dict[str, int]:
        from transformers.convert_slow_tokenizer import bytes_to_unicode

        return {letter: byte for byte, letter in bytes_to_unicode().items()}


def is_whole(text: bytes) -> bool:
    """Return whether bytes are whole characters."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


class TextStream:
    """The text of a growing sequence of tokens.

    `pieces` holds the text that each token adds: nothing for a token that only starts a character, the whole
    character for a token that completes one. The joined pieces are `text`, the decoding of all tokens without
    an incomplete character at the end, which `finish` adds. If a run of byte tokens turns out not to be
    UTF-8, the pieces of the run change.

    Args:
        skipped: tokens that are not part of the text, such as the end of a sequence.
    """

    def __init__(self, reader: TokenReader, skipped: frozenset[int] = frozenset()):
        self.reader = reader
        self.skipped = skipped
        self.pieces: list[str] = []
        self.text = ""
        self._token_ids: list[int] = []
        self._indices: list[int] = []  # of these tokens' pieces
        self._decoder = _ByteLevel(reader) if reader.byte_level else _Pieces(reader)

    def add(self, token_ids: Iterable[int]) -> None:
        """Append tokens."""
        for token in token_ids:
            self.pieces.append("")
            if token not in self.skipped and self.reader.knows(token):
                self._token_ids.append(token)
                self._indices.append(len(self.pieces) - 1)
                self._set_last(self._decoder.add(token))

    def finish(self) -> None:
        """End the sequence: add an incomplete character, and make `text` the tokenizer's own decoding."""
        self._set_last(self._decoder.finish())
        text = self.reader.decode(self._token_ids)
        if text != self.text:  # the tokenizer decodes in a way unknown to this module
            self._correct(text)

    def _set_last(self, pieces: list[str]) -> None:
        indices = self._indices[len(self._indices) - len(pieces) :]
        changed = any(self.pieces[index] for index in indices)
        for index, piece in zip(indices, pieces, strict=True):
            self.pieces[index] = piece
        self.text = "".join(self.pieces) if changed else self.text + "".join(pieces)

    def _correct(self, text: str) -> None:
        start = 0
        for index in self._indices:
            piece = self.pieces[index]
            self.pieces[index] = piece if text.startswith(piece, start) else ""
            start += len(self.pieces[index])
        if self._indices:
            self.pieces[self._indices[-1]] += text[start:]
        self.text = text


class _ByteLevel:
    """Every token is a number of bytes of the text, and bytes that are not UTF-8 become �."""

    def __init__(self, reader: TokenReader):
        self.reader = reader
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.last = ""

    def add(self, token: int) -> list[str]:
        """Append a token; return the new pieces of the last tokens, as many as have changed."""
        self.last = self.decoder.decode(self.reader.bytes_of(token))
        return [self.last]

    def finish(self) -> list[str]:
        rest = self.decoder.decode(b"", final=True)
        return [self.last + rest] if rest else []


class _Pieces:
    """Every token is text that may depend on the tokens right before it, except for runs of byte tokens. A
    run is decoded to characters if all of it is UTF-8, otherwise to one � per byte."""

    def __init__(self, reader: TokenReader):
        self.reader = reader
        self.context: list[int] = []  # the tokens that the next token's text depends on; not empty as text
        self.run: list[int] = []
        self.run_pieces: list[str] = []
        self.decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self.broken = False

    def add(self, token: int) -> list[str]:
        """Append a token; return the new pieces of the last tokens, as many as have changed."""
        if self.reader.is_byte(token):
            return self._add_byte(token)
        return [*self.finish(), *self._add_whole([token])]

    def finish(self) -> list[str]:
        """End a run of bytes."""
        if not self.run:
            return []
        pieces, run = self.run_pieces, self.run
        if not self.broken and self.decoder.getstate()[0]:  # the run ends inside a character
            pieces = ["�"] * len(run)
        text = "".join(self._add_whole(run))
        if "".join(pieces) != text:  # for example if the sequence starts with a space
            pieces = [""] * (len(run) - 1) + [text]
        self.run, self.run_pieces, self.broken = [], [], False
        self.decoder.reset()
        return pieces

    def _add_byte(self, token: int) -> list[str]:
        self.run.append(token)
        try:
            piece = "�" if self.broken else self.decoder.decode(self.reader.bytes_of(token))
        except UnicodeDecodeError:
            self.broken = True
            self.run_pieces = ["�"] * len(self.run)
            return self.run_pieces
        self.run_pieces.append(piece)
        return [piece]

    def _add_whole(self, tokens: list[int]) -> list[str]:
        """Return the text that tokens add after the context, as one piece for the last token. These tokens
        become the context."""
        decode = self.reader.decode
        known, text = decode(self.context), decode([*self.context, *tokens])
        added = text[len(known) :] if text.startswith(known) else decode(tokens)
        self.context = tokens[-1:] if decode(tokens[-1:]) else [*self.context, *tokens]
        return [added]
