"""From a prompt to the token ids that a model reads. What a person typed stays text: only the chat template
and the tokenizer itself write control tokens.
"""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Callable
from functools import cached_property
from itertools import count
from typing import NamedTuple

from adaedl.errors import UserError, first_line, is_failure
from adaedl.pairs.chat import template_source

SHORTEST_CONTROL_TOKEN = 3  # characters of a control token that the tokenizer does not mark as special


class Typed(str):
    """A part of the prompt that looks like a control token."""


class PromptEncoder:
    """Encodes a prompt as the first turn of a chat, or as it is for a base model.

    A prompt that holds no control token is rendered and tokenised as `apply_chat_template` does it. In any
    other prompt, what looks like a control token becomes ordinary tokens: the chat template renders the
    prompt with marks in their place, so that every control token in the rendered text is the template's own;
    stand-ins replace those, and a copy of the tokenizer that knows only the stand-ins reads the whole text.

    Args:
        tokenizer: the target's.
        render: returns the text that the chat template makes of a prompt; None for a base model, which
            continues the prompt.
        name: the target's, for errors.
    """

    def __init__(self, tokenizer, render: Callable[[str], str] | None, name: str):
        self.tokenizer = tokenizer
        self.render = render
        self.name = name
        self.control_tokens = control_tokens(tokenizer)
        unknown = self.control_tokens.get(unknown_token(tokenizer))
        self._control_ids = frozenset(self.control_tokens.values()) - {unknown}

    def encode(self, prompt: str) -> list[int]:
        """Return the token ids of a prompt.

        Raises:
            UserError: the tokenizer or the chat template fails, or the tokenizer reads nothing in it, or can
                read a part of it only as a control token.
        """
        try:
            ids = self._encode(prompt)
        except BaseException as error:
            if isinstance(error, UserError) or not is_failure(error):
                raise
            reason = first_line(error).rstrip(".")
            raise UserError(
                "The tokenizer of {} fails ({}); choose another model.", self.name, reason
            ) from error
        if not ids:
            raise UserError(
                "The tokenizer of {} finds no tokens in this prompt; write another one.", self.name
            )
        return ids

    def _encode(self, prompt: str) -> list[int]:
        if self._has_control_tokens(prompt):
            return self._encode_as_text(prompt)
        if self.render:
            return self.tokenizer(self.render(prompt), add_special_tokens=False).input_ids
        return self.tokenizer(prompt).input_ids

    def leading_control_token(self, text: str) -> int | None:
        """Return the id of the control token that a text begins with, white space aside; None where there is
        none."""
        found = self._control_token.match(text.lstrip()) if self.control_tokens else None
        return found and self.control_tokens[found.group()]

    def _has_control_tokens(self, prompt: str) -> bool:
        if not self.control_tokens:
            return False
        if self._control_token.search(prompt):
            return True
        # The tokenizer may find one that is spelled otherwise, such as in capitals.
        ids = self.tokenizer(prompt, add_special_tokens=False).input_ids
        return not self._control_ids.isdisjoint(ids)

    def _encode_as_text(self, prompt: str) -> list[int]:
        parts = self._parts(prompt)
        for broken in (False, True):
            read = self._reader.read(parts, broken, whole=self.render is None)
            if self._control_ids.isdisjoint(read.from_text):
                return read.ids
        found = self._control_token.search(prompt)
        raise UserError(
            "The tokenizer of {} can read {!r} only as a control token; remove it from the prompt.",
            self.name,
            found.group() if found else prompt,
        )

    def _parts(self, prompt: str) -> list[str | int]:
        """Return the rendered prompt in parts: text, `Typed` text, and the ids of the template's control
        tokens."""
        if self.render is None:
            return self._split(prompt, Typed)
        # Private characters and digits, which no template trims, and which no change of case alters.
        begin, end = f"\ue000{secrets.randbits(64)}-", "\ue001"
        typed, numbers = self._control_token.findall(prompt), count()
        rendered = self.render(self._control_token.sub(lambda _: f"{begin}{next(numbers)}{end}", prompt))
        parts = []
        for place, piece in enumerate(re.split(f"{begin}(\\d+){end}", rendered)):
            parts += [Typed(typed[int(piece)])] if place % 2 else self._split(piece, self.control_tokens.get)
        return parts

    def _split(self, text: str, means: Callable[[str], str | int]) -> list[str | int]:
        """Return a text in parts, and what each control token in it means."""
        pieces = re.split(f"({self._control_token.pattern})", text)
        return [means(piece) if place % 2 else piece for place, piece in enumerate(pieces) if piece]

    @cached_property
    def _control_token(self) -> re.Pattern:
        longest_first = sorted(self.control_tokens, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))

    @cached_property
    def _reader(self):
        return (FastReader if self.tokenizer.is_fast else SlowReader)(self.tokenizer, self.control_tokens)


