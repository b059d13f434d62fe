"""The shared noise, with the bits that `adaedl.noise` defines."""

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

BLOCK_TOKENS = 512  # tokens in a block of noise and in a block of the search for the largest logit
NOISE_BYTES = 3 * 8 * BLOCK_TOKENS  # of scratch memory: the counters and random words of one block
WORDS = 8  # 32-bit words in a vector of 64-bit elements, each in a lower half


@intrinsic
def philox(typing, counters, position, seed, high, low, vectors):
    """Compute Philox4x32-10 of the counters (c, position, 0, 0), as `noise.philox`, for vectors of c.

    Words 0 and 2 of each result go to `high`, words 1 and 3 to `low`, two 32-bit words in each 64-bit
    element: the bits of an even token in the lower half, the bits of the next, odd token in the upper half.
    All arguments except position, seed and the number of vectors are addresses. It is written as vector code,
    because the compiler does not vectorise products of 32-bit words."""
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
        index = builder.phi(i64)
        index.add_incoming(i64(0), before)
        builder.cbranch(builder.icmp_signed("<", index, vectors), body, after)
        builder.position_at_end(body)
        words = [lower(builder.load(builder.gep(counters, [index]), align=8)), position, number(0), number(0)]
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
            builder.store(builder.or_(even, builder.shl(odd, half)), builder.gep(out, [index]), align=8)
        index.add_incoming(builder.add(index, i64(1)), body)
        builder.branch(test)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


@compiled
def as_fraction(high, low):
    """Return `noise._fraction` of two words."""
    return np.float32(high) * np.float32(2.0**-32) + np.float32(low | np.uint32(1)) * np.float32(2.0**-64)


@compiled
def split_power(value):
    """Return `noise._split` of a value."""
    bits = bits_of_float(value)
    exponent = np.int32(np.int32(bits - np.int32(SQRT_HALF_BITS)) >> np.int32(23))
    return float_of_bits(np.int32(bits - np.int32(exponent << np.int32(23)))) - np.float32(1), np.float32(
        exponent
    )


@compiled
def log_of_split(x, exponent):
    """Return `noise._log`. No operations may be fused, because the bits must be the same on every machine."""
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
    """Return `noise.gumbel` of one token's words."""
    from_one = as_fraction(high, low)
    x, exponent = split_power(as_fraction(np.uint32(~high), np.uint32(~low)))
    near_one = from_one < np.float32(NEAR_ONE)
    x, exponent = (-from_one if near_one else x), (np.float32(0) if near_one else exponent)
    x, exponent = split_power(-log_of_split(x, exponent))
    return -log_of_split(x, exponent)


@compiled
def draw_words(seed, position, first, count, scratch):
    """Write the random words of up to BLOCK_TOKENS consecutive tokens, starting with the even token `first`,
    to the scratch memory, for `noise_of_words`."""
    blocks = (count + 1) // 2
    for i in range(blocks):
        int64s(scratch)[i] = first // 2 + i
    philox(
        scratch,
        position,
        seed,
        scratch + 8 * BLOCK_TOKENS,
        scratch + 16 * BLOCK_TOKENS,
        (blocks + WORDS - 1) // WORDS,
    )


@compiled
def noise_of_words(count, out, scratch):
    high, low = uint32s(scratch + 8 * BLOCK_TOKENS), uint32s(scratch + 16 * BLOCK_TOKENS)
    for i in range(count):
        float32s(out)[i] = gumbel(high[i], low[i])


@compiled
def noise_bound_of_words(count, scratch):
    """Return an upper bound of the noise of `count` tokens, from the upper halves of their random bits."""
    high = uint32s(scratch + 8 * BLOCK_TOKENS)
    smallest = high[0]
    for i in range(1, count):
        smallest = min(smallest, high[i])
    return gumbel(smallest, np.uint32(0))


@compiled
def draw_row(seed, position, first, count, out, scratch):
    """Write the noise of up to BLOCK_TOKENS consecutive tokens, starting with the even token `first`."""
    draw_words(seed, position, first, count, scratch)
    noise_of_words(count, out, scratch)


@compiled
def draw_tokens(seed, position, tokens, count, out, scratch):
    """Write the noise of up to BLOCK_TOKENS arbitrary tokens of the vocabulary."""
    counters, high, low = scratch, scratch + 8 * BLOCK_TOKENS, scratch + 16 * BLOCK_TOKENS
    for i in range(count):
        int64s(counters)[i] = int64s(tokens)[i] >> 1
    philox(counters, position, seed, high, low, (count + WORDS - 1) // WORDS)
    for i in range(count):
        half = (int64s(tokens)[i] & 1) * 32
        float32s(out)[i] = gumbel(np.uint32(int64s(high)[i] >> half), np.uint32(int64s(low)[i] >> half))


@compiled
def draw_all(seed, position, vocab, size, out, scratch):
    """Write the noise of a whole vocabulary, or of the tokens of a trimmed vocabulary."""
    for first in range(0, size, BLOCK_TOKENS):
        count, block_out = min(BLOCK_TOKENS, size - first), out + 4 * first
        if vocab:
            draw_tokens(seed, position, vocab + 8 * first, count, block_out, scratch)
        else:
            draw_row(seed, position, first, count, block_out, scratch)


@compiled
def draw_rows(n):
    """Write the noise of the rows of a NoiseCall."""
    for row in range(n.rows):
        draw_all(n.seed, n.first + row, n.vocab, n.size, n.out + 4 * row * n.size, n.scratch)
