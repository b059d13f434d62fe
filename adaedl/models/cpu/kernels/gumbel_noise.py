"""The shared noise: the same bits as `adaedl.noise`, which defines it."""

import numpy as np
from llvmlite import ir
from numba import literal_unroll, types
from numba.extending import intrinsic

from adaedl.models.cpu.jit import compiled
from adaedl.models.cpu.kernels.intrinsics import (
    bits_of_float,
    float32s,
    float_of_bits,
    int64s,
    splat,
    uint32s,
)
from adaedl.noise import (
    KEY_STEPS,
    LN2_HIGH,
    LN2_LOW,
    LOG_POLYNOMIAL,
    LOW_32_BITS,
    MULTIPLIERS,
    NEAR_ONE,
    PHILOX_ROUNDS,
    SQRT_HALF_BITS,
)

AT_ONCE = 512  # block size of the search for the largest logit, and of drawing noise
NOISE_BYTES = 3 * 8 * AT_ONCE  # of scratch memory: one block's counters and random words
WORDS = 8  # Philox blocks in a vector: their 32-bit words, each in the low half of 64 bits


@intrinsic
def philox(typing, counters, position, seed, high, low, vectors):
    """Philox4x32-10 of the counters (c, position, 0, 0), as `noise.philox`, for vectors of c.

    Words 0 and 2 of each block go to `high`, words 1 and 3 to `low`, two 32-bit words in each 64-bit element:
    the bits of an even token in the lower halves, of the odd token after it in the upper ones. All arguments
    but position, seed and the number of vectors are addresses. Written as vector code because the compiler
    does not vectorise a product of 32-bit words by itself."""
    i64 = ir.IntType(64)
    vector = ir.VectorType(i64, WORDS)

    def generate(context, builder, signature, arguments):
        counters, position, seed, high, low, vectors = arguments
        counters, high, low = (builder.inttoptr(p, vector.as_pointer()) for p in (counters, high, low))
        half, low_bits = (ir.Constant(vector, [n] * WORDS) for n in (32, LOW_32_BITS))

        def number(n: int):
            return ir.Constant(vector, [n] * WORDS)

        def upper(words):
            return builder.lshr(words, half)

        def lower(words):
            return builder.and_(words, low_bits)

        def mixed(*words):
            return builder.xor(builder.xor(words[0], words[1]), words[2])

        seed = splat(builder, seed, WORDS)
        keys = [(lower(seed), upper(seed))]
        for _ in range(1, PHILOX_ROUNDS):
            steps = zip(keys[-1], KEY_STEPS, strict=True)
            keys.append(tuple(lower(builder.add(key, number(step))) for key, step in steps))
        position = lower(splat(builder, position, WORDS))

        before = builder.block
        test, body, after = (builder.append_basic_block(name) for name in ("test", "body", "after"))
        builder.branch(test)
        builder.position_at_end(test)
        place = builder.phi(i64)
        place.add_incoming(i64(0), before)
        builder.cbranch(builder.icmp_signed("<", place, vectors), body, after)
        builder.position_at_end(body)
        words = [lower(builder.load(builder.gep(counters, [place]), align=8)), position, number(0), number(0)]
        for key0, key1 in keys:
            product0, product1 = (
                builder.mul(words[at], number(by)) for at, by in zip((0, 2), MULTIPLIERS, strict=True)
            )
            words = [
                mixed(upper(product1), words[1], key0),
                lower(product1),
                mixed(upper(product0), words[3], key1),
                lower(product0),
            ]
        for out, even, odd in ((high, *words[::2]), (low, *words[1::2])):
            builder.store(builder.or_(even, builder.shl(odd, half)), builder.gep(out, [place]), align=8)
        place.add_incoming(builder.add(place, i64(1)), body)
        builder.branch(test)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


@compiled
def as_fraction(high, low):
    """`noise._fraction` of two words."""
    return np.float32(high) * np.float32(2.0**-32) + np.float32(low | np.uint32(1)) * np.float32(2.0**-64)


