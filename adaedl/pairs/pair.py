"""A pair: the target, its drafter, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from adaedl.errors import Sentence
from adaedl.pairs.chat import own_template
from adaedl.pairs.prompt_encoder import PromptEncoder
from adaedl.pairs.token_text import TextStream, TokenReader, is_whole
from adaedl.request import check_prompt

if TYPE_CHECKING:  # slow to import; the page says what a pair is before it needs one
    import torch

    from adaedl.models.drafters.base import Drafter
    from adaedl.models.protocol import Runner
    from adaedl.times import Times


@dataclass
class Pair:
    """A target and its drafter, loaded. `weights` says in words which weights are used.

    `device` is where tokens go in and logits come out of both models. It holds the drafter, and the target
    too but where that is `spread` over several devices. `encoder` turns a prompt into token ids, by default
    with the tokenizer's own chat template where it has one; `read_draft` reads a drafted token and `choose`
    the target's own ones with kernels of the device, see `adaedl.models.token_choice`. `times`
    are those of the last race or recording here, None before the first; stoppers may start from them.
    `draft_bits`: how many bits the weights of the target's own copy have; None where something else drafts.
    `tuned`: the spec of AdaEDL with settings for this pair; None where there is none.
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
    times: Times | None = None
    draft_bits: int | None = None
    tuned: str | None = None

    @property
    def max_context(self) -> int:
        """Tokens that fit, prompt and answer together."""
        return min(self.target.max_context, self.drafter.max_context)

    @property
    def where(self) -> str:
        """Every device that the pair is on, such as "cpu" or "cuda:0+cuda:1"."""
        return "+".join(dict.fromkeys((str(self.device), *self.spread)))

    @property
    def dtype_name(self) -> str:
        """Such as "float32"."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def slow_forwards(self) -> list[Sentence]:
        """Which models run on transformers' own forwards on a CPU, and why, a sentence each."""
        runners = [(self.target_name, self.target)]
        draft = getattr(self.drafter, "runner", self.target)
        if draft is not self.target:
            runners.append((self.draft_name, draft))
        return [
            Sentence(
                "{} runs on transformers' own forward pass, which is slower, because {}.", name, runner.reason
            )
            for name, runner in runners
            if getattr(runner, "reason", None)
        ]

    @property
    def runs_on(self) -> str:
        """Devices and dtype, such as "cpu/float32"."""
        return f"{self.where}/{self.dtype_name}"

    def encode(self, prompt: str) -> torch.Tensor:
        """Return the token ids [T] of a prompt, as a user's turn where the tokenizer has a chat template.

        Raises:
            UserError: the prompt is empty, not text, or nothing that the tokenizer can read as text.
        """
        import torch

        check_prompt(prompt)
        if self.encoder is None:
            template = own_template(self.tokenizer, self.target_name)
            self.encoder = PromptEncoder(self.tokenizer, template and template.render, self.target_name)
        return torch.tensor(self.encoder.encode(prompt), dtype=torch.long, device=self.device)

    @cached_property
    def token_reader(self) -> TokenReader:
        return TokenReader(self.tokenizer)

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of token_ids, without the end-of-sequence mark."""
        return self.token_reader.decode([i for i in token_ids if i not in self.eos_ids])

    def text_stream(self) -> TextStream:
        """Return the text of a sequence that grows, as `decode` has it."""
        return TextStream(self.token_reader, self.eos_ids)

    def token_text(self, token_id: int) -> str:
        """Return the text of one token, its leading space included; a part of a character reads as �."""
        return self.token_reader.text(token_id)

    def token_bytes(self, token_ids: Iterable[int]) -> dict[str, str]:
        """Return the bytes, in hexadecimal, of those tokens that are not whole characters by themselves."""
        read = self.token_reader.bytes_of
        return {str(token): text.hex() for token in token_ids if not is_whole(text := read(token))}
