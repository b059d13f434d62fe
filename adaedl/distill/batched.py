"""Run the target for many sequences at once to write teacher text. Matrix products are large and in
`product_dtype`; attention and sampling are compiled by Numba. Each row has its own position."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.cpu.jit import sums_in_any_order
from adaedl.models.cpu.kernels.attention import exponentiate_scores
from adaedl.models.rotary import Rotary, default_frequencies, pair_rotary_rows

FEATURE_LAYERS = (8, 15, 22, 29, 30)
NOISE_TABLE = 2**24
LOGIT_ROWS = 64  # rows whose logits are computed together, few enough to stay in the cache until read


def product_dtype() -> torch.dtype:
    """Return the dtype that this processor multiplies matrices fastest in: bfloat16 if it has instructions
    for bfloat16, otherwise float32. With these instructions bfloat16 is twice as fast as float32, without
    them nine times as slow."""
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


@sums_in_any_order
def attend_rows(queries, keys, values, positions, scores, out):
    """Write the attention of queries [B, kv_heads, group, d] over keys [B, kv_heads, d, capacity] and values
    [B, kv_heads, capacity, d] up to and including each row's position, to `out`. The inner loops process four
    dimensions or four positions at a time. scores [capacity + 4] is scratch memory."""
    rows, kv_heads, group, d = queries.shape
    scale = np.float32(1 / np.sqrt(d))
    for row in range(rows):
        count = positions[row] + 1
        for head in range(kv_heads):
            key, value = keys[row, head], values[row, head]
            for member in range(group):
                query, result = queries[row, head, member], out[row, head, member]
                scores[: count + 4] = 0
                for i in range(0, d, 4):
                    for t in range(count):
                        scores[t] += scale * (
                            query[i] * key[i, t]
                            + query[i + 1] * key[i + 1, t]
                            + query[i + 2] * key[i + 2, t]
                            + query[i + 3] * key[i + 3, t]
                        )
                total = exponentiate_scores(scores, count)
                result[:] = 0
                for t in range(0, count, 4):
                    for i in range(d):
                        result[i] += (
                            scores[t] * value[t, i]
                            + scores[t + 1] * value[t + 1, i]
                            + scores[t + 2] * value[t + 2, i]
                            + scores[t + 3] * value[t + 3, i]
                        )
                for i in range(d):
                    result[i] /= total


@sums_in_any_order
def draw(logits, temperatures, noise, starts, out):
    """Write the argmax of logits [B, V] + temperature · noise to out [B]. Each row reads the noise from its
    own index in `starts` on."""
    rows, size = logits.shape
    for row in range(rows):
        best, temperature = np.float32(-np.inf), temperatures[row]
        row_noise = noise[starts[row] : starts[row] + size]
        for token in range(size):
            score = logits[row, token] + temperature * row_noise[token]
            if score > best:
                best, out[row] = score, token


class BatchedTeacher:
    """The target for many sequences at once. Each row has its own position in `positions` [B].

    Text written in bfloat16 teaches as well as text written in float32. The drafter is evaluated, and
    decoding is verified, in float32.
    """

    def __init__(self, model, rows: int, capacity: int, generator: torch.Generator):
        config = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.eps = config.head_dim, config.rms_norm_eps
        frequencies = default_frequencies(self.head_dim, config.rope_parameters["rope_theta"])
        self.rotary = Rotary(frequencies)(0, capacity)
        self.dtype = product_dtype()
        self.embeddings = model.get_input_embeddings().weight.detach()
        self.head = self.embeddings.to(self.dtype)
        self.final_norm = model.model.norm.weight.detach()
        self.layers = [self._weights(layer) for layer in model.model.layers]
        capacity += -capacity % 4
        self.keys = torch.zeros(len(self.layers), rows, self.kv_heads, self.head_dim, capacity)
        self.values = torch.zeros(len(self.layers), rows, self.kv_heads, capacity, self.head_dim)
        self.positions = torch.zeros(rows, dtype=torch.long)
        self.scores = np.empty(capacity + 4, np.float32)
        # New noise for every row, step and token would take longer than the model, so rows read one long
        # table from random indices on. This is good enough for teacher text; decoding generates its own
        # noise.
        self.generator = generator
        uniform = torch.rand(NOISE_TABLE, generator=generator).clamp_(1e-20, 1 - 1e-7)
        self.noise = -torch.log(-torch.log(uniform))

    def _weights(self, layer) -> tuple[Tensor, ...]:
        attention, mlp = layer.self_attn, layer.mlp
        q, k, v = (p.weight.detach() for p in (attention.q_proj, attention.k_proj, attention.v_proj))
        qkv = torch.cat((pair_rotary_rows(q, self.head_dim), pair_rotary_rows(k, self.head_dim), v))
        gate_up = torch.cat((mlp.gate_proj.weight.detach(), mlp.up_proj.weight.detach()))
        weights = (
            qkv * layer.input_layernorm.weight.detach(),
            attention.o_proj.weight.detach(),
            gate_up * layer.post_attention_layernorm.weight.detach(),
            mlp.down_proj.weight.detach(),
        )
        return tuple(w.to(self.dtype) for w in weights)

    def restart(self, row: int, length: int) -> None:
        """Restart a row after its first `length` tokens."""
        self.positions[row] = length

    @torch.inference_mode()
    def step(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Append token_ids [B]; return the final hidden states [B, H] and features [B, layers, H] in
        float16."""
        rows, rotating = len(token_ids), self.heads + self.kv_heads
        every = torch.arange(rows)
        factors = self.rotary[self.positions]
        features = []
        x = self.embeddings[token_ids]
        attended = torch.empty(rows, self.kv_heads, self.heads // self.kv_heads, self.head_dim)
        for index, (qkv, attention_out, gate_up, down) in enumerate(self.layers):
            normed = F.rms_norm(x, x.shape[-1:], eps=self.eps)
            if index in FEATURE_LAYERS:
                features.append(normed.half())
            heads = F.linear(normed.to(self.dtype), qkv).float().view(rows, -1, self.head_dim)
            rotated = Rotary.apply(heads[:, :rotating], factors)
            keys, values = self.keys[index], self.values[index]
            keys[every, :, :, self.positions] = rotated[:, self.heads :]
            values[every, :, self.positions] = heads[:, rotating:]
            queries = rotated[:, : self.heads].reshape_as(attended)
            arrays = (queries, keys, values, self.positions)
            attend_rows(*(array.numpy() for array in arrays), self.scores, attended.numpy())
            x = x + F.linear(attended.view(rows, -1).to(self.dtype), attention_out)
            normed = F.rms_norm(x, x.shape[-1:], eps=self.eps).to(self.dtype)
            gate, up = F.linear(normed, gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, down)
        self.positions += 1
        hidden = F.rms_norm(x, x.shape[-1:], self.final_norm, self.eps)
        features.append(F.rms_norm(hidden, x.shape[-1:], eps=1e-5).half())
        return hidden, torch.stack(features, 1)

    @torch.inference_mode()
    def draw(self, hidden: Tensor, temperatures: Tensor) -> list[int]:
        """Draw a token for each row of hidden [B, H] at the row's temperature in temperatures [B]."""
        size = len(self.head)
        starts = torch.randint(NOISE_TABLE - size, (len(hidden),), generator=self.generator)
        tokens = torch.empty(len(hidden), dtype=torch.long)
        for first in range(0, len(hidden), LOGIT_ROWS):
            rows = slice(first, first + LOGIT_ROWS)
            logits = F.linear(hidden[rows].to(self.dtype), self.head).float()
            arrays = (logits, temperatures[rows], self.noise, starts[rows], tokens[rows])
            draw(*(array.numpy() for array in arrays))
        return tokens.tolist()
