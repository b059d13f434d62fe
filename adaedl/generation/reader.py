"""A transformers model that reads tokens into a cache and can rewind it."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationMixin

from adaedl.errors import UserError
from adaedl.models.context_length import longest_text

# The name of a model's cache argument; later versions of transformers shortened it.
CACHE = (
    "cache"
    if "cache" in inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    else "past_key_values"
)


class Reader:
    """Reads one text with a model, whatever devices its layers are on.

    Args:
        model: a causal language model of transformers.
        cache: a cache of transformers, which may already hold the beginning of the text; None for a new one.
        mask, positions: [1, T] attention mask and position ids of the prompt, None for the defaults.
        most: the maximum number of tokens to read.
        device: where tokens come from and logits go to.

    Attributes:
        length: tokens in the cache.
        home: the device on which the model expects tokens.
        context: the number of tokens up to which reading several at once equals reading them one by one.

    Raises:
        UserError: the cache cannot be rewound.
    """

    def __init__(
        self,
        model,
        cache,
        mask: Tensor | None,
        positions: Tensor | None,
        most: int,
        device: torch.device,
    ):
        self.model, self.device = model, device
        # If layers are offloaded, the hooks around them move their inputs.
        self.home = device if model.device.type == "meta" else model.device
        # Without a configuration no layer drops tokens outside its window, so every layer can be rewound.
        self.cache = DynamicCache() if cache is None else cache
        parameters = inspect.signature(model.forward).parameters
        self.takes_keep = "logits_to_keep" in parameters
        self.mask = None if mask is None else extend(mask, most, step=0).to(self.home)
        self.positions = None
        if "position_ids" in parameters:
            if positions is None:
                positions = torch.zeros(1, 1, dtype=torch.long)
            self.positions = extend(positions, most, step=1).to(self.home)
        self.vocabulary = model.config.get_text_config().vocab_size
        self.context = longest_text(model)
        self.length = int(self.cache.get_seq_length())
        self._check_cache()

    def _check_cache(self) -> None:
        stuck = {type(layer).__name__ for layer in self.cache.layers if not can_rewind(layer)}
        if stuck:
            raise UserError(
                "The cache has layers that cannot be rewound ({}), so rejected drafts would stay in it; use "
                "cache_implementation='dynamic'.",
                ", ".join(sorted(stuck)),
            )

    def read(self, ids: Tensor, keep: int = 1) -> Tensor:
        """Append ids [1, T] to the cache; return the logits [keep, V], float32, after the last `keep`."""
        stop = self.length + ids.shape[1]
        options = {CACHE: self.cache, "use_cache": True}
        if self.mask is not None:
            options["attention_mask"] = self.mask[:, :stop]
        if self.positions is not None:
            options["position_ids"] = self.positions[:, self.length : stop]
        if self.takes_keep:
            options["logits_to_keep"] = keep
        # A token beyond a draft's smaller vocabulary is read as the vocabulary's last token. That changes the
        # next drafts, but never what the target accepts.
        ids = ids.clamp(max=self.vocabulary - 1).to(self.home)
        first = not self.length
        inputs = self.model.prepare_inputs_for_generation(ids, is_first_iteration=first, **options)
        logits = self.model(**inputs, return_dict=True).logits
        self.length = stop
        if first:  # some layers are set up only now
            self._check_cache()
        return logits[0, -keep:].to(self.device, torch.float32, copy=True)

    def prefill(self, ids: Tensor, chunk: int | None = None) -> None:
        """Append ids [1, T], `chunk` tokens at a time."""
        for part in ids.split(chunk or max(1, ids.shape[1]), dim=1):
            if part.shape[1]:
                self.read(part)

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens. Call it after each verification, because layers with a
        window drop here the tokens that have left the window."""
        removed, self.length = self.length - length, length
        for layer in self.cache.layers:
            if hasattr(layer, "crop"):
                layer.crop(-removed)
            else:  # static layers of earlier versions of transformers, which overwrite the removed tokens
                layer.cumulative_length.sub_(removed)

    def record_past(self, on: bool) -> None:
        """Set whether layers with a window keep the tokens that leave it until they are rewound."""
        for layer in self.cache.layers:
            if hasattr(layer, "record_past"):
                layer.record_past = on


def extend(prompt: Tensor, length: int, step: int) -> Tensor:
    """Return a row [1, T] with one number per token, extended to at least `length` tokens in steps of
    `step`."""
    more = torch.arange(1, length - prompt.shape[1] + 1, device=prompt.device, dtype=prompt.dtype)
    last = prompt[:, -1:] if step else torch.ones_like(prompt[:, -1:])
    return torch.cat((prompt, last + step * more), dim=1)


def can_rewind(layer) -> bool:
    """Return whether a layer of a cache can be restored to its state before its last tokens."""
    # Quantised layers can crop only the part that is not quantised yet.
    if "quantized" in type(layer).__name__.lower():
        return False
    return getattr(layer, "is_croppable", False) or type(layer).__name__ == "StaticLayer"
