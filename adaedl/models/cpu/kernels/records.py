"""Structures that Python fills in and kernels read: the addresses and counts of a call's data."""

import ctypes

import numpy as np


def _record(name: str, *fields) -> tuple[type[ctypes.Structure], np.dtype]:
    """Return a structure of 64-bit numbers and structures: as ctypes for Python, as dtype for the kernels."""
    typed = [field if isinstance(field, tuple) else (field, INT64) for field in fields]
    structure = type(name, (ctypes.Structure,), {"_fields_": [(field, kinds[0]) for field, kinds in typed]})
    return structure, np.dtype([(field, kinds[1]) for field, kinds in typed])


INT64 = (ctypes.c_int64, np.int64)
FLOAT64 = (ctypes.c_double, np.float64)
# Fields are addresses (0 for a missing tensor) and counts.
Product, PRODUCT = _record("Product", "weight", "bias", "scale", "sums", "inputs", "outputs", "bfloat16")
NormRecord, NORM = _record("NormRecord", "used", "weight", "bias", "center", ("eps", FLOAT64))
# A step of a forward. `source` and `to` are BUFFERS. `layer` is the index of its layer in the cache, `column`
# the index of its input among the hidden states, and `rotary` the index of its rotary table; −1 for none.
Step, STEP_OF_FORWARD = _record(
    "Step",
    *("kind", "source", "to", "sink", "activation", "layer", "column"),
    *("rotary", "rotated", "window", "per_head"),
    *(("product", (Product, PRODUCT)), ("norm", (NormRecord, NORM)), ("key_norm", (NormRecord, NORM))),
)
ForwardCall, FORWARD = _record(
    "ForwardCall",
    *("steps", "step_count", "hidden", "heads", "kv_heads", "head_dim", "widest", "embeddings", "vocab_size"),
    *(("eps", FLOAT64), ("embedding_scale", FLOAT64)),
    *(("attention_scale", FLOAT64), ("attention_softcap", FLOAT64), ("logit_softcap", FLOAT64)),
    *("token_ids", "rows", "start", "cache", "cache_layer", "rotaries", "logits", "first_logits"),
    *("features", "feature_columns", "feature_width"),
    *(("from_token", (Product, PRODUCT)), ("from_seen", (Product, PRODUCT)), "seen", "own"),
    *("tails", "tail_capacity", "drafts"),
    *("x", "queries", "attended", "gated", "branch", "scratch", "scratch_bytes", "wrong_token"),
)
MultiplyCall, MULTIPLY = _record(
    "MultiplyCall",
    *(("product", (Product, PRODUCT)), "x", "rows", "sink", "activation", "out", "scratch", "scratch_bytes"),
)
ReadCall, READ = _record(
    "ReadCall",
    *("logits", "noisy", "seed", "position", "vocab", "size", "places", "numbers", "scratch"),
    *((name, FLOAT64) for name in ("temperature", "score_temperature")),
)
NoiseCall, NOISE = _record("NoiseCall", "seed", "first", "rows", "vocab", "size", "out", "scratch")
ChooseCall, CHOOSE = _record(
    "ChooseCall",
    *("logits", "noisy", "seed", "position", "rows", "size", "best", "places", "chosen", "undefined"),
    *("tops", "scratch", "scratch_bytes"),
    ("temperature", FLOAT64),
)
# A team's work: the address of a call's record, and the tick of its first step.
JobRecord, JOB = _record(
    "JobRecord", "kind", "call", "steps", "tick", "threads", "lines", "states", "state_bytes"
)
FORWARDS, MULTIPLIES, CHOOSES = range(3)  # kinds of jobs
# Kinds of a forward's steps.
START, SEEN, PROJECT, ROTATE, ATTEND, DENSE, ADD_NORMED, HEAD = range(8)
BUFFERS = X, ATTENDED, GATED, BRANCH = range(4)
# How a product y is written: as it is, added to the destination, act(y), act(a)·b of its halves, soft-capped.
STORE, ADD, ACTIVATE, GATE, CAP = range(5)
ACTIVATIONS = ("silu", "gelu", "gelu_tanh")
SILU, GELU, GELU_TANH = range(3)
