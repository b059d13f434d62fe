"""The steps of a forward: each is prepared, computed in chunks into a thread's own memory, and finished."""

import numpy as np

from adaedl.models.cpu.jit import compiled
from adaedl.models.cpu.kernels.attention import attend_head
from adaedl.models.cpu.kernels.heads import cache_row, norm_and_rotate_heads, store_heads
from adaedl.models.cpu.kernels.intrinsics import float32s, int64s
from adaedl.models.cpu.kernels.norms import norm, norm_row
from adaedl.models.cpu.kernels.products import (
    MAX_BLOCKS,
    NO_CAP,
    multiply_chunk,
    part_of,
    product_chunks,
    quantise_if_int8,
    store_chunk,
)
from adaedl.models.cpu.kernels.records import (
    ADD,
    ADD_NORMED,
    ATTEND,
    ATTENDED,
    BRANCH,
    DENSE,
    GATED,
    HEAD,
    PROJECT,
    ROTATE,
    SEEN,
    SILU,
    START,
    STORE,
)
from adaedl.models.cpu.kernels.tiles import BLOCK, ROWS

EMBEDDING_EPS = 1e-12  # of the norm of a drafter's embeddings


@compiled
def write_features(f, column, source):
    """Write rows [rows, H], each at unit root mean square, as one part of the features."""
    for row in range(f.rows):
        to = f.features + 4 * (row * f.feature_width + column * f.hidden)
        norm(source + 4 * row * f.hidden, 0, f.hidden, f.eps, to)


@compiled
def embedding_of(f, row):
    """Return the address of the embedding of a row's token."""
    token = int64s(f.token_ids)[row]
    if token < 0 or token >= f.vocab_size:
        int64s(f.wrong_token)[0] = 1
        token = 0
    return f.embeddings + 4 * token * f.hidden


# Each thread has its own scratch memory for a forward: `work` holds a chunk of a product or a head, `scales`
# and `rounded` the quantised input rows of a step, `normed` the normed ones, `scores` the attention scores.


@compiled
def work_of(f, thread):
    return f.scratch + thread * f.scratch_bytes


@compiled
def scales_of(f, thread):
    return work_of(f, thread) + 4 * max(MAX_BLOCKS * ROWS * BLOCK, f.head_dim)


@compiled
def rounded_of(f, thread):
    return scales_of(f, thread) + 4 * f.rows


