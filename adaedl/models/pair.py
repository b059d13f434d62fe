"""A pair: the target, its drafter, and what they share."""

from dataclasses import dataclass, field

import torch

from adaedl.errors import UserError
from adaedl.models.drafter import Drafter
from adaedl.models.runner import Runner


def check_prompt(prompt: str) -> None:
    """Raises UserError where a prompt is empty, or holds what no tokenizer reads."""
    if not prompt.strip():
        raise UserError("The prompt is empty; type a question or the beginning of a text.")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            "The prompt is not valid text: {!r} at character {} is half of a character; leave it out.",
            prompt[error.start],
            error.start + 1,
        ) from None


@dataclass
class Pair:
    """A target and its drafter, loaded. `weights` says in words which weights are used.

    `device` is where tokens go in and logits come out of both models. It holds the drafter, and the target
    too but where that is `spread` over several devices.
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
    _token_texts: dict[int, str] = field(default_factory=dict, repr=False)

    @property
    def max_context(self) -> int:
        """Tokens that fit, prompt and answer together."""
        return min(self.target.max_context, self.drafter.max_context)

    @property
    def where(self) -> str:
        """Every device that the pair is on, such as "cpu" or "cuda:0+cuda:1"."""
        return "+".join(dict.fromkeys((str(self.device), *self.spread)))

    def encode(self, prompt: str) -> torch.Tensor:
        """Token ids [T] of a prompt, as one turn of a chat where the tokenizer has a chat template.

        Raises:
            UserError: the prompt is empty or not text.
        """
        check_prompt(prompt)
        if getattr(self.tokenizer, "chat_template", None):
            turns = [{"role": "user", "content": prompt}]
            text = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
            ids = self.tokenizer(text, add_special_tokens=False).input_ids
        else:
            ids = self.tokenizer(prompt).input_ids
        return torch.tensor(ids, dtype=torch.long, device=self.device)

    def decode(self, token_ids: list[int]) -> str:
        """The text of token_ids, without the end-of-sequence mark."""
        return self.tokenizer.decode([i for i in token_ids if i not in self.eos_ids])

    def token_text(self, token_id: int) -> str:
        """The text of one token; a part of a character that no single token holds reads as �."""
        if token_id not in self._token_texts:
            self._token_texts[token_id] = self.tokenizer.decode([token_id])
        return self._token_texts[token_id]