def control_tokens(tokenizer) -> dict[str, int]:
    """Return the ids of a tokenizer's control tokens, by their text: its special tokens, and added tokens
    that its chat template names, such as <think>. Other added tokens are text, such as Gemma's line breaks.
    """
    source = template_source(tokenizer)

    def controls(token) -> bool:
        if token.special or token.content in tokenizer.all_special_tokens:
            return True
        marks = len(token.content.strip()) >= SHORTEST_CONTROL_TOKEN and not token.content.isalnum()
        return marks and token.content in source

    added = tokenizer.added_tokens_decoder.items()
    return {token.content: index for index, token in added if token.content and controls(token)}


def unknown_token(tokenizer) -> str | None:
    """Return the token that a tokenizer reads unknown words as, anywhere in a text; None where there is none,
    or where it is a control token as well, as in GPT-2."""
    roles = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    unknown = roles.pop("unk_token", None)
    return None if unknown in roles.values() else unknown


class Read(NamedTuple):
    """The ids of a text, and those of them that the tokenizer found in what is text."""

    ids: list[int]
    from_text: list[int]


class FastReader:
    """Reads text with a tokenizer of the library tokenizers: control tokens as text, and ids as they are."""

    def __init__(self, tokenizer, control_tokens: dict[str, int]):
        from tokenizers import AddedToken

        self.backend = copy.deepcopy(tokenizer.backend_tokenizer)
        self.backend.no_truncation()
        self.backend.no_padding()
        self.backend.encode_special_tokens = True  # as text, that is
        self.backend.add_special_tokens(list(control_tokens))  # those that were not special are text, too
        nonce = secrets.randbits(64)
        added = tokenizer.added_tokens_decoder
        self.stand_ins = {index: f"\ue002{nonce}-{index}\ue003" for index in control_tokens.values()}
        self.gap = f"\ue002{nonce}-gap\ue003"
        tokens = [
            AddedToken(
                stand_in,
                lstrip=added[index].lstrip,
                rstrip=added[index].rstrip,
                single_word=added[index].single_word,
                normalized=False,
            )
            for index, stand_in in self.stand_ins.items()
        ]
        self.backend.add_tokens([*tokens, AddedToken(self.gap, normalized=False)])
        self.meaning = {self.backend.token_to_id(text): index for index, text in self.stand_ins.items()}

    def read(self, parts: list[str | int], broken: bool, whole: bool) -> Read:
        """Read a text at once.

        Args:
            parts: text, and ids.
            broken: read each `Typed` text in two halves.
            whole: with what the tokenizer puts around a text.
        """
        texts = []
        for part in parts:
            if isinstance(part, int):
                texts.append(self.stand_ins[part])
            else:
                texts.append(
                    self.gap.join((part[:1], part[1:])) if broken and isinstance(part, Typed) else part
                )
        encoding = self.backend.encode("".join(texts), add_special_tokens=whole)
        around = encoding.special_tokens_mask
        from_text = [i for i, is_around in zip(encoding.ids, around, strict=True) if not is_around]
        gap = self.backend.token_to_id(self.gap)
        return Read([self.meaning.get(index, index) for index in encoding.ids if index != gap], from_text)


class SlowReader:
    """Reads text with a tokenizer in Python, which reads the text between two control tokens apart anyway."""

    def __init__(self, tokenizer, control_tokens: dict[str, int]):
        self.tokenizer = tokenizer

    def read(self, parts: list[str | int], broken: bool, whole: bool) -> Read:
        """Return what `FastReader.read` does."""
        pieces = [""]
        for part in parts:
            if isinstance(part, int):
                pieces += [part, ""]
            elif broken and isinstance(part, Typed):
                pieces[-1] += part[:1]
                pieces.append(part[1:])
            else:
                pieces[-1] += part
        ids, from_text = [], []
        for piece in pieces:
            if isinstance(piece, int):
                ids.append(piece)
            else:
                read = self.tokenizer(piece, add_special_tokens=False, split_special_tokens=True).input_ids
                ids += read
                from_text += read
        return Read(self.tokenizer.build_inputs_with_special_tokens(ids) if whole else ids, from_text)
