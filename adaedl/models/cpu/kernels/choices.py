"""Choosing tokens from logits, and the numbers of a drafted one."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from adaedl.models.cpu.jit import compiled, sums_in_any_order
from adaedl.models.cpu.kernels.activations import exp
from adaedl.models.cpu.kernels.gumbel_noise import (
    AT_ONCE,
    NOISE_BYTES,
    draw_all,
    draw_row,
    draw_words,
    noise_bound_of_words,
    noise_of_words,
)
from adaedl.models.cpu.kernels.intrinsics import float32s, int64s, splat
from adaedl.models.cpu.kernels.tiles import LANES

PIECES = 8  # of a row of logits, for threads to share
MARGIN = 1e-3  # of sums of a logit and noise: far more than rounding moves them


def _max(noisy: bool):
    """Return a function for the maximum of x / by, or of x / by + noise: max(x, noise, by, vectors), with the
    addresses of x and noise and the number of vectors. Written as vector code because a compiler may not
    reorder a maximum of numbers that may be NaN; those are passed over here."""
    i64, number = ir.IntType(64), ir.FloatType()
    vector = ir.VectorType(number, LANES)

    @intrinsic
    def most(typing, x, noise, by, vectors):
        def generate(context, builder, signature, arguments):
            x, noise, by, vectors = arguments
            x, noise = (builder.inttoptr(p, vector.as_pointer()) for p in (x, noise))
            by = splat(builder, by, LANES)
            least = ir.Constant(vector, [float("-inf")] * LANES)
            before = builder.block
            test, body, after = (builder.append_basic_block(name) for name in ("test", "body", "after"))
            builder.branch(test)
            builder.position_at_end(test)
            place, most = builder.phi(i64), builder.phi(vector)
            builder.cbranch(builder.icmp_signed("<", place, vectors), body, after)
            builder.position_at_end(body)
            value = builder.fdiv(builder.load(builder.gep(x, [place]), align=4), by)
            if noisy:
                value = builder.fadd(value, builder.load(builder.gep(noise, [place]), align=4))
            larger = builder.select(builder.fcmp_ordered(">", value, most), value, most)
            place.add_incoming(i64(0), before)
            place.add_incoming(builder.add(place, i64(1)), body)
            most.add_incoming(least, before)
            most.add_incoming(larger, body)
            builder.branch(test)
            builder.position_at_end(after)
            kind = ir.FunctionType(number, [vector])
            reduce = builder.module.declare_intrinsic("llvm.vector.reduce.fmax.v16f32", (), kind)
            return builder.call(reduce, [most])

        return types.float32(types.int64, types.int64, types.float32, types.int64), generate

    return most


max_of, max_with_noise = (_max(noisy) for noisy in (False, True))


@sums_in_any_order
def log_sum_exp_terms(x, size, by, most):
    """Return log-sum-exp terms of y = x / by with the maximum `most`: Σ exp(y − most) and
    Σ (y − most)·exp(y − most)."""
    total, below = np.float32(0), np.float32(0)
    for i in range(size):
        fall = x[i] / by - most
        fall = np.float32(-87) if fall < np.float32(-87) else fall
        weight = exp(fall)
        total += weight
        below += weight * fall
    return total, below


@sums_in_any_order
def count_undefined(x, size):
    """How many numbers are NaN."""
    count = 0
    for i in range(size):
        count += x[i] != x[i]
    return count


@compiled
def max_between(x, noise, by, first, last):
    """The maximum of x / by + noise between two places, of x / by where there is no noise."""
    count = (last - first) // LANES
    if noise:
        most = max_with_noise(x + 4 * first, noise + 4 * first, by, count)
    else:
        most = max_of(x + 4 * first, 0, by, count)
    for i in range(first + count * LANES, last):
        here = float32s(x)[i] / by
        if noise:
            here += float32s(noise)[i]
        if here > most:
            most = here
    return most


@compiled
def argmax_between(x, noise, by, first, last):
    """The maximum of x / by + noise between two places, and the first place where it is."""
    most, at = np.float32(-np.inf), first
    for start in range(first, last, AT_ONCE):
        end = min(start + AT_ONCE, last)
        here = max_between(x, noise, by, start, end)
        if here > most:
            most, at = here, start
            while at < end - 1:
                value = float32s(x)[at] / by
                if noise:
                    value += float32s(noise)[at]
                if value == most:
                    break
                at += 1
    return most, at


@compiled
def read_draft(r):
    """A drafted token and its numbers, see `calls.read_draft`."""
    x, vocab, size = float32s(r.logits), int64s(r.vocab), r.size
    temperature, by = np.float32(r.temperature), np.float32(r.score_temperature)
    noise = r.scratch + NOISE_BYTES if r.noisy else 0
    if noise:
        draw_all(r.seed, r.position, r.vocab, size, noise, r.scratch)
    chosen = argmax_between(r.logits, noise, temperature, 0, size)[1]
    first, top = argmax_between(r.logits, 0, by, 0, size)
    second = max(max_between(r.logits, 0, by, 0, top), max_between(r.logits, 0, by, top + 1, size))
    total, below = log_sum_exp_terms(x, size, by, first)
    token = vocab[chosen] if r.vocab else chosen
    q = np.float32(1)
    if noise:
        most, sampled = first, total
        if temperature != by:
            most = max_between(r.logits, 0, temperature, 0, size)
            sampled, _ = log_sum_exp_terms(x, size, temperature, most)
        q = exp(x[chosen] / temperature - most) / sampled
    int64s(r.places)[0] = chosen
    int64s(r.places)[1] = token
    numbers = float32s(r.numbers)
    numbers[0] = token
    numbers[1] = np.float32(np.nan) if count_undefined(x, size) else np.log(total) - below / total
    numbers[2] = np.float32(1) / total
    numbers[3] = (np.float32(1) - exp(second - first)) / total
    numbers[4] = exp(x[chosen] / by - first) / total
    numbers[5] = q


@compiled
def find_largest_logits(c, row, first, last):
    """Write the maximum of x / temperature for each part of a row, AT_ONCE logits, from `first` to `last`."""
    x, by, parts = c.logits + 4 * row * c.size, np.float32(c.temperature), parts_of(c.size)
    for part in range(first, last):
        start, end = part * AT_ONCE, min((part + 1) * AT_ONCE, c.size)
        float32s(c.tops)[row * parts + part] = max_between(x, 0, by, start, end)


@compiled
def argmax_with_noise(c, row, first, last, scratch):
    """The maximum of x / temperature + noise between two parts of a row, and the first place where it is.

    The token with the largest logit and its own noise is a lower bound: a part is passed over where its
    largest logit with the largest noise in it cannot reach that. The choice stays the same."""
    x, by, parts = c.logits + 4 * row * c.size, np.float32(c.temperature), parts_of(c.size)
    tops, noise, position = float32s(c.tops + 4 * row * parts), scratch + NOISE_BYTES, c.position + row
    highest = 0
    for part in range(1, parts):
        if tops[part] > tops[highest]:
            highest = part
    start, end = highest * AT_ONCE, min((highest + 1) * AT_ONCE, c.size)
    top = argmax_between(x, 0, by, start, end)[1]
    draw_row(c.seed, position, top // 2 * 2, 2, noise, scratch)
    least = float32s(x)[top] / by + float32s(noise)[top % 2] - np.float32(MARGIN)

    most, at = np.float32(-np.inf), first * AT_ONCE
    for part in range(first, last):
        start, end = part * AT_ONCE, min((part + 1) * AT_ONCE, c.size)
        draw_words(c.seed, position, start, end - start, scratch)
        if tops[part] + noise_bound_of_words(end - start, scratch) < least:
            continue
        noise_of_words(end - start, noise, scratch)
        here, place = argmax_between(x, noise - 4 * start, by, start, end)
        if here > most:
            most, at = here, place
    return most, at


@compiled
def parts_of(size):
    """How many parts a row of logits has."""
    return (size + AT_ONCE - 1) // AT_ONCE


@compiled
def piece_of(c, item):
    """A piece's row, and its first and last part."""
    row, piece, parts = item // PIECES, item % PIECES, parts_of(c.size)
    return row, parts * piece // PIECES, parts * (piece + 1) // PIECES


@compiled
def choose_chunk(c, index, item, thread):
    """Do one piece of a step of `calls.choose`. Whoever does it again writes the same."""
    best, places, by = float32s(c.best), int64s(c.places), np.float32(c.temperature)
    if index == 2:
        at = item * PIECES
        for piece in range(at + 1, at + PIECES):
            if best[piece] > best[at]:
                at = piece
        int64s(c.chosen)[item] = places[at]
        return
    row, first, last = piece_of(c, item)
    if index == 1:
        if not c.noisy:
            return
        scratch = c.scratch + thread * c.scratch_bytes
        best[item], places[item] = argmax_with_noise(c, row, first, last, scratch)
        return
    start, end = first * AT_ONCE, min(last * AT_ONCE, c.size)
    x = c.logits + 4 * row * c.size
    if c.noisy:
        find_largest_logits(c, row, first, last)
    else:
        best[item], places[item] = argmax_between(x, 0, by, start, end)
    if count_undefined(float32s(x + 4 * start), end - start):
        int64s(c.undefined)[0] = 1
