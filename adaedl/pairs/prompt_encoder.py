"""Encode a prompt as the token ids that a model reads. The prompt stays text: only the chat template and the
tokenizer itself write control tokens.
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

SHORTEST_CONTROL_TOKEN = 3  # least characters of a control token that is not marked as special


class Typed(str):
    """A part of the prompt that is spelled like a control token."""


class PromptEncoder:
    """Encodes a prompt as the first turn of a chat, or unchanged for a base model and for a text to continue.

    A prompt without control tokens is rendered and tokenised as in `apply_chat_template`. In any other
    prompt, the parts that are spelled like control tokens become ordinary tokens. The chat template renders
    the prompt with marks in place of these parts, so that every control token in the rendered text is the
    template's own. Stand-ins then replace the template's control tokens, and a copy of the tokenizer that has
    no other control tokens than the stand-ins reads the whole text.

    Args:
        tokenizer: the target's.
        render: renders a prompt and a system prompt (empty if there is none) with the chat template; None for
            a base model, which continues the prompt.
        name: the target's name, for errors.
    """

    def __init__(self, tokenizer, render: Callable[..., str] | None, name: str):
        self.tokenizer = tokenizer
        self.render = render
        self.name = name
        self.control_tokens = control_tokens(tokenizer)
        unknown = unknown_token(tokenizer)
        self._control_ids = frozenset(
            index for token, index in self.control_tokens.items() if token != unknown
        )

    def encode(self, prompt: str, system: str = "", continuation: bool = False) -> list[int]:
        """Return the token ids of a prompt.

        Args:
            system: a system prompt for the chat template; empty for the template's default.
            continuation: read the prompt as the start of a text, without the chat template.

        Raises:
            UserError: the tokenizer or the chat template fails; there is a system prompt and the template
                does not accept one; the tokenizer finds no tokens in the prompt, or can read a part of it
                only as a control token.
        """
        render = None if continuation else self.render
        if system and render is None:
            raise UserError(
                "{} has no chat template, so it takes no system prompt; leave the system prompt empty.",
                self.name,
            )
        try:
            ids = self._encode(prompt, system, render)
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

    def _encode(self, prompt: str, system: str, render: Callable[..., str] | None) -> list[int]:
        if self._has_control_tokens(prompt) or (system and self._has_control_tokens(system)):
            return self._encode_as_text(prompt, system, render)
        if render:
            return self.tokenizer(render(prompt, system), add_special_tokens=False).input_ids
        return self.tokenizer(prompt).input_ids

    def leading_control_token(self, text: str) -> int | None:
        """Return the id of the control token at the start of a text, after white space, or None."""
        match = self._control_token.match(text.lstrip()) if self.control_tokens else None
        return self.control_tokens[match.group()] if match else None

    def _has_control_tokens(self, prompt: str) -> bool:
        if not self.control_tokens:
            return False
        if self._control_token.search(prompt):
            return True
        # The tokenizer may accept another spelling of a control token, such as in capitals.
        ids = self.tokenizer(prompt, add_special_tokens=False).input_ids
        return not self._control_ids.isdisjoint(ids)

    def _encode_as_text(self, prompt: str, system: str, render: Callable[..., str] | None) -> list[int]:
        parts = self._parts(prompt, system, render)
        for broken in (False, True):
            read = self._reader.read(parts, broken, whole=render is None)
            if self._control_ids.isdisjoint(read.from_text):
                return read.ids
        match = self._control_token.search(prompt) or self._control_token.search(system)
        raise UserError(
            "The tokenizer of {} can read {!r} only as a control token; remove it from the prompt.",
            self.name,
            match.group() if match else prompt,
        )

    def _parts(self, prompt: str, system: str, render: Callable[..., str] | None) -> list[str | int]:
        """Return the rendered prompt in parts: text, `Typed` text, and the ids of the template's control
        tokens."""
        if render is None:
            return self._split(prompt, Typed)
        # Private-use characters and digits, which no template trims and no change of case alters.
        begin, end = f"\ue000{secrets.randbits(64)}-", "\ue001"
        typed = [*self._control_token.findall(prompt), *self._control_token.findall(system)]
        numbers = count()

        def mark(text: str) -> str:
            return self._control_token.sub(lambda _: f"{begin}{next(numbers)}{end}", text)

        rendered = render(mark(prompt), mark(system))
        parts: list[str | int] = []
        for index, piece in enumerate(re.split(f"{begin}(\\d+){end}", rendered)):
            if index % 2:
                parts.append(Typed(typed[int(piece)]))
            else:
                parts += self._split(piece, self.control_tokens.__getitem__)
        return parts

    def _split(self, text: str, read_control_token: Callable[[str], str | int]) -> list[str | int]:
        """Return a text in parts, with `read_control_token` applied to each control token."""
        pieces = re.split(f"({self._control_token.pattern})", text)
        return [
            read_control_token(piece) if index % 2 else piece for index, piece in enumerate(pieces) if piece
        ]

    @cached_property
    def _control_token(self) -> re.Pattern:
        longest_first = sorted(self.control_tokens, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))

    @cached_property
    def _reader(self):
        return (FastReader if self.tokenizer.is_fast else SlowReader)(self.tokenizer, self.control_tokens)


def control_tokens(tokenizer) -> dict[str, int]:
    """Return the ids of a tokenizer's control tokens by their text: special tokens, and added tokens that
    occur in the chat template, such as <think>. Other added tokens, such as Gemma's line breaks, are text.
    """
    source = template_source(tokenizer)

    def is_control(token) -> bool:
        if token.special or token.content in tokenizer.all_special_tokens:
            return True
        is_markup = len(token.content.strip()) >= SHORTEST_CONTROL_TOKEN and not token.content.isalnum()
        return is_markup and token.content in source

    added = tokenizer.added_tokens_decoder.items()
    return {token.content: index for index, token in added if token.content and is_control(token)}


def unknown_token(tokenizer) -> str | None:
    """Return a tokenizer's token for unknown words, or None if there is none or if it is also a control
    token, as in GPT-2."""
    roles = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    unknown = roles.pop("unk_token", None)
    return None if unknown in roles.values() else unknown


class Read(NamedTuple):
    """The ids of a text, and the ids that the tokenizer read in its text parts."""

    ids: list[int]
    from_text: list[int]


class FastReader:
    """Reads parts with a tokenizer of the tokenizers library: control tokens as text, and ids unchanged."""

    def __init__(self, tokenizer, control_tokens: dict[str, int]):
        from tokenizers import AddedToken

        self.backend = copy.deepcopy(tokenizer.backend_tokenizer)
        self.backend.no_truncation()
        self.backend.no_padding()
        self.backend.encode_special_tokens = True  # read special tokens as text
        self.backend.add_special_tokens(list(control_tokens))  # so that all control tokens are read as text
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
        """Read all parts as one text.

        Args:
            parts: text and ids.
            broken: read each `Typed` text in two pieces.
            whole: add the tokens that the tokenizer puts around a text.
        """
        texts = []
        for part in parts:
            if isinstance(part, int):
                texts.append(self.stand_ins[part])
            else:
                is_broken = broken and isinstance(part, Typed)
                texts.append(self.gap.join((part[:1], part[1:])) if is_broken else part)
        encoding = self.backend.encode("".join(texts), add_special_tokens=whole)
        mask = encoding.special_tokens_mask
        from_text = [index for index, special in zip(encoding.ids, mask, strict=True) if not special]
        gap = self.backend.token_to_id(self.gap)
        return Read([self.meaning.get(index, index) for index in encoding.ids if index != gap], from_text)


class SlowReader:
    """Reads parts with a tokenizer written in Python, which reads text between control tokens separately
    anyway."""

    def __init__(self, tokenizer, control_tokens: dict[str, int]):
        self.tokenizer = tokenizer

    def read(self, parts: list[str | int], broken: bool, whole: bool) -> Read:
        """Return the same as `FastReader.read`."""
        ids: list[int] = []
        from_text: list[int] = []

        def read_text(text: str) -> None:
            read = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
            ids.extend(read)
            from_text.extend(read)

        text = ""
        for part in parts:
            if isinstance(part, int):
                read_text(text)
                ids.append(part)
                text = ""
            elif broken and isinstance(part, Typed):
                read_text(text + part[:1])
                text = part[1:]
            else:
                text += part
        read_text(text)
        return Read(self.tokenizer.build_inputs_with_special_tokens(ids) if whole else ids, from_text)
