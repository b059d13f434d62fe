"""What tokens say: the text and the bytes of one, and the text of a sequence while it grows.

A token need not be text by itself. A byte-level vocabulary splits characters between tokens, SentencePiece
writes a character it lacks as one token a byte and drops the space before the first word, and WordPiece puts
spaces between. So the text of a sequence is the tokenizer's decode of all of it, never a join of its tokens'
texts. `TextStream` gives that text token by token at the cost of what is new.
"""

import codecs
import json
import re
from collections.abc import Iterable
from functools import cached_property

BYTE_TOKEN = re.compile("<0x([0-9A-Fa-f]{2})>")  # as SentencePiece names them
WORD_START = "▁"  # what it writes for a space


class TokenReader:
    """Reads tokens with a tokenizer of transformers."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
        form = json.loads(decoder.__getstate__()) if decoder else {}
        parts = form["decoders"] if form.get("type") == "Sequence" else [form]
        kinds = {part.get("type") for part in parts}
        self.byte_level = kinds == {"ByteLevel"}
        self.byte_fallback = "ByteFallback" in kinds
        self.spaces_marked = WORD_START in json.dumps(form, ensure_ascii=False)
        self._bytes: dict[int, bytes] = {}

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of a sequence, as it was written: transformers' clean-up would remove spaces."""
        return self.tokenizer.decode(token_ids, clean_up_tokenization_spaces=False)

    def text(self, token_id: int) -> str:
        """Return the text of one token within a sequence, its leading space included; a part of a character
        reads as �."""
        return self.bytes_of(token_id).decode(errors="replace")

    def bytes_of(self, token_id: int) -> bytes:
        """Return what one token within a sequence adds to the text's UTF-8."""
        if token_id not in self._bytes:
            self._bytes[token_id] = self._read(token_id)
        return self._bytes[token_id]

    def knows(self, token_id: int) -> bool:
        """Return whether the tokenizer has that token; a model may have more, which are no part of a text."""
        return self._name(token_id) is not None

    def is_byte(self, token_id: int) -> bool:
        """Return whether a token stands for one byte, in a vocabulary that spells unknown characters in
        bytes."""
        return self.byte_fallback and bool(BYTE_TOKEN.fullmatch(self._name(token_id)))

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
    """The text of a sequence of tokens while it grows.

    `pieces` holds what each token adds to the text: nothing where it only begins a character, the whole
    character where it completes one. The pieces joined are `text`, the decode of all tokens but the beginning
    of a character that the last ones may hold; `finish` adds that. Where a run of byte tokens turns out not
    to be UTF-8, pieces of that run change.

    Args:
        skipped: tokens that are no part of the text, such as the end of a sequence.
    """

    def __init__(self, reader: TokenReader, skipped: frozenset[int] = frozenset()):
        self.reader = reader
        self.skipped = skipped
        self.pieces: list[str] = []
        self.text = ""
        self._token_ids: list[int] = []
        self._places: list[int] = []  # of those tokens among the pieces
        self._decoder = _ByteLevel(reader) if reader.byte_level else _Pieces(reader)

    def add(self, token_ids: Iterable[int]) -> None:
        """Append tokens."""
        for token in token_ids:
            self.pieces.append("")
            if token not in self.skipped and self.reader.knows(token):
                self._token_ids.append(token)
                self._places.append(len(self.pieces) - 1)
                self._set_last(self._decoder.add(token))

    def finish(self) -> None:
        """Take the tokens so far for all there are."""
        self._set_last(self._decoder.finish())
        text = self.reader.decode(self._token_ids)
        if text != self.text:  # a tokenizer that decodes in a way unknown here
            self._correct(text)

    def _set_last(self, pieces: list[str]) -> None:
        places = self._places[len(self._places) - len(pieces) :]
        changed = any(self.pieces[place] for place in places)
        for place, piece in zip(places, pieces, strict=True):
            self.pieces[place] = piece
        self.text = "".join(self.pieces) if changed else self.text + "".join(pieces)

    def _correct(self, text: str) -> None:
        start = 0
        for place in self._places:
            piece = self.pieces[place]
            self.pieces[place] = piece if text.startswith(piece, start) else ""
            start += len(self.pieces[place])
        if self._places:
            self.pieces[self._places[-1]] += text[start:]
        self.text = text


class _ByteLevel:
    """Every token is some bytes of the text, and bytes that are not UTF-8 read as �."""

    def __init__(self, reader: TokenReader):
        self.reader = reader
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.last = ""

    def add(self, token: int) -> list[str]:
        """Return the pieces of the last tokens, as many as changed."""
        self.last = self.decoder.decode(self.reader.bytes_of(token))
        return [self.last]

    def finish(self) -> list[str]:
        rest = self.decoder.decode(b"", final=True)
        return [self.last + rest] if rest else []


class _Pieces:
    """Every token is some text that depends on the ones right before it, as tokenizers decode them, but for
    runs of byte tokens: such a run is characters where all of it is UTF-8, and else one � for each byte."""

    def __init__(self, reader: TokenReader):
        self.reader = reader
        self.context: list[int] = []  # what decides how the next token reads; its own text is not empty
        self.run: list[int] = []
        self.run_pieces: list[str] = []
        self.decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self.broken = False

    def add(self, token: int) -> list[str]:
        """Return the pieces of the last tokens, as many as changed."""
        if self.reader.is_byte(token):
            return self._add_byte(token)
        return [*self.finish(), *self._add_whole([token])]

    def finish(self) -> list[str]:
        """End a run of bytes."""
        if not self.run:
            return []
        pieces, run = self.run_pieces, self.run
        if not self.broken and self.decoder.getstate()[0]:  # it ends within a character
            pieces = ["�"] * len(run)
        text = "".join(self._add_whole(run))
        if "".join(pieces) != text:  # such as for a space that opens the sequence
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
        """Return the text that tokens add after the context, as the piece of the last; then they are the
        context."""
        decode = self.reader.decode
        known, text = decode(self.context), decode([*self.context, *tokens])
        added = text[len(known) :] if text.startswith(known) else decode(tokens)
        self.context = tokens[-1:] if decode(tokens[-1:]) else [*self.context, *tokens]
        return [added]