@compiled
def normed_of(f, thread):
    return rounded_of(f, thread) + 4 * ((f.rows * f.widest + 3) // 4)


@compiled
def scores_of(f, thread):
    return normed_of(f, thread) + 4 * f.rows * f.hidden


@compiled
def buffer_of(f, which):
    if which == ATTENDED:
        return f.attended
    if which == GATED:
        return f.gated
    if which == BRANCH:
        return f.branch
    return f.x


@compiled
def column_of(f, step):
    """Return the column of the features for a step's input, or -1 if it is not a feature."""
    if not f.features or step.column < 0:
        return -1
    return int64s(f.feature_columns)[step.column]


@compiled
def chunks_of_step(f, step):
    """Return the number of chunks of a step. Chunks beyond those of a product write its input to the features
    or to the drafter's own output."""
    kind = step.kind
    if kind == START:
        return product_chunks(f.from_token, STORE, f.rows) if f.seen else f.rows
    if kind == SEEN:
        return product_chunks(f.from_seen, ADD, f.rows) if f.seen else 0
    if kind == ROTATE:
        return 2 * f.rows
    if kind == ATTEND:
        return f.rows * f.heads
    if kind == ADD_NORMED:
        return f.rows
    rows = f.rows - f.first_logits if kind == HEAD else f.rows
    chunks = product_chunks(step.product, step.sink, rows)
    return chunks + (column_of(f, step) >= 0) + (kind == HEAD and f.own != 0)


@compiled
def prepare_step(f, step, thread):
    """Norm and quantise a product's input in the thread's own memory; return its address."""
    rounded, scales, normed = rounded_of(f, thread), scales_of(f, thread), normed_of(f, thread)
    kind = step.kind
    if kind == START and f.seen:
        for row in range(f.rows):
            norm(embedding_of(f, row), 0, f.hidden, EMBEDDING_EPS, normed + 4 * row * f.hidden)
        return quantise_if_int8(f.from_token, normed, f.rows, rounded, scales)
    if kind == SEEN:
        return quantise_if_int8(f.from_seen, f.seen, f.rows, rounded, scales)
    if kind not in (PROJECT, DENSE, HEAD):
        return 0
    source = buffer_of(f, step.source)
    if step.norm.used:
        for row in range(f.rows):
            norm_row(step.norm, source + 4 * row * f.hidden, f.hidden, normed + 4 * row * f.hidden)
        source = normed
    if kind == HEAD:
        source += 4 * f.first_logits * f.hidden
        return quantise_if_int8(step.product, source, f.rows - f.first_logits, rounded, scales)
    return quantise_if_int8(step.product, source, f.rows, rounded, scales)


@compiled
def compute_chunk(f, step, chunk, x, thread):
    """Compute the slow part of a chunk into the thread's own memory."""
    kind, work, scales = step.kind, work_of(f, thread), scales_of(f, thread)
    if kind == ATTEND:
        attend_head(f, step, chunk, scores_of(f, thread), work)
    elif kind == START:
        if f.seen:
            multiply_chunk(f.from_token, STORE, chunk, f.rows, x, scales, work)
    elif kind == SEEN:
        multiply_chunk(f.from_seen, ADD, chunk, f.rows, x, scales, work)
    elif kind in (PROJECT, DENSE, HEAD):
        rows = f.rows - f.first_logits if kind == HEAD else f.rows
        if chunk < product_chunks(step.product, step.sink, rows):
            multiply_chunk(step.product, step.sink, chunk, rows, x, scales, work)


@compiled
def finish_chunk(f, step, chunk, thread):
    """Write a chunk's result to its destination. Only one thread does this, and it does the fast steps here
    completely."""
    kind, hidden, work = step.kind, f.hidden, work_of(f, thread)
    if kind == ATTEND:
        source, to = float32s(work), float32s(f.attended + 4 * chunk * f.head_dim)
        for i in range(f.head_dim):
            to[i] = source[i]
    elif kind == START:
        if f.seen:
            store_chunk(f.from_token, STORE, SILU, NO_CAP, chunk, f.rows, work, f.x)
        else:
            source, to = float32s(embedding_of(f, chunk)), float32s(f.x + 4 * chunk * hidden)
            scale = np.float32(f.embedding_scale)
            for i in range(hidden):
                to[i] = source[i] * scale
    elif kind == SEEN:
        store_chunk(f.from_seen, ADD, SILU, NO_CAP, chunk, f.rows, work, f.x)
    elif kind == ROTATE:
        row = chunk // 2
        if chunk % 2:
            norm_and_rotate_heads(f, step, row, f.kv_heads, step.key_norm, cache_row(f, step, row))
        else:
            start = f.queries + 4 * row * f.heads * f.head_dim
            norm_and_rotate_heads(f, step, row, f.heads, step.norm, start)
    elif kind == ADD_NORMED:
        x, normed = float32s(f.x + 4 * chunk * hidden), normed_of(f, thread)
        norm_row(step.norm, f.branch + 4 * chunk * hidden, hidden, normed)
        for i in range(hidden):
            x[i] += float32s(normed)[i]
    else:
        finish_product(f, step, chunk, thread)


@compiled
def finish_product(f, step, chunk, thread):
    """Finish a chunk of a product, or write a product's input to the features or the drafter's own output."""
    rows = f.rows - f.first_logits if step.kind == HEAD else f.rows
    chunks, work = product_chunks(step.product, step.sink, rows), work_of(f, thread)
    if chunk >= chunks:
        source = normed_of(f, thread) if step.kind == HEAD else buffer_of(f, step.source)
        column = column_of(f, step)
        if chunk == chunks and column >= 0:
            write_features(f, column, source)
        else:
            normed = float32s(source + 4 * f.first_logits * f.hidden)
            for i in range(rows * f.hidden):
                float32s(f.own)[i] = normed[i]
    elif step.kind == PROJECT:
        start, end, first, count = part_of(step.product, STORE, rows, chunk)
        for block in range(start, end):
            block_work = work + 4 * (block - start) * ROWS * BLOCK
            store_heads(f, step, block, first, count, block_work)
    else:
        out, cap = f.logits if step.kind == HEAD else buffer_of(f, step.to), np.float32(f.logit_softcap)
        store_chunk(step.product, step.sink, step.activation, cap, chunk, rows, work, out)
