"""Any causal language model of transformers as a runner."""

import inspect

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.errors import Sentence
from adaedl.models.context_length import longest_text
from adaedl.models.layer_types import WINDOWS, cannot_rewind
from adaedl.models.protocol import Output
from adaedl.models.refusals import failures_refused


class TransformersCache:
    """A DynamicCache of transformers, which grows with the text; `rewind` crops it."""

    def __init__(self, layers=None):
        from transformers import DynamicCache

        self.layers = layers or DynamicCache()

    @property
    def length(self) -> int:
        return self.layers.get_seq_length()

    def rewind(self, length: int) -> None:
        if length < self.length:
            self.layers.crop(length - self.length)

    def copy(self) -> "TransformersCache":
        clone = TransformersCache()
        for index, layer in enumerate(self.layers.layers):
            if layer.is_initialized:
                clone.layers.update(layer.keys.clone(), layer.values.clone(), index)
        return clone


class TransformersRunner:
    """Any causal language model of transformers, unchanged.

    Args:
        model: on one device, or dispatched over several. A dispatched model's hooks move tokens from `device`
            to its first part, activations from part to part, and the output back to `device`. Keys and values
            stay on the device of their layer.
        device: of token ids and outputs; by default the model's own device.

    Attributes:
        reason: why a model on a CPU does not run on the fast kernels, see `families.why_not_packed`.

    Raises:
        UserError: the model's cache cannot be rewound (state-space layers), or the model lacks something that
            a runner needs.
    """

    def __init__(self, model, device: torch.device | None = None):
        self.kind = model.config.model_type
        with failures_refused(self.kind):
            config = model.config.get_text_config()
            self.kind = config.model_type
            self.embeddings = model.get_input_embeddings().weight.detach()
            self.vocab_size = config.vocab_size
            self.max_context = longest_text(model)
        self.config = config
        self.layer_types = tuple(getattr(config, "layer_types", None) or ["full_attention"])
        if set(self.layer_types) - {"full_attention", *WINDOWS.values()}:
            raise cannot_rewind(self.kind, self.layer_types)
        self.model = model
        self.hidden_size = self.embeddings.shape[1]
        self.eps = getattr(config, "rms_norm_eps", 1e-5)
        self.device = device or model.device
        self.dtype = model.dtype
        self.path = "transformers"
        self.reason: Sentence | None = None
        self._parameters = inspect.signature(type(model).forward).parameters

    def takes(self, argument: str) -> bool:
        """Return whether the model's forward has this argument."""
        return argument in self._parameters

    def new_cache(self, capacity: int) -> TransformersCache:
        return TransformersCache()

    def forward(
        self,
        token_ids: Tensor,
        cache: TransformersCache,
        logits: str = "all",
        feature_layers: tuple[int, ...] = (),
    ) -> Output:
        options = {"logits_to_keep": 1} if logits != "all" and self.takes("logits_to_keep") else {}
        output = self.model(
            token_ids[None],
            past_key_values=cache.layers,
            use_cache=True,
            output_hidden_states=bool(feature_layers),
            **options,
        )
        features = None
        if feature_layers:
            chosen = [output.hidden_states[layer][0] for layer in feature_layers]
            features = torch.cat([F.rms_norm(h.float(), (h.shape[-1],), eps=self.eps) for h in chosen], -1)
        scores = output.logits[0]
        if logits != "all":
            scores = scores[-1:] if logits == "last" else None
        return Output(scores, features)

    def forward_whole(self, token_ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """Return the logits [T, V] of a text [T], read as a whole without a cache, at positions [T]
        (by default 0, 1, …)."""
        options = {"use_cache": False} if self.takes("use_cache") else {}
        if self.takes("attention_mask"):  # without it, a gap in the positions would separate two texts
            options["attention_mask"] = torch.ones_like(token_ids)[None]
        if positions is not None:
            options["position_ids"] = positions[None]
        return self.model(token_ids[None], **options).logits[0]
