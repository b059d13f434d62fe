"""Attention of one head for one row."""

import numpy as np

from adaedl.models.cpu.jit import compiled, sums_in_any_order
from adaedl.models.cpu.kernels.activations import exp, tanh
from adaedl.models.cpu.kernels.intrinsics import float32s
from adaedl.models.cpu.kernels.norms import dot


@sums_in_any_order
def exponentiate_scores(scores, count):
    """Replace scores [count] by exp(score − maximum), the numerators of softmax; return their sum."""
    largest = scores[0]
    for i in range(1, count):
        largest = max(largest, scores[i])
    total = np.float32(0)
    for i in range(count):
        scores[i] = exp(scores[i] - largest)
        total += scores[i]
    return total


@compiled
def score_keys(query, keys, width, d, scale, scores, first, count):
    """Write the scores of keys [count, 2, kv_heads, d] to `scores`, from index `first` on."""
    for t in range(count):
        scores[first + t] = dot(query, float32s(keys + 8 * t * width), d) * scale


@compiled
def add_values(scores, first, keys, width, d, count, out):
    """Add to `out` the values beside the keys [count, 2, kv_heads, d], weighted by the scores from index
    `first` on."""
    for t in range(count):
        value, weight = float32s(keys + 8 * t * width + 4 * width), scores[first + t]
        for i in range(d):
            out[i] += weight * value[i]


@compiled
def attend_head(f, step, item, scratch, work):
    """Write the output of attention of one head for one row, [d], to `work`; `scratch` holds the scores."""
    d, group = f.head_dim, f.heads // f.kv_heads
    width, scale = f.kv_heads * d, np.float32(f.attention_scale)
    scores, out = float32s(scratch), float32s(work)
    row, head = item // f.heads, item % f.heads
    query = float32s(f.queries + 4 * item * d)
    keys = f.cache + step.layer * f.cache_layer + 4 * (head // group) * d
    shared, drafts = f.start + row + 1, 0
    tail = keys
    if f.tails:
        shared, drafts = f.start + row, f.drafts + 1
        tail = f.tails + 4 * (row * f.tail_capacity * 2 * width + (head // group) * d)
    if step.window and shared > step.window:
        keys += 8 * (shared - step.window) * width
        shared = step.window
    score_keys(query, keys, width, d, scale, scores, 0, shared)
    score_keys(query, tail, width, d, scale, scores, shared, drafts)
    if f.attention_softcap:
        cap = np.float32(f.attention_softcap)
        for t in range(shared + drafts):
            scores[t] = cap * tanh(scores[t] / cap)
    total = exponentiate_scores(scores, shared + drafts)
    for i in range(d):
        out[i] = np.float32(0)
    add_values(scores, 0, keys, width, d, shared, out)
    add_values(scores, shared, tail, width, d, drafts, out)
    for i in range(d):
        out[i] /= total
