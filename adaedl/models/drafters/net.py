"""The feature drafter's network: one decoder layer over the target's hidden states.

The idea comes from EAGLE (arXiv 2401.15077), with features from several depths of the target as in EAGLE-3
(arXiv 2503.01840). Position i reads the embedding of token i together with the target's hidden states at
i − 1, which are known once the target has verified token i − 1, and predicts token i + 1. If token i − 1 is
itself a draft, its hidden states are not known yet. Position i then reads the drafter's own output at i − 1
instead, through a separate projection.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaedl.models.rotary import rotate


@dataclass(frozen=True)
class DrafterConfig:
    """Shapes of the drafter. `feature_layers` are indices into the target's hidden states, numbered as in
    transformers: 0 is the embedding, n the output of layer n, and the last one is normed."""

    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    feature_layers: tuple[int, ...]
    vocab_size: int

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "DrafterConfig":
        return cls(**{**values, "feature_layers": tuple(values["feature_layers"])})


def unit_rms(x: Tensor, eps: float) -> Tensor:
    """Return x [..., H] scaled to a root mean square of one."""
    return F.rms_norm(x, (x.shape[-1],), eps=eps)


def ridge(x: Tensor, y: Tensor) -> Tensor:
    """Return the W that minimises |x·W − y|² + ε|W|², with ε a thousandth of the mean diagonal of xᵀx."""
    gram = x.T @ x
    gram.diagonal().add_(1e-3 * gram.diagonal().mean())
    return torch.linalg.solve(gram, x.T @ y)


class DrafterNet(nn.Module):
    """The drafter's weights, and the parts of its forward pass that training and decoding share."""

    def __init__(self, config: DrafterConfig):
        super().__init__()
        self.config = config
        hidden, heads, kv_heads, d = (
            config.hidden_size,
            config.num_heads,
            config.num_kv_heads,
            config.head_dim,
        )
        self.from_token = nn.Linear(hidden, hidden, bias=False)
        self.from_features = nn.Linear(hidden * len(config.feature_layers), hidden, bias=False)
        self.from_own = nn.Linear(hidden, hidden, bias=False)
        self.attention_norm = nn.Parameter(torch.ones(hidden))
        self.qkv = nn.Linear(hidden, (heads + 2 * kv_heads) * d, bias=False)
        self.attention_out = nn.Linear(heads * d, hidden, bias=False)
        self.mlp_norm = nn.Parameter(torch.ones(hidden))
        self.gate_up = nn.Linear(hidden, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, hidden, bias=False)
        self.out_norm = nn.Parameter(torch.ones(hidden))
        self.head = nn.Linear(hidden, config.vocab_size, bias=False)

    def input(self, embeddings: Tensor, features: Tensor | None, own: Tensor | None) -> Tensor:
        """Return the residual stream [..., H] from token embeddings [..., H] and, one position back, either
        the target's features [..., n·H] or the drafter's own output [..., H]."""
        x = self.from_token(unit_rms(embeddings, 1e-12))
        return x + (self.from_features(features) if features is not None else self.from_own(own))

    def project_qkv(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries [..., heads, d], keys and values [..., kv_heads, d] for x [..., H]."""
        c = self.config
        normed = F.rms_norm(x, (c.hidden_size,), self.attention_norm, c.rms_norm_eps)
        q, k, v = (
            self.qkv(normed)
            .unflatten(-1, (-1, c.head_dim))
            .split((c.num_heads, c.num_kv_heads, c.num_kv_heads), -2)
        )
        return (
            rotate(q, cos[..., None, :], sin[..., None, :]),
            rotate(k, cos[..., None, :], sin[..., None, :]),
            v,
        )

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Return the drafter's own output [..., H], at unit root mean square, from the stream x [..., H] and
        the output of attention [..., heads·d]."""
        c = self.config
        x = x + self.attention_out(attended)
        gate, up = self.gate_up(F.rms_norm(x, (c.hidden_size,), self.mlp_norm, c.rms_norm_eps)).chunk(2, -1)
        x = x + self.down(F.silu(gate) * up)
        return unit_rms(x, c.rms_norm_eps)

    def logits(self, own: Tensor) -> Tensor:
        """Return the logits [..., trimmed vocabulary] of own output [..., H]."""
        return self.head(own * self.out_norm)
