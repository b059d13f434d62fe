"""Choose tokens from logits, and compute the statistics of a drafted token."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from adaedl.models.cpu.jit import compiled, sums_in_any_order
from adaedl.models.cpu.kernels.activations import exp
from adaedl.models.cpu.kernels.gumbel_noise import (
    BLOCK_TOKENS,
    NOISE_BYTES,
    draw_all,
    draw_row,
    draw_words,
    noise_bound_of_words,
    noise_of_words,
)
from adaedl.models.cpu.kernels.intrinsics import float32s, int64s, splat
from adaedl.models.cpu.kernels.tiles import LANES

PIECES = 8  # of a row of logits, shared among threads
MARGIN = 1e-3  # for sums of a logit and noise: far more than their rounding error


def _max(noisy: bool):
    """Return the function max(x, noise, temperature, vectors), the maximum of x / temperature or, if `noisy`,
    of x / temperature + noise. Its arguments are the addresses of x and noise and the number of vectors. It
    is written as vector code, because a compiler may not reorder a maximum of numbers that may be NaN; here
    NaN is ignored."""
    i64, number = ir.IntType(64), ir.FloatType()
    vector = ir.VectorType(number, LANES)

    @intrinsic
    def maximum(typing, x, noise, temperature, vectors):
        def generate(context, builder, signature, arguments):
            x, noise, temperature, vectors = arguments
            x, noise = (builder.inttoptr(p, vector.as_pointer()) for p in (x, noise))
            temperature = splat(builder, temperature, LANES)
            lowest = ir.Constant(vector, [float("-inf")] * LANES)
            before = builder.block
            test, body, after = (builder.append_basic_block(name) for name in ("test", "body", "after"))
            builder.branch(test)
            builder.position_at_end(test)
            index, largest = builder.phi(i64), builder.phi(vector)
            builder.cbranch(builder.icmp_signed("<", index, vectors), body, after)
            builder.position_at_end(body)
            value = builder.fdiv(builder.load(builder.gep(x, [index]), align=4), temperature)
            if noisy:
                value = builder.fadd(value, builder.load(builder.gep(noise, [index]), align=4))
            larger = builder.select(builder.fcmp_ordered(">", value, largest), value, largest)
            index.add_incoming(i64(0), before)
            index.add_incoming(builder.add(index, i64(1)), body)
            largest.add_incoming(lowest, before)
            largest.add_incoming(larger, body)
            builder.branch(test)
            builder.position_at_end(after)
            kind = ir.FunctionType(number, [vector])
            reduce = builder.module.declare_intrinsic("llvm.vector.reduce.fmax.v16f32", (), kind)
            return builder.call(reduce, [largest])

        return types.float32(types.int64, types.int64, types.float32, types.int64), generate

    return maximum


max_of, max_with_noise = (_max(noisy) for noisy in (False, True))


@sums_in_any_order
def log_sum_exp_terms(x, size, temperature, largest):
    """Return log-sum-exp terms of y = x / temperature with the maximum `largest`: Σ exp(y − largest) and
    Σ (y − largest)·exp(y − largest)."""
    total, weighted = np.float32(0), np.float32(0)
    for i in range(size):
        difference = x[i] / temperature - largest
        difference = np.float32(-87) if difference < np.float32(-87) else difference
        weight = exp(difference)
        total += weight
        weighted += weight * difference
    return total, weighted


@sums_in_any_order
def count_undefined(x, size):
    """Return how many numbers of x [size] are NaN."""
    count = 0
    for i in range(size):
        count += x[i] != x[i]
    return count


@compiled
def max_between(x, noise, temperature, first, last):
    """Return the maximum of x / temperature + noise over the indices from `first` to before `last`, without
    noise if its address is 0."""
    count = (last - first) // LANES
    if noise:
        largest = max_with_noise(x + 4 * first, noise + 4 * first, temperature, count)
    else:
        largest = max_of(x + 4 * first, 0, temperature, count)
    for i in range(first + count * LANES, last):
        value = float32s(x)[i] / temperature
        if noise:
            value += float32s(noise)[i]
        if value > largest:
            largest = value
    return largest


@compiled
def argmax_between(x, noise, temperature, first, last):
    """Return the maximum as `max_between`, and the first index where it is."""
    largest, argmax = np.float32(-np.inf), first
    for start in range(first, last, BLOCK_TOKENS):
        end = min(start + BLOCK_TOKENS, last)
        block_max = max_between(x, noise, temperature, start, end)
        if block_max > largest:
            largest, argmax = block_max, start
            while argmax < end - 1:
                value = float32s(x)[argmax] / temperature
                if noise:
                    value += float32s(noise)[argmax]
                if value == largest:
                    break
                argmax += 1
    return largest, argmax


@compiled
def read_draft(r):
    """Write a drafted token and its statistics, see `calls.read_draft`."""
    x, vocab, size = float32s(r.logits), int64s(r.vocab), r.size
    temperature, score_temperature = np.float32(r.temperature), np.float32(r.score_temperature)
    noise = r.scratch + NOISE_BYTES if r.noisy else 0
    if noise:
        draw_all(r.seed, r.position, r.vocab, size, noise, r.scratch)
    chosen = argmax_between(r.logits, noise, temperature, 0, size)[1]
    first, top = argmax_between(r.logits, 0, score_temperature, 0, size)
    before_top = max_between(r.logits, 0, score_temperature, 0, top)
    after_top = max_between(r.logits, 0, score_temperature, top + 1, size)
    second = max(before_top, after_top)
    total, weighted = log_sum_exp_terms(x, size, score_temperature, first)
    token = vocab[chosen] if r.vocab else chosen
    q = np.float32(1)
    if noise:
        largest, sampled = first, total
        if temperature != score_temperature:
            largest = max_between(r.logits, 0, temperature, 0, size)
            sampled, _ = log_sum_exp_terms(x, size, temperature, largest)
        q = exp(x[chosen] / temperature - largest) / sampled
    int64s(r.places)[0] = chosen
    int64s(r.places)[1] = token
    numbers = float32s(r.numbers)
    numbers[0] = token
    numbers[1] = np.float32(np.nan) if count_undefined(x, size) else np.log(total) - weighted / total
    numbers[2] = np.float32(1) / total
    numbers[3] = (np.float32(1) - exp(second - first)) / total
    numbers[4] = exp(x[chosen] / score_temperature - first) / total
    numbers[5] = q


@compiled
def find_largest_logits(c, row, first, last):
    """Write the maximum of x / temperature for the parts of a row from `first` to before `last`; a part is
    BLOCK_TOKENS logits."""
    x, temperature, parts = c.logits + 4 * row * c.size, np.float32(c.temperature), parts_of(c.size)
    for part in range(first, last):
        start, end = part * BLOCK_TOKENS, min((part + 1) * BLOCK_TOKENS, c.size)
        float32s(c.tops)[row * parts + part] = max_between(x, 0, temperature, start, end)


@compiled
def argmax_with_noise(c, row, first, last, scratch):
    """Return the maximum of x / temperature + noise over the parts of a row from `first` to before `last`,
    and the first index where it is.

    The sum for the token with the largest logit is a lower bound of the row's maximum. A part is skipped if
    its largest logit plus its largest noise cannot reach this bound, which does not change the choice."""
    x, temperature, parts = c.logits + 4 * row * c.size, np.float32(c.temperature), parts_of(c.size)
    tops, noise, position = float32s(c.tops + 4 * row * parts), scratch + NOISE_BYTES, c.position + row
    highest = 0
    for part in range(1, parts):
        if tops[part] > tops[highest]:
            highest = part
    start, end = highest * BLOCK_TOKENS, min((highest + 1) * BLOCK_TOKENS, c.size)
    top = argmax_between(x, 0, temperature, start, end)[1]
    draw_row(c.seed, position, top // 2 * 2, 2, noise, scratch)
    bound = float32s(x)[top] / temperature + float32s(noise)[top % 2] - np.float32(MARGIN)

    largest, argmax = np.float32(-np.inf), first * BLOCK_TOKENS
    for part in range(first, last):
        start, end = part * BLOCK_TOKENS, min((part + 1) * BLOCK_TOKENS, c.size)
        draw_words(c.seed, position, start, end - start, scratch)
        if tops[part] + noise_bound_of_words(end - start, scratch) < bound:
            continue
        noise_of_words(end - start, noise, scratch)
        part_max, index = argmax_between(x, noise - 4 * start, temperature, start, end)
        if part_max > largest:
            largest, argmax = part_max, index
    return largest, argmax


@compiled
def parts_of(size):
    """Return the number of parts of a row of logits."""
    return (size + BLOCK_TOKENS - 1) // BLOCK_TOKENS


@compiled
def piece_of(c, item):
    """Return a piece's row, its first part and the end of its parts."""
    row, piece, parts = item // PIECES, item % PIECES, parts_of(c.size)
    return row, parts * piece // PIECES, parts * (piece + 1) // PIECES


@compiled
def choose_chunk(c, index, item, thread):
    """Do one piece of a step of `calls.choose`. If it is done twice, the same values are written."""
    best, places, temperature = float32s(c.best), int64s(c.places), np.float32(c.temperature)
    if index == 2:
        first_piece = item * PIECES
        best_piece = first_piece
        for piece in range(first_piece + 1, first_piece + PIECES):
            if best[piece] > best[best_piece]:
                best_piece = piece
        int64s(c.chosen)[item] = places[best_piece]
        return
    row, first, last = piece_of(c, item)
    if index == 1:
        if not c.noisy:
            return
        scratch = c.scratch + thread * c.scratch_bytes
        best[item], places[item] = argmax_with_noise(c, row, first, last, scratch)
        return
    start, end = first * BLOCK_TOKENS, min(last * BLOCK_TOKENS, c.size)
    x = c.logits + 4 * row * c.size
    if c.noisy:
        find_largest_logits(c, row, first, last)
    else:
        best[item], places[item] = argmax_between(x, 0, temperature, start, end)
    if count_undefined(float32s(x + 4 * start), end - start):
        int64s(c.undefined)[0] = 1
