"""A pair: a target, its drafter, and the tokenizer, device and kernels that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from adaedl.earlier_texts import EarlierTexts
from adaedl.errors import Sentence
from adaedl.pairs.chat import own_template
from adaedl.pairs.prompt_encoder import PromptEncoder
from adaedl.pairs.token_text import TextStream, TokenReader, is_whole
from adaedl.request import check_prompt

if TYPE_CHECKING:  # slow to import, and the page describes pairs before it loads one
    import torch

    from adaedl.models.drafters.base import Drafter
    from adaedl.models.protocol import Runner


@dataclass
class Pair:
    """A loaded target and its drafter.

    Attributes:
        device: of token ids and logits of both models. It holds the drafter, and also the target unless that
            is `spread` over several devices.
        weights: a description of the weights in use.
        eos_ids: the token ids that end a text.
        encoder: turns a prompt into token ids, by default with the tokenizer's own chat template if it has
            one.
        read_draft, choose: the device's kernels that choose a drafted token and the target's tokens, see
            `adaedl.models.token_choice`.
        earlier_texts: what this pair's races and recordings have shown. Stoppers may start from it.
        draft_bits: bits per weight of the target's own copy; None if something else drafts.
        tuned: AdaEDL's spec with settings tuned for this pair; None if there is none.
    """

    name: str
    target: Runner
    drafter: Drafter
    tokenizer: object
    device: torch.device
    dtype: torch.dtype
    target_name: str
    draft_name: str
    weights: str
    eos_ids: frozenset[int] = field(default_factory=frozenset)
    spread: tuple[str, ...] = ()
    encoder: PromptEncoder | None = None
    read_draft: Callable | None = None
    choose: Callable | None = None
    earlier_texts: EarlierTexts = field(default_factory=EarlierTexts)
    draft_bits: int | None = None
    tuned: str | None = None

    @property
    def max_context(self) -> int:
        """The greatest number of tokens in prompt and answer together."""
        return min(self.target.max_context, self.drafter.max_context)

    @property
    def where(self) -> str:
        """All devices of the pair, such as "cpu" or "cuda:0+cuda:1"."""
        return "+".join(dict.fromkeys((str(self.device), *self.spread)))

    @property
    def dtype_name(self) -> str:
        """The name of the dtype, such as "float32"."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def slow_forwards(self) -> list[Sentence]:
        """One sentence for each model that runs on transformers' own forward on a CPU, with the reason."""
        runners = [(self.target_name, self.target)]
        draft = getattr(self.drafter, "runner", self.target)
        if draft is not self.target:
            runners.append((self.draft_name, draft))
        reasons = [(name, getattr(runner, "reason", None)) for name, runner in runners]
        return [
            Sentence("{} runs on transformers' own forward pass, which is slower, because {}.", name, reason)
            for name, reason in reasons
            if reason
        ]

    @property
    def runs_on(self) -> str:
        """Devices and dtype, such as "cpu/float32"."""
        return f"{self.where}/{self.dtype_name}"

    def encode(self, prompt: str, system: str = "", continuation: bool = False) -> torch.Tensor:
        """Return the token ids [T] of a prompt, as a user turn if the tokenizer has a chat template.

        Args:
            system, continuation: as in `PromptEncoder.encode`.

        Raises:
            UserError: the prompt is empty, is not text, or cannot be read as text by the tokenizer; or the
                model does not accept a system prompt.
        """
        import torch

        check_prompt(prompt)
        if self.encoder is None:
            template = own_template(self.tokenizer, self.target_name)
            render = template.render if template else None
            self.encoder = PromptEncoder(self.tokenizer, render, self.target_name)
        ids = self.encoder.encode(prompt, system, continuation)
        return torch.tensor(ids, dtype=torch.long, device=self.device)

    @cached_property
    def token_reader(self) -> TokenReader:
        return TokenReader(self.tokenizer)

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of token_ids without end-of-sequence tokens."""
        return self.token_reader.decode([i for i in token_ids if i not in self.eos_ids])

    def text_stream(self) -> TextStream:
        """Return a stream for a growing sequence, with the same text as `decode`."""
        return TextStream(self.token_reader, self.eos_ids)

    def token_text(self, token_id: int) -> str:
        """Return the text of one token, including a leading space; a part of a character becomes �."""
        return self.token_reader.text(token_id)

    def token_bytes(self, token_ids: Iterable[int]) -> dict[str, str]:
        """Return the bytes in hexadecimal, by token id, of the tokens that are not whole characters."""
        read = self.token_reader.bytes_of
        return {str(token): text.hex() for token in token_ids if not is_whole(text := read(token))}