@compiled
def split_power(value):
    """`noise._split`."""
    bits = bits_of_float(value)
    exponent = np.int32(np.int32(bits - np.int32(SQRT_HALF_BITS)) >> np.int32(23))
    return float_of_bits(np.int32(bits - np.int32(exponent << np.int32(23)))) - np.float32(1), np.float32(
        exponent
    )


@compiled
def log_of_split(x, exponent):
    """`noise._log`: no operation may be fused with another, for the bits must be the same everywhere."""
    square = x * x
    tail = np.float32(LOG_POLYNOMIAL[0]) * x + np.float32(LOG_POLYNOMIAL[1])
    for coefficient in literal_unroll(LOG_POLYNOMIAL[2:]):
        tail = tail * x + np.float32(coefficient)
    tail = tail * x * square
    tail = tail + exponent * np.float32(LN2_LOW)
    tail = tail - square * np.float32(0.5)
    return x + tail + exponent * np.float32(LN2_HIGH)


@compiled
def gumbel(high, low):
    """`noise.gumbel` of one token's words."""
    from_one = as_fraction(high, low)
    x, exponent = split_power(as_fraction(np.uint32(~high), np.uint32(~low)))
    near_one = from_one < np.float32(NEAR_ONE)
    x, exponent = (-from_one if near_one else x), (np.float32(0) if near_one else exponent)
    x, exponent = split_power(-log_of_split(x, exponent))
    return -log_of_split(x, exponent)


@compiled
def draw_words(seed, position, first, count, scratch):
    """The random words of up to AT_ONCE tokens side by side, from `first`, an even one, on. They stay in the
    scratch memory, for `noise_of_words`."""
    blocks = (count + 1) // 2
    for i in range(blocks):
        int64s(scratch)[i] = first // 2 + i
    philox(
        scratch, position, seed, scratch + 8 * AT_ONCE, scratch + 16 * AT_ONCE, (blocks + WORDS - 1) // WORDS
    )


@compiled
def noise_of_words(count, out, scratch):
    high, low = uint32s(scratch + 8 * AT_ONCE), uint32s(scratch + 16 * AT_ONCE)
    for i in range(count):
        float32s(out)[i] = gumbel(high[i], low[i])


@compiled
def noise_bound_of_words(count, scratch):
    """No less than the noise of any of `count` tokens, from the upper halves of their random bits."""
    high = uint32s(scratch + 8 * AT_ONCE)
    least = high[0]
    for i in range(1, count):
        least = min(least, high[i])
    return gumbel(least, np.uint32(0))


@compiled
def draw_row(seed, position, first, count, out, scratch):
    """Noise of up to AT_ONCE tokens side by side, from `first`, an even one, on."""
    draw_words(seed, position, first, count, scratch)
    noise_of_words(count, out, scratch)


@compiled
def draw_tokens(seed, position, tokens, count, out, scratch):
    """Noise of up to AT_ONCE tokens, any of the vocabulary."""
    counters, high, low = scratch, scratch + 8 * AT_ONCE, scratch + 16 * AT_ONCE
    for i in range(count):
        int64s(counters)[i] = int64s(tokens)[i] >> 1
    philox(counters, position, seed, high, low, (count + WORDS - 1) // WORDS)
    for i in range(count):
        half = (int64s(tokens)[i] & 1) * 32
        float32s(out)[i] = gumbel(np.uint32(int64s(high)[i] >> half), np.uint32(int64s(low)[i] >> half))


@compiled
def draw_all(seed, position, vocab, size, out, scratch):
    """Noise of a whole vocabulary, or of the tokens of a trimmed one."""
    for first in range(0, size, AT_ONCE):
        count, here = min(AT_ONCE, size - first), out + 4 * first
        if vocab:
            draw_tokens(seed, position, vocab + 8 * first, count, here, scratch)
        else:
            draw_row(seed, position, first, count, here, scratch)


@compiled
def draw_rows(n):
    """Noise of the rows that a call asks for."""
    for row in range(n.rows):
        draw_all(n.seed, n.first + row, n.vocab, n.size, n.out + 4 * row * n.size, n.scratch)
