"""The CPU's kernels, compiled here by Numba: a whole forward is one call, a table of steps.

A forward of few tokens is limited by reading the weights, so that is all it should do. Called one by one, its
products and norms would spend as long on their calls as on their work. Here a forward is a table of steps (a
product, attention, a norm), filled in once for a model, and a step is cut into chunks that threads share.

Weights are laid out in blocks of 32 outputs, [outputs/32, inputs, 32], which a tile reads once from end to
end for up to eight rows. Each output adds up its inputs in one order, and each row is normed and attends by
itself: a token's numbers depend neither on the tokens beside it nor on the number of threads, to the bit.

bfloat16 weights have half the bytes; they are widened as they are read, so products are those of float32.
int8 weights [outputs/32, inputs/4, 32, 4] have a scale for each output. Inputs are rounded as they come, with
a scale for each row; sums of whole numbers are exact.

**Sharing a step.** On a machine with other work a thread may lose its core at any moment, for milliseconds,
so no thread ever waits for another one that holds work:

- A step has a *tick*, a number that only grows. Each thread owns a range of the step's chunks and claims them
  one by one, then those that others have not claimed yet.
- A chunk is computed into the thread's own memory. Then its *state* is set to the tick by compare-and-swap,
  and whoever succeeds, once a chunk, writes the result where it belongs.
- A thread that finds nothing to claim waits about as long as a chunk takes, then computes what others have
  claimed and not finished. Whoever comes late finds the state taken, drops the result and goes on to the step
  that is under way.

A late thread may read memory that later steps write, or that nobody else uses any more: its result is always
dropped, and `Team` keeps the memory until it has left. If a compare-and-swap succeeds, the step was not
finished, so nothing that the chunk read had changed.
"""

import ctypes
import os
import platform
import threading
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import binding, ir
from numba import carray, cfunc, literal_unroll, njit, types
from numba.extending import intrinsic
from torch import Tensor

from adaedl.models.cpu.int8 import LEAST_SCALE, LEVELS
from adaedl.models.cpu.int8_layout import lay_out
from adaedl.models.cpu.jit import KEEP, VNNI
from adaedl.models.cpu.memory import ALIGNED, aligned
from adaedl.models.protocol import Output
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
    NoisePlace,
)
from adaedl.sampling import DraftNumbers

LANES = 16  # numbers in a vector: 512 bits of float32, which narrower processors take in parts
BLOCK = 2 * LANES  # outputs of a tile
ROWS = 8  # rows of a tile
STEP = 4  # inputs that a tile takes at a time
AHEAD = 48  # elements a lane, 6 KB of weights, that a tile asks for before it needs them
CHUNK = 192  # inputs whose products are added up before they join the sum
OFFSET = 128 if VNNI else 0  # VNNI multiplies numbers without a sign by numbers with one

libc = ctypes.CDLL(None)
for name in ("sem_post", "sem_wait", "sched_yield", "clock_gettime"):
    binding.add_symbol(name, ctypes.cast(getattr(libc, name), ctypes.c_void_p).value)
sem_post, sem_wait = (
    types.ExternalFunction(name, types.int32(types.int64)) for name in ("sem_post", "sem_wait")
)
sched_yield = types.ExternalFunction("sched_yield", types.int32())
clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))


def _record(name: str, *fields) -> tuple[type[ctypes.Structure], np.dtype]:
    """A structure of 64-bit numbers and structures, as Python fills it and as kernels read it."""
    fields = [field if isinstance(field, tuple) else (field, INT64) for field in fields]
    structure = type(name, (ctypes.Structure,), {"_fields_": [(field, kinds[0]) for field, kinds in fields]})
    return structure, np.dtype([(field, kinds[1]) for field, kinds in fields])


INT64 = (ctypes.c_int64, np.int64)
FLOAT64 = (ctypes.c_double, np.float64)
# Addresses, counts, and 0 for what is not there.
Product, PRODUCT = _record("Product", "weight", "bias", "scale", "sums", "inputs", "outputs", "bfloat16")
NormRecord, NORM = _record("NormRecord", "used", "weight", "bias", "center", ("eps", FLOAT64))
# A step of a forward. `source` and `to` are BUFFERS; `layer` is whose keys and values it uses; `column` says
# where its input goes among the features, or -1; `rotary` is a table's number, or -1.
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
# What a team of threads works on: the record of a call, and the tick of its first step.
JobRecord, JOB = _record(
    "JobRecord", "kind", "call", "steps", "tick", "threads", "lines", "states", "state_bytes"
)
# 64-bit words of a thread's part of a team's memory, each on a cache line of its own.
DONE, ACTIVE, ASLEEP, SEMAPHORE, CLOCK = range(0, 40, 8)
LINE_BYTES = 8 * 64
TEAM_JOB = 64  # where in a team's memory its job's address is
COUNT_BITS = 24  # of a word that holds a tick above and a count below
FORWARDS, MULTIPLIES, CHOOSES = range(3)  # kinds of jobs
# Kinds of a forward's steps.
START, SEEN, PROJECT, TURN, ATTEND, DENSE, ADD_NORMED, HEAD = range(8)
BUFFERS = X, ATTENDED, GATED, BRANCH = range(4)
PIECES = 8  # of a row of logits, for threads to share
AT_ONCE = 512  # block size of the search for the largest logit, and of drawing noise
MARGIN = 1e-3  # of sums of a logit and noise: far more than rounding moves them
NOISE_BYTES = 3 * 8 * AT_ONCE  # of scratch memory: one block's counters and random words
# What becomes of a product y: itself, added to what is there, act(y), act(a)·b of its halves, a soft cap.
STORE, ADD, ACTIVATE, GATE, CAP = range(5)
ACTIVATIONS = ("silu", "gelu", "gelu_tanh")
SILU, GELU, GELU_TANH = range(3)
MOST_THREADS = 256
NO_CAP = np.float32(0)
FEW_CHUNKS = 32  # of a product: enough for threads to share out
MOST_BLOCKS = 8  # of a chunk: between chunks a processor waits for its memory
IDLE_NS = 300_000  # how long a thread without work keeps its core; a wake-up costs some 50 µs
PATIENCE_NS = 3_000  # beside the time of two chunks, before a thread computes what another has claimed
UNKNOWN_NS = 50_000  # the time of a chunk where a thread has seen none of a step
EMBEDDING_EPS = 1e-12  # under the norm of a drafter's embeddings


def _cast(kind):
    @intrinsic
    def cast(typing, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return kind(types.int64), generate

    return cast


floats, wholes, wholes32, words, small = (
    _cast(types.CPointer(kind))
    for kind in (types.float32, types.int64, types.int32, types.uint32, types.uint8)
)
untyped = _cast(types.voidptr)


def _atomic(signature, emit):
    """An intrinsic on the 64-bit word at an address, one step for all threads: emit(builder, pointer, …)."""

    @intrinsic
    def one(typing, address):
        def generate(context, builder, signature, arguments):
            return emit(builder, *_word(builder, arguments))

        return signature, generate

    @intrinsic
    def two(typing, address, value):
        def generate(context, builder, signature, arguments):
            return emit(builder, *_word(builder, arguments))

        return signature, generate

    @intrinsic
    def three(typing, address, before, after):
        def generate(context, builder, signature, arguments):
            return emit(builder, *_word(builder, arguments))

        return signature, generate

    return (one, two, three)[len(signature.args) - 1]


def _word(builder, arguments):
    return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()), *arguments[1:]


ORDER = "seq_cst"
load = _atomic(types.int64(types.int64), lambda builder, word: builder.load_atomic(word, ORDER, 8))
exchange = _atomic(
    types.int64(types.int64, types.int64),
    lambda builder, word, value: builder.atomic_rmw("xchg", word, value, ORDER),
)


def _swap(builder, word, before, after):
    result = builder.cmpxchg(word, before, after, ORDER, ORDER)
    return builder.extract_value(result, 1)


# Whether the word was `before`, and is `after` now.
swap = _atomic(types.boolean(types.int64, types.int64, types.int64), _swap)


@intrinsic
def release(typing, address, value):
    """Write a word after all that this thread has written before."""

    def generate(context, builder, signature, arguments):
        pointer, value = _word(builder, arguments)
        builder.store_atomic(value, pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def pause(typing):
    """Tell the processor that this thread waits for a word to change."""

    def generate(context, builder, signature, arguments):
        i32, nothing = ir.IntType(32), ir.VoidType()
        if platform.machine() in ("x86_64", "AMD64"):
            kind = ir.FunctionType(nothing, [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), kind), [])
        elif platform.machine() in ("aarch64", "arm64"):
            kind = ir.FunctionType(nothing, [i32])
            hint = builder.module.declare_intrinsic("llvm.aarch64.hint", (), kind)
            builder.call(hint, [i32(1)])  # yield
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def float_of_bits(typing, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def bits_of_float(typing, number):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


def _splat(builder, value, lanes: int = LANES):
    """A vector of one number."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    )


def _tile(kind: str):
    """A function that adds to a block's 32 outputs of up to ROWS rows what the next `count` inputs bring:
    tile(rows, weights, x, inputs, count, out), addresses but for `rows`, `inputs`, how many a row of x has,
    and `count`. Weights are "float32", "bfloat16" or "int8"; out [rows, 32] is float32 or, for int8, int32.
    Each number of rows has code of its own."""
    rounded, widened = kind == "int8", kind == "bfloat16"
    i32, i64 = ir.IntType(32), ir.IntType(64)
    number = i32 if rounded else ir.FloatType()
    vector = ir.VectorType(number, LANES)
    each = 1 if not rounded else STEP  # inputs in an element of x
    unroll = 1 if rounded else STEP
    stored = ir.IntType(16) if widened else number
    stored_vector = ir.VectorType(stored, LANES)
    kind = ir.FunctionType(vector, [vector] * 3)

    def read(builder, address):
        """A vector of weights. A bfloat16 number is the upper half of a float32 one."""
        pointer = builder.bitcast(address, stored_vector.as_pointer())
        if not widened:
            return builder.load(pointer, align=64)
        wide = ir.VectorType(i32, LANES)
        words = builder.zext(builder.load(pointer, align=32), wide)
        return builder.bitcast(builder.shl(words, ir.Constant(wide, [16] * LANES)), vector)

    def multiply_add(builder, weights, x, total):
        if not rounded:
            multiply = builder.module.declare_intrinsic("llvm.fma.v16f32", (), kind)
            return builder.call(multiply, [weights, x, total])
        if VNNI:
            multiply = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), kind)
            return builder.call(multiply, [total, x, weights])
        i8s, i16s = (ir.VectorType(ir.IntType(bits), STEP * LANES) for bits in (8, 16))
        weights, x = (builder.sext(builder.bitcast(v, i8s), i16s) for v in (weights, x))
        products = builder.sext(builder.mul(weights, x), ir.VectorType(i32, STEP * LANES))
        undefined = ir.Constant(products.type, ir.Undefined)
        for part in range(STEP):
            places = ir.Constant(vector, [STEP * lane + part for lane in range(LANES)])
            total = builder.add(total, builder.shuffle_vector(products, undefined, places))
        return total

    byte = ir.IntType(8).as_pointer()
    asking = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])

    def ask_for(builder, address):
        """Have memory brought near that is read soon. It may lie beyond the last weight: nothing reads it."""
        ask = builder.module.declare_intrinsic("llvm.prefetch", (byte,), asking)
        builder.call(ask, [address, i32(0), i32(3), i32(1)])  # to read, into every cache, data

    def add_up(builder, rows, weights, x, stride, end, out):
        sources = [builder.gep(x, [builder.mul(stride, i64(row))]) for row in range(rows)]
        before = builder.block
        loop, after = builder.append_basic_block("inputs"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        place = builder.phi(i64)
        place.add_incoming(i64(0), before)
        starts = [[builder.phi(vector) for _ in range(2)] for _ in range(rows)]
        totals = [list(row) for row in starts]
        for step in range(unroll):
            here = builder.add(place, i64(step))
            block = []
            for half in range(2):
                offset = builder.add(builder.mul(here, i64(BLOCK)), i64(half * LANES))
                block.append(read(builder, builder.gep(weights, [offset])))
                if widened and half:
                    continue  # the same cache line
                ahead = builder.gep(weights, [builder.add(offset, i64(AHEAD * BLOCK * (1 + widened)))])
                ask_for(builder, builder.bitcast(ahead, byte))
            for row in range(rows):
                value = _splat(builder, builder.load(builder.gep(sources[row], [here]), align=4))
                for half in range(2):
                    totals[row][half] = multiply_add(builder, block[half], value, totals[row][half])
        following = builder.add(place, i64(unroll))
        place.add_incoming(following, loop)
        zero = ir.Constant(vector, [0] * LANES)
        for start, total in zip(chain(*starts), chain(*totals), strict=True):
            start.add_incoming(zero, before)
            start.add_incoming(total, loop)
        builder.cbranch(builder.icmp_signed("<", following, end), loop, after)
        builder.position_at_end(after)
        for row in range(rows):
            for half in range(2):
                offset = i64(row * BLOCK + half * LANES)
                address = builder.bitcast(builder.gep(out, [offset]), vector.as_pointer())
                before = builder.load(address, align=4)
                add = builder.add if rounded else builder.fadd
                builder.store(add(before, totals[row][half]), address, align=4)

    @intrinsic
    def tile(typing, rows, weights, x, inputs, count, out):
        def generate(context, builder, signature, arguments):
            rows, weights, x, inputs, count, out = arguments
            weights = builder.inttoptr(weights, stored.as_pointer())
            x, out = (builder.inttoptr(p, number.as_pointer()) for p in (x, out))
            stride, end = (builder.sdiv(of, i64(each)) for of in (inputs, count))
            cases = [builder.append_basic_block(f"rows{many}") for many in range(1, ROWS + 1)]
            finished = builder.append_basic_block("finished")
            choice = builder.switch(rows, finished)
            for many, case in enumerate(cases, 1):
                choice.add_case(i64(many), case)
                builder.position_at_end(case)
                add_up(builder, many, weights, x, stride, end, out)
                builder.branch(finished)
            builder.position_at_end(finished)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return tile


tile, narrow_tile, rounded_tile = (_tile(kind) for kind in ("float32", "bfloat16", "int8"))


compiled = njit(error_model="numpy", cache=KEEP)
sums_in_any_order = njit(error_model="numpy", cache=KEEP, fastmath={"reassoc", "contract", "nsz"})
region = cfunc(types.void(types.voidptr), cache=KEEP)


@compiled
def exp(x):
    """e^x to float32's precision, between e^-87 and e^88, in steps that a compiler can take for a vector at
    once: the power of two, and for the rest a polynomial (Cephes' expf)."""
    x = np.float32(-87) if x < np.float32(-87) else np.float32(88) if x > np.float32(88) else x
    power = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    x = x - power * np.float32(0.693359375) + power * np.float32(2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * x + np.float32(1.3981999507e-3)
    y = y * x + np.float32(8.3334519073e-3)
    y = y * x + np.float32(4.1665795894e-2)
    y = y * x + np.float32(1.6666665459e-1)
    y = y * x + np.float32(5.0000001201e-1)
    y = y * x * x + x + np.float32(1)
    return y * float_of_bits((np.int32(power) + np.int32(127)) << np.int32(23))


@sums_in_any_order
def dot(a, b, count):
    total = np.float32(0)
    for i in range(count):
        total += a[i] * b[i]
    return total


@compiled
def norm(source, weight, width, eps, out):
    """out = source / rms(source) · weight, for one row; without a weight where its address is 0."""
    x, y = floats(source), floats(out)
    by = np.float32(1) / np.sqrt(dot(x, x, width) / np.float32(width) + np.float32(eps))
    if weight:
        w = floats(weight)
        for i in range(width):
            y[i] = x[i] * by * w[i]
    else:
        for i in range(width):
            y[i] = x[i] * by


@sums_in_any_order
def total_of(x, count):
    total = np.float32(0)
    for i in range(count):
        total += x[i]
    return total


@sums_in_any_order
def total_of_squares(x, less, count):
    total = np.float32(0)
    for i in range(count):
        total += (x[i] - less) * (x[i] - less)
    return total


@compiled
def layer_norm(n, source, width, out):
    """out = (source - mean) / deviation · weight + bias, for one row."""
    x, y, w, b = floats(source), floats(out), floats(n.weight), floats(n.bias)
    mean = total_of(x, width) / np.float32(width)
    variance = total_of_squares(x, mean, width) / np.float32(width)
    by = np.float32(1) / np.sqrt(variance + np.float32(n.eps))
    for i in range(width):
        y[i] = (x[i] - mean) * by
        if n.weight:
            y[i] *= w[i]
        if n.bias:
            y[i] += b[i]


@compiled
def norm_row(n, source, width, out):
    """A row as the norm of that record has it, which may be written where it was."""
    if n.center:
        layer_norm(n, source, width, out)
    else:
        norm(source, n.weight, width, n.eps, out)


@compiled
def largest(source, count):
    """The largest size in a row, NaN where one is no number. Without their signs, floats are ordered as the
    whole numbers of their bits are, whose largest a compiler finds a vector at a time."""
    bits, most = wholes32(source), np.int32(0)
    for i in range(count):
        most = max(most, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
    return float_of_bits(most)


@compiled
def rounded_row(source, count, out):
    """Round a row to whole numbers up to LEVELS; returns what they are to be multiplied by."""
    x, y = floats(source), small(out)
    scale = largest(source, count) / np.float32(LEVELS) + np.float32(LEAST_SCALE)
    for i in range(count):
        y[i] = np.uint8(np.int32(np.rint(x[i] / scale)) + np.int32(OFFSET))
    return scale


@compiled
def take(product, source, rows, rounded, scales):
    """What the tiles of a product read of source [rows, inputs]: itself, or its rounded numbers, which are
    written to `rounded`, their scales to `scales`."""
    if not product.scale:
        return source
    count = product.inputs
    for row in range(rows):
        floats(scales)[row] = rounded_row(source + 4 * row * count, count, rounded + row * count)
    return rounded


@compiled
def block_of(product, block, x, scales, first, rows, out):
    """A block's outputs [rows, 32] of the rows from `first` on."""
    inputs, y = product.inputs, floats(out)
    at = block * BLOCK
    for i in range(rows * BLOCK):
        y[i] = np.float32(0)
    if product.scale:
        weights = product.weight + block * inputs * BLOCK
        rounded_tile(rows, weights, x + first * inputs, inputs, inputs, out)
        totals, s, sums = wholes32(out), floats(product.scale), wholes32(product.sums)
        for row in range(rows):
            by = floats(scales)[first + row]
            for j in range(BLOCK):
                total = totals[row * BLOCK + j] - np.int32(OFFSET) * sums[at + j]
                y[row * BLOCK + j] = np.float32(total) * s[at + j] * by
    else:
        each = 2 if product.bfloat16 else 4
        weights = product.weight + each * block * inputs * BLOCK
        for at_input in range(0, inputs, CHUNK):  # in parts, which rounds less than one long sum
            count = min(CHUNK, inputs - at_input)
            here, weights_here = x + 4 * (first * inputs + at_input), weights + each * at_input * BLOCK
            if product.bfloat16:
                narrow_tile(rows, weights_here, here, inputs, count, out)
            else:
                tile(rows, weights_here, here, inputs, count, out)
    if product.bias:
        b = floats(product.bias)
        for row in range(rows):
            for j in range(BLOCK):
                y[row * BLOCK + j] += b[at + j]


@compiled
def erf(x):
    """The error function to 2e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26)."""
    size = abs(x)
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911) * size)
    y = np.float32(1.061405429) * t - np.float32(1.453152027)
    y = y * t + np.float32(1.421413741)
    y = y * t - np.float32(0.284496736)
    y = y * t + np.float32(0.254829592)
    y = np.float32(1) - y * t * exp(-size * size)
    return y if x >= 0 else -y


@compiled
def tanh(x):
    return np.float32(1) - np.float32(2) / (exp(x + x) + np.float32(1))


@compiled
def silu(x):
    return x / (np.float32(1) + exp(-x))


@compiled
def gelu(x):
    return np.float32(0.5) * x * (np.float32(1) + erf(x * np.float32(0.70710678)))


@compiled
def gelu_tanh(x):
    inner = np.float32(0.79788456) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (np.float32(1) + tanh(inner))


@compiled
def activate(kind, x, count, out):
    """An activation of x [count]; a loop each, for a compiler to take a vector at once."""
    if kind == GELU:
        for i in range(count):
            out[i] = gelu(x[i])
    elif kind == GELU_TANH:
        for i in range(count):
            out[i] = gelu_tanh(x[i])
    else:
        for i in range(count):
            out[i] = silu(x[i])


@compiled
def gate(kind, x, count, out):
    """out [count] = act(a)·b of a block's halves."""
    if kind == GELU:
        for i in range(count):
            out[i] = gelu(x[i]) * x[LANES + i]
    elif kind == GELU_TANH:
        for i in range(count):
            out[i] = gelu_tanh(x[i]) * x[LANES + i]
    else:
        for i in range(count):
            out[i] = silu(x[i]) * x[LANES + i]


@compiled
def sink_block(sink, activation, cap, block, outputs, first, rows, work, out):
    """Put a block's numbers where they belong in out [rows, outputs], or [rows, outputs/2] after a gate."""
    width = outputs // 2 if sink == GATE else outputs
    at = block * (LANES if sink == GATE else BLOCK)
    count = min(LANES if sink == GATE else BLOCK, width - at)
    for row in range(rows):
        y, z = floats(work + 4 * row * BLOCK), floats(out + 4 * ((first + row) * width + at))
        if sink == GATE:
            gate(activation, y, count, z)
        elif sink == ADD:
            for j in range(count):
                z[j] += y[j]
        elif sink == ACTIVATE:
            activate(activation, y, count, z)
        elif sink == CAP:
            for j in range(count):
                z[j] = cap * tanh(y[j] / cap)
        else:
            for j in range(count):
                z[j] = y[j]


@compiled
def blocks_of(product, sink):
    outputs = product.outputs
    if sink == GATE:
        return (outputs // 2 + LANES - 1) // LANES
    return (outputs + BLOCK - 1) // BLOCK


@compiled
def groups_of(rows):
    """How many times a block is read for rows."""
    return (rows + ROWS - 1) // ROWS


@compiled
def span_of(blocks):
    """How many of a product's blocks are a chunk."""
    return min(max(blocks // FEW_CHUNKS, 1), MOST_BLOCKS)


@compiled
def product_chunks(product, sink, rows):
    """How many chunks a product of rows has: blocks side by side, for as many rows as a tile has."""
    blocks = blocks_of(product, sink)
    span = span_of(blocks)
    return (blocks + span - 1) // span * groups_of(rows)


@compiled
def part_of(product, sink, rows, chunk):
    """Between which blocks a chunk is, its first row, and how many it has."""
    blocks, groups = blocks_of(product, sink), groups_of(rows)
    span = span_of(blocks)
    start, first = chunk // groups * span, chunk % groups * ROWS
    return start, min(start + span, blocks), first, min(ROWS, rows - first)


@compiled
def multiply_chunk(product, sink, chunk, rows, x, scales, work):
    """Compute a chunk of a product of rows into `work` [blocks, 8, 32]."""
    start, end, first, count = part_of(product, sink, rows, chunk)
    for block in range(start, end):
        block_of(product, block, x, scales, first, count, work + 4 * (block - start) * ROWS * BLOCK)


@compiled
def sink_chunk(product, sink, activation, cap, chunk, rows, work, out):
    """Put a chunk of a product where it belongs."""
    start, end, first, count = part_of(product, sink, rows, chunk)
    for block in range(start, end):
        here = work + 4 * (block - start) * ROWS * BLOCK
        sink_block(sink, activation, cap, block, product.outputs, first, count, here, out)


@compiled
def kept_row(f, step, row):
    """Where a row's keys are, and behind them its values: in its layer's cache [positions, 2, kv_heads, d],
    or, for drafts side by side, in each row's tail [rows, capacity, 2, kv_heads, d]."""
    width = 8 * f.kv_heads * f.head_dim
    if f.tails:
        return f.tails + (row * f.tail_capacity + f.drafts) * width
    return f.cache + step.layer * f.cache_layer + (f.start + row) * width


@compiled
def angles_of(f, step, row):
    """Where the cosines and sines of a row's position are, [rotated/2, 2]."""
    table = wholes(f.rotaries)[step.rotary]
    return floats(table + 4 * (f.start + row + f.drafts) * step.rotated)


@compiled
def sink_projected(f, step, block, first, rows, work):
    """Put a block's queries, keys and values where they belong. Pairs of numbers side by side are rotated as
    complex ones."""
    d, asked, at = f.head_dim, f.heads * f.head_dim, block * BLOCK
    turning = asked + f.kv_heads * d if step.rotary >= 0 else 0
    count, turned = min(BLOCK, step.product.outputs - at), step.rotated
    for row in range(rows):
        y = floats(work + 4 * row * BLOCK)
        if at < turning:
            angles = angles_of(f, step, first + row)
            for j in range(0, min(count, turning - at), 2):
                place = (at + j) % d
                if place < turned:
                    a, b, cos, sin = y[j], y[j + 1], angles[place], angles[place + 1]
                    y[j], y[j + 1] = a * cos - b * sin, a * sin + b * cos
        q = floats(f.queries + 4 * ((first + row) * asked + at))
        kept = floats(kept_row(f, step, first + row) + 4 * (at - asked))
        queries = min(count, max(asked - at, 0))
        for j in range(queries):
            q[j] = y[j]
        for j in range(queries, count):
            kept[j] = y[j]


@compiled
def turn_heads(f, step, row, heads, n, start):
    """Norm a row's queries or keys, each head by itself or all as one, and rotate them where they are."""
    d = f.head_dim
    if n.used and not step.per_head:
        norm_row(n, start, heads * d, start)
    for head in range(heads):
        here = start + 4 * head * d
        if n.used and step.per_head:
            norm_row(n, here, d, here)
        if step.rotary >= 0:
            y, angles = floats(here), angles_of(f, step, row)
            for j in range(0, step.rotated, 2):
                a, b, cos, sin = y[j], y[j + 1], angles[j], angles[j + 1]
                y[j], y[j + 1] = a * cos - b * sin, a * sin + b * cos


@sums_in_any_order
def weigh(scores, count):
    """softmax of scores [count] but for its sum, which is returned."""
    most = scores[0]
    for i in range(1, count):
        most = max(most, scores[i])
    total = np.float32(0)
    for i in range(count):
        scores[i] = exp(scores[i] - most)
        total += scores[i]
    return total


@compiled
def score(query, keys, width, d, scale, scores, first, count):
    """Scores from the place `first` on, of keys [count, 2, kv_heads, d]."""
    for t in range(count):
        scores[first + t] = dot(query, floats(keys + 8 * t * width), d) * scale


@compiled
def add_values(scores, first, keys, width, d, count, out):
    """Add the values beside the keys [count, 2, kv_heads, d], weighed by the scores from `first` on."""
    for t in range(count):
        value, weight = floats(keys + 8 * t * width + 4 * width), scores[first + t]
        for i in range(d):
            out[i] += weight * value[i]


@compiled
def attend(f, step, item, room, work):
    """Attention of one head of one row, [d] of `work`."""
    d, group = f.head_dim, f.heads // f.kv_heads
    width, scale = f.kv_heads * d, np.float32(f.attention_scale)
    scores, out = floats(room), floats(work)
    row, head = item // f.heads, item % f.heads
    query = floats(f.queries + 4 * item * d)
    keys = f.cache + step.layer * f.cache_layer + 4 * (head // group) * d
    shared, drafts = f.start + row + 1, 0
    tail = keys
    if f.tails:
        shared, drafts = f.start + row, f.drafts + 1
        tail = f.tails + 4 * (row * f.tail_capacity * 2 * width + (head // group) * d)
    if step.window and shared > step.window:
        keys += 8 * (shared - step.window) * width
        shared = step.window
    score(query, keys, width, d, scale, scores, 0, shared)
    score(query, tail, width, d, scale, scores, shared, drafts)
    if f.attention_softcap:
        cap = np.float32(f.attention_softcap)
        for t in range(shared + drafts):
            scores[t] = cap * tanh(scores[t] / cap)
    total = weigh(scores, shared + drafts)
    for i in range(d):
        out[i] = np.float32(0)
    add_values(scores, 0, keys, width, d, shared, out)
    add_values(scores, shared, tail, width, d, drafts, out)
    for i in range(d):
        out[i] /= total


@compiled
def note_features(f, column, source):
    """Write rows [rows, H], each at unit root mean square, as one part of the features."""
    for row in range(f.rows):
        to = f.features + 4 * (row * f.feature_width + column * f.hidden)
        norm(source + 4 * row * f.hidden, 0, f.hidden, f.eps, to)


@compiled
def embedding(f, row):
    """Where the embedding of a row's token is."""
    token = wholes(f.token_ids)[row]
    if token < 0 or token >= f.vocab_size:
        wholes(f.wrong_token)[0] = 1
        token = 0
    return f.embeddings + 4 * token * f.hidden


# A forward's scratch memory, each thread's own. `work` holds a block or a head, `scales` and `rounded` a
# step's rounded rows, `normed` its normed ones, `scores` those of attention.


@compiled
def work_of(f, thread):
    return f.scratch + thread * f.scratch_bytes


@compiled
def scales_of(f, thread):
    return work_of(f, thread) + 4 * max(MOST_BLOCKS * ROWS * BLOCK, f.head_dim)


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
def buffer(f, which):
    if which == ATTENDED:
        return f.attended
    if which == GATED:
        return f.gated
    if which == BRANCH:
        return f.branch
    return f.x


@compiled
def column_of(f, step):
    """Which of the features the step's input becomes; -1: none."""
    if not f.features or step.column < 0:
        return -1
    return wholes(f.feature_columns)[step.column]


@compiled
def chunks_of_step(f, step):
    """How many chunks a step of a forward has. Those beyond a product's note what it reads."""
    kind = step.kind
    if kind == START:
        return product_chunks(f.from_token, STORE, f.rows) if f.seen else f.rows
    if kind == SEEN:
        return product_chunks(f.from_seen, ADD, f.rows) if f.seen else 0
    if kind == TURN:
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
    """Norm and round what a step's products read, into the thread's own memory; returns where that is."""
    rounded, scales, normed = rounded_of(f, thread), scales_of(f, thread), normed_of(f, thread)
    kind = step.kind
    if kind == START and f.seen:
        for row in range(f.rows):
            norm(embedding(f, row), 0, f.hidden, EMBEDDING_EPS, normed + 4 * row * f.hidden)
        return take(f.from_token, normed, f.rows, rounded, scales)
    if kind == SEEN:
        return take(f.from_seen, f.seen, f.rows, rounded, scales)
    if kind not in (PROJECT, DENSE, HEAD):
        return 0
    source = buffer(f, step.source)
    if step.norm.used:
        for row in range(f.rows):
            norm_row(step.norm, source + 4 * row * f.hidden, f.hidden, normed + 4 * row * f.hidden)
        source = normed
    if kind == HEAD:
        source += 4 * f.first_logits * f.hidden
        return take(step.product, source, f.rows - f.first_logits, rounded, scales)
    return take(step.product, source, f.rows, rounded, scales)


@compiled
def compute_chunk(f, step, chunk, x, thread):
    """What of a chunk takes time, into the thread's own memory."""
    kind, work, scales = step.kind, work_of(f, thread), scales_of(f, thread)
    if kind == ATTEND:
        attend(f, step, chunk, scores_of(f, thread), work)
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
    """Write a chunk's result where it belongs, or compute what takes no time there. One thread does it."""
    kind, hidden, work = step.kind, f.hidden, work_of(f, thread)
    if kind == ATTEND:
        source, to = floats(work), floats(f.attended + 4 * chunk * f.head_dim)
        for i in range(f.head_dim):
            to[i] = source[i]
    elif kind == START:
        if f.seen:
            sink_chunk(f.from_token, STORE, SILU, NO_CAP, chunk, f.rows, work, f.x)
        else:
            source, to = floats(embedding(f, chunk)), floats(f.x + 4 * chunk * hidden)
            scale = np.float32(f.embedding_scale)
            for i in range(hidden):
                to[i] = source[i] * scale
    elif kind == SEEN:
        sink_chunk(f.from_seen, ADD, SILU, NO_CAP, chunk, f.rows, work, f.x)
    elif kind == TURN:
        row = chunk // 2
        if chunk % 2:
            turn_heads(f, step, row, f.kv_heads, step.key_norm, kept_row(f, step, row))
        else:
            start = f.queries + 4 * row * f.heads * f.head_dim
            turn_heads(f, step, row, f.heads, step.norm, start)
    elif kind == ADD_NORMED:
        x, normed = floats(f.x + 4 * chunk * hidden), normed_of(f, thread)
        norm_row(step.norm, f.branch + 4 * chunk * hidden, hidden, normed)
        for i in range(hidden):
            x[i] += floats(normed)[i]
    else:
        finish_product(f, step, chunk, thread)


@compiled
def finish_product(f, step, chunk, thread):
    """`finish_chunk` of a product, and of what is noted beside it."""
    rows = f.rows - f.first_logits if step.kind == HEAD else f.rows
    chunks, work = product_chunks(step.product, step.sink, rows), work_of(f, thread)
    if chunk >= chunks:
        source = normed_of(f, thread) if step.kind == HEAD else buffer(f, step.source)
        column = column_of(f, step)
        if chunk == chunks and column >= 0:
            note_features(f, column, source)
        else:
            normed = floats(source + 4 * f.first_logits * f.hidden)
            for i in range(rows * f.hidden):
                floats(f.own)[i] = normed[i]
    elif step.kind == PROJECT:
        start, end, first, count = part_of(step.product, STORE, rows, chunk)
        for block in range(start, end):
            here = work + 4 * (block - start) * ROWS * BLOCK
            sink_projected(f, step, block, first, count, here)
    else:
        out, cap = f.logits if step.kind == HEAD else buffer(f, step.to), np.float32(f.logit_softcap)
        sink_chunk(step.product, step.sink, step.activation, cap, chunk, rows, work, out)


def _most(noisy: bool):
    """A function for the largest of vectors of x / by, or with noise of x / by + noise: most(x, noise, by,
    vectors), addresses but for `by` and the count. A compiler may not take the largest of numbers in another
    order than theirs, since one may be none; those are passed over here."""
    i64, number = ir.IntType(64), ir.FloatType()
    vector = ir.VectorType(number, LANES)

    @intrinsic
    def most(typing, x, noise, by, vectors):
        def generate(context, builder, signature, arguments):
            x, noise, by, vectors = arguments
            x, noise = (builder.inttoptr(p, vector.as_pointer()) for p in (x, noise))
            by = _splat(builder, by)
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


most_of, most_with_noise = (_most(noisy) for noisy in (False, True))


@sums_in_any_order
def sum_of_weights(x, size, by, most):
    """Of x / by less its largest: the sum of the exponentials, and of them times what they are of."""
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
    count = 0
    for i in range(size):
        count += x[i] != x[i]
    return count


@compiled
def most_from(x, noise, by, first, last):
    """The largest of x / by + noise between two places, of x / by where there is no noise."""
    count = (last - first) // LANES
    if noise:
        most = most_with_noise(x + 4 * first, noise + 4 * first, by, count)
    else:
        most = most_of(x + 4 * first, 0, by, count)
    for i in range(first + count * LANES, last):
        here = floats(x)[i] / by
        if noise:
            here += floats(noise)[i]
        if here > most:
            most = here
    return most


@compiled
def where_most(x, noise, by, first, last):
    """The largest of x / by + noise between two places, and the first place where it is."""
    most, at = np.float32(-np.inf), first
    for start in range(first, last, AT_ONCE):
        end = min(start + AT_ONCE, last)
        here = most_from(x, noise, by, start, end)
        if here > most:
            most, at = here, start
            while at < end - 1:
                value = floats(x)[at] / by
                if noise:
                    value += floats(noise)[at]
                if value == most:
                    break
                at += 1
    return most, at


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

        seed = _splat(builder, seed, WORDS)
        keys = [(lower(seed), upper(seed))]
        for _ in range(1, PHILOX_ROUNDS):
            steps = zip(keys[-1], KEY_STEPS, strict=True)
            keys.append(tuple(lower(builder.add(key, number(step))) for key, step in steps))
        position = lower(_splat(builder, position, WORDS))

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
        wholes(scratch)[i] = first // 2 + i
    philox(
        scratch, position, seed, scratch + 8 * AT_ONCE, scratch + 16 * AT_ONCE, (blocks + WORDS - 1) // WORDS
    )


@compiled
def noise_of_words(count, out, scratch):
    high, low = words(scratch + 8 * AT_ONCE), words(scratch + 16 * AT_ONCE)
    for i in range(count):
        floats(out)[i] = gumbel(high[i], low[i])


@compiled
def most_noise_of_words(count, scratch):
    """No less than the noise of any of `count` tokens, from the upper halves of their random bits."""
    high = words(scratch + 8 * AT_ONCE)
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
        wholes(counters)[i] = wholes(tokens)[i] >> 1
    philox(counters, position, seed, high, low, (count + WORDS - 1) // WORDS)
    for i in range(count):
        half = (wholes(tokens)[i] & 1) * 32
        floats(out)[i] = gumbel(np.uint32(wholes(high)[i] >> half), np.uint32(wholes(low)[i] >> half))


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
def run_noise(n):
    for row in range(n.rows):
        draw_all(n.seed, n.first + row, n.vocab, n.size, n.out + 4 * row * n.size, n.scratch)


@compiled
def run_read(r):
    """A drafted token and its numbers, see `read_draft`."""
    x, vocab, size = floats(r.logits), wholes(r.vocab), r.size
    temperature, by = np.float32(r.temperature), np.float32(r.score_temperature)
    noise = r.scratch + NOISE_BYTES if r.noisy else 0
    if noise:
        draw_all(r.seed, r.position, r.vocab, size, noise, r.scratch)
    chosen = where_most(r.logits, noise, temperature, 0, size)[1]
    first, top = where_most(r.logits, 0, by, 0, size)
    second = max(most_from(r.logits, 0, by, 0, top), most_from(r.logits, 0, by, top + 1, size))
    total, below = sum_of_weights(x, size, by, first)
    token = vocab[chosen] if r.vocab else chosen
    q = np.float32(1)
    if noise:
        most, sampled = first, total
        if temperature != by:
            most = most_from(r.logits, 0, temperature, 0, size)
            sampled, _ = sum_of_weights(x, size, temperature, most)
        q = exp(x[chosen] / temperature - most) / sampled
    wholes(r.places)[0] = chosen
    wholes(r.places)[1] = token
    numbers = floats(r.numbers)
    numbers[0] = token
    numbers[1] = np.float32(np.nan) if count_undefined(x, size) else np.log(total) - below / total
    numbers[2] = np.float32(1) / total
    numbers[3] = (np.float32(1) - exp(second - first)) / total
    numbers[4] = exp(x[chosen] / by - first) / total
    numbers[5] = q


@compiled
def find_tops(c, row, first, last):
    """The largest x / temperature of each part of a row, of AT_ONCE logits, between two parts."""
    x, by, parts = c.logits + 4 * row * c.size, np.float32(c.temperature), parts_of(c.size)
    for part in range(first, last):
        start, end = part * AT_ONCE, min((part + 1) * AT_ONCE, c.size)
        floats(c.tops)[row * parts + part] = most_from(x, 0, by, start, end)


@compiled
def where_most_noisy(c, row, first, last, scratch):
    """The largest x / temperature + noise between two parts of a row, and the first place where it is.

    The token with the largest logit and its own noise is a bound from below: a part is passed over where
    its largest logit with the most noise in it cannot reach that. The choice stays the same."""
    x, by, parts = c.logits + 4 * row * c.size, np.float32(c.temperature), parts_of(c.size)
    tops, noise, position = floats(c.tops + 4 * row * parts), scratch + NOISE_BYTES, c.position + row
    highest = 0
    for part in range(1, parts):
        if tops[part] > tops[highest]:
            highest = part
    start, end = highest * AT_ONCE, min((highest + 1) * AT_ONCE, c.size)
    top = where_most(x, 0, by, start, end)[1]
    draw_row(c.seed, position, top // 2 * 2, 2, noise, scratch)
    least = floats(x)[top] / by + floats(noise)[top % 2] - np.float32(MARGIN)

    most, at = np.float32(-np.inf), first * AT_ONCE
    for part in range(first, last):
        start, end = part * AT_ONCE, min((part + 1) * AT_ONCE, c.size)
        draw_words(c.seed, position, start, end - start, scratch)
        if tops[part] + most_noise_of_words(end - start, scratch) < least:
            continue
        noise_of_words(end - start, noise, scratch)
        here, place = where_most(x, noise - 4 * start, by, start, end)
        if here > most:
            most, at = here, place
    return most, at


@compiled
def parts_of(size):
    return (size + AT_ONCE - 1) // AT_ONCE


@compiled
def piece_of(c, item):
    """Which row a piece is of, and between which parts of it."""
    row, piece, parts = item // PIECES, item % PIECES, parts_of(c.size)
    return row, parts * piece // PIECES, parts * (piece + 1) // PIECES


@compiled
def choose_chunk(c, index, item, thread):
    """One piece of a step of `choose`. Whoever does it again writes the same."""
    best, places, by = floats(c.best), wholes(c.places), np.float32(c.temperature)
    if index == 2:
        at = item * PIECES
        for piece in range(at + 1, at + PIECES):
            if best[piece] > best[at]:
                at = piece
        wholes(c.chosen)[item] = places[at]
        return
    row, first, last = piece_of(c, item)
    if index == 1:
        if not c.noisy:
            return
        scratch = c.scratch + thread * c.scratch_bytes
        best[item], places[item] = where_most_noisy(c, row, first, last, scratch)
        return
    start, end = first * AT_ONCE, min(last * AT_ONCE, c.size)
    x = c.logits + 4 * row * c.size
    if c.noisy:
        find_tops(c, row, first, last)
    else:
        best[item], places[item] = where_most(x, 0, by, start, end)
    if count_undefined(floats(x + 4 * start), end - start):
        wholes(c.undefined)[0] = 1


# A job: threads share its steps, see the top of this file. A job's kind says what its call's record is.


@compiled
def word(j, thread, which):
    """The address of a thread's word in a team's memory."""
    return j.lines + thread * LINE_BYTES + 8 * which


@compiled
def nanoseconds(place):
    """The time; two words at `place` are written over."""
    clock_gettime(1, place)  # CLOCK_MONOTONIC
    return wholes(place)[0] * 1_000_000_000 + wholes(place)[1]


@compiled
def now(j, thread):
    return nanoseconds(word(j, thread, CLOCK))


@compiled
def newest_tick(j):
    """The last tick that a chunk was done of; all steps before it are finished."""
    newest = 0
    for thread in range(j.threads):
        newest = max(newest, load(word(j, thread, DONE)) >> COUNT_BITS)
    return newest


@compiled
def is_finished(j, tick, chunks):
    """Whether a step's chunks are all done."""
    done = 0
    for thread in range(j.threads):
        counted = load(word(j, thread, DONE))
        if counted >> COUNT_BITS > tick:
            return True
        if counted >> COUNT_BITS == tick:
            done += counted & ((1 << COUNT_BITS) - 1)
    return done >= chunks


@compiled
def count_done(j, tick, thread):
    place = word(j, thread, DONE)
    counted = wholes(place)[0]
    if counted >> COUNT_BITS != tick:
        counted = tick << COUNT_BITS
    release(place, counted + 1)


@compiled
def chunks_of(j, f, steps, c, m, index):
    if j.kind == FORWARDS:
        return chunks_of_step(f, steps[index])
    if j.kind == CHOOSES:
        return c.rows if index == 2 else c.rows * PIECES
    return product_chunks(m.product, m.sink, m.rows)


@compiled
def prepare(j, f, steps, m, index, thread):
    if j.kind == FORWARDS:
        return prepare_step(f, steps[index], thread)
    if j.kind == MULTIPLIES:
        scales = m.scratch + thread * m.scratch_bytes + 4 * MOST_BLOCKS * ROWS * BLOCK
        return take(m.product, m.x, m.rows, scales + 4 * m.rows, scales)
    return 0


@compiled
def do_chunk(j, f, steps, c, m, index, chunk, x, thread, state):
    """Do a chunk that is not done yet."""
    tick = j.tick + index
    if load(state) >= tick:
        return
    if j.kind == FORWARDS:
        compute_chunk(f, steps[index], chunk, x, thread)
    elif j.kind == CHOOSES:
        choose_chunk(c, index, chunk, thread)
    else:
        work = m.scratch + thread * m.scratch_bytes
        scales = work + 4 * MOST_BLOCKS * ROWS * BLOCK
        multiply_chunk(m.product, m.sink, chunk, m.rows, x, scales, work)
    before = load(state)
    if before >= tick or not swap(state, before, tick):
        return
    if j.kind == FORWARDS:
        finish_chunk(f, steps[index], chunk, thread)
    elif j.kind == MULTIPLIES:
        sink_chunk(m.product, m.sink, m.activation, NO_CAP, chunk, m.rows, work, m.out)
    count_done(j, tick, thread)


@compiled
def run_step(j, f, steps, c, m, index, chunks, thread):
    """Do a thread's part of a step, then what others leave undone; the step is finished when this returns."""
    tick, threads = j.tick + index, j.threads
    began = now(j, thread) if threads > 1 else 0
    x = prepare(j, f, steps, m, index, thread)
    first, last = range_of(chunks, thread, threads)
    for chunk in range(first, last):
        do_chunk(j, f, steps, c, m, index, chunk, x, thread, state_of(j, thread, chunk - first))
    if is_finished(j, tick, chunks):
        return
    ready = now(j, thread)
    for turn in range(1, threads):  # from the ends of the others' ranges, up to where they may be
        owner = (thread + turn) % threads
        start, end = range_of(chunks, owner, threads)
        for chunk in range(end - 1, start - 1, -1):
            state = state_of(j, owner, chunk - start)
            if load(state) >= tick:
                continue
            begun = end - start == 1 if chunk == start else load(state - 8) >= tick
            if begun:
                break
            do_chunk(j, f, steps, c, m, index, chunk, x, thread, state)
    did = last - first
    until = now(j, thread) + PATIENCE_NS + 2 * ((ready - began) // did if did else UNKNOWN_NS)
    while now(j, thread) < until:
        for _ in range(4):
            if is_finished(j, tick, chunks):
                return
            pause()
    while not is_finished(j, tick, chunks):
        for turn in range(1, threads):
            owner = (thread + turn) % threads
            start, end = range_of(chunks, owner, threads)
            for chunk in range(start, end):
                do_chunk(j, f, steps, c, m, index, chunk, x, thread, state_of(j, owner, chunk - start))
        if not is_finished(j, tick, chunks):
            sched_yield()  # to one that is between its swap and its count


@compiled
def range_of(chunks, thread, threads):
    """The chunks that a thread does if all keep their cores."""
    return chunks * thread // threads, chunks * (thread + 1) // threads


@compiled
def state_of(j, thread, place):
    """The address of the state of a chunk, the thread's at that place."""
    return j.states + thread * j.state_bytes + 8 * place


@compiled
def run_job(j, thread):
    f = carray(untyped(j.call), 1, FORWARD)[0]  # of these three, what the kind says
    steps = carray(untyped(f.steps) if j.kind == FORWARDS else untyped(j.call), j.steps, STEP_OF_FORWARD)
    c = carray(untyped(j.call), 1, CHOOSE)[0]
    m = carray(untyped(j.call), 1, MULTIPLY)[0]
    index = 0
    while True:
        index = max(index, newest_tick(j) - j.tick)  # what others have finished meanwhile is passed over
        if index >= j.steps:
            return
        chunks = chunks_of(j, f, steps, c, m, index)
        if not is_finished(j, j.tick + index, chunks):
            run_step(j, f, steps, c, m, index, chunks, thread)
        index += 1


@region
def read_region(arguments):
    run_read(carray(arguments, 1, READ)[0])


@region
def noise_region(arguments):
    run_noise(carray(arguments, 1, NOISE)[0])


# A team's memory: its epoch, its job's address, then a line for each thread.


@compiled
def job_of(team):
    return carray(untyped(load(team + TEAM_JOB)), 1, JOB)[0]


@cfunc(types.void(types.int64, types.int64), cache=KEEP)
def lead(team, job):
    """Have a team work on a job, and work on it too; it is done when this returns. The epoch is odd while a
    job is open."""
    exchange(team + TEAM_JOB, job)
    j = job_of(team)
    if j.threads > 1:
        exchange(team, load(team) + 1)
        for thread in range(1, j.threads):
            if exchange(word(j, thread, ASLEEP), 0):
                sem_post(word(j, thread, SEMAPHORE))
    run_job(j, 0)
    if j.threads > 1:
        exchange(team, load(team) + 1)


@cfunc(types.void(types.int64, types.int64), cache=KEEP)
def follow(team, thread):
    """A thread of a team, for good: work on each job while it is open; sleep where none comes for a while."""
    line = team + LINE_BYTES * (1 + thread)
    active, asleep, semaphore = line + 8 * ACTIVE, line + 8 * ASLEEP, line + 8 * SEMAPHORE
    seen, idle_since = 0, nanoseconds(line + 8 * CLOCK)
    while True:
        epoch = load(team)
        if epoch % 2 and epoch != seen:
            exchange(active, epoch)
            if load(team) == epoch:  # whoever closes it from now on sees that this thread is active
                j = job_of(team)
                if thread < j.threads:
                    run_job(j, thread)
            exchange(active, 0)
            seen, idle_since = epoch, nanoseconds(line + 8 * CLOCK)
            continue
        for _ in range(32):
            pause()
        if nanoseconds(line + 8 * CLOCK) - idle_since > IDLE_NS:
            exchange(asleep, 1)
            epoch = load(team)
            if not (epoch % 2 and epoch != seen and exchange(asleep, 0)):
                sem_wait(semaphore)  # until `lead` has found this thread asleep
            idle_since = nanoseconds(line + 8 * CLOCK)


class Packed(NamedTuple):
    """A product's weights as the kernels read them: the record that says where they are, what it points at,
    and whether half of its outputs are the gate of the others."""

    record: ctypes.Structure
    tensors: list[Tensor]
    gate: bool


def can_pack(weight: Tensor) -> bool:
    """Whether there are tiles for a weight [outputs, inputs]."""
    return weight.shape[1] % STEP == 0 and weight.dtype in (torch.float32, torch.bfloat16, torch.int8)


def pack(
    weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None, gate: bool = False
) -> Packed:
    """Lay out a weight [outputs, inputs], float32, bfloat16 or int8 with a scale [outputs]. Where its first
    half is the gate of the second, a block has 16 outputs of either."""
    parts = 2 if gate else 1
    size = BLOCK // parts

    def blocks(rows: Tensor) -> Tensor:
        """[blocks, 32, …], zeros where there are no more rows."""
        padding = (0, 0) * (rows.dim() - 1) + (0, -(len(rows) // parts) % size)
        return torch.cat([F.pad(part, padding).unflatten(0, (-1, size)) for part in rows.chunk(parts)], 1)

    if scale is None:
        tensors = [aligned(blocks(weight.detach()).transpose(1, 2)), bias, None, None]
    else:
        tiles, sums = lay_out(weight.detach(), size, parts)
        tensors = [tiles, bias, scale, sums]
    for place in (1, 2):
        if tensors[place] is not None:
            tensors[place] = aligned(blocks(tensors[place].detach().float()))
    record = Product(*map(_address, tensors), *weight.shape[::-1], weight.dtype == torch.bfloat16)
    return Packed(record, tensors, gate)


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _round_up(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def multiply(
    packed: Packed, x: Tensor, add_to: Tensor | None = None, activation: str | None = None
) -> Tensor:
    """A product with x [rows, inputs], or a gate's: [rows, outputs]; `add_to` is added. `activation` is one
    of ACTIVATIONS."""
    x = x.contiguous()
    rows, inputs = x.shape
    outputs = packed.record.outputs
    sink = GATE if packed.gate else ACTIVATE if activation is not None else STORE
    if add_to is not None:
        sink, out = ADD, add_to.clone(memory_format=torch.contiguous_format)
    else:
        out = torch.empty(rows, outputs // 2 if packed.gate else outputs)
    if rows:
        each = _round_up(4 * (MOST_BLOCKS * ROWS * BLOCK + rows) + rows * inputs)
        room = torch.empty(threads_wanted() * each, dtype=torch.uint8)
        addresses = (out.data_ptr(), room.data_ptr(), each)
        kind = ACTIVATIONS.index(activation or "silu")
        call = MultiplyCall(packed.record, x.data_ptr(), rows, sink, kind, *addresses)
        chunks = -(-outputs // LANES) * -(-rows // ROWS)
        team.run(MULTIPLIES, call, 1, chunks, keep=(packed, x, out, room))
    return out


def threads_wanted() -> int:
    return min(torch.get_num_threads(), MOST_THREADS)


class Team:
    """Threads that share jobs, and the memory by which they do. The thread that asks for a job leads it; the
    others are started when they are first wanted, and stay.

    Args:
        alone: never start others.
    """

    def __init__(self, alone: bool = False):
        self.alone = alone
        self.lock = threading.Lock()
        words = (1 if alone else MOST_THREADS) + 1
        self.memory = aligned(torch.zeros(words, LINE_BYTES // 8, dtype=torch.long))
        self.address = self.memory.data_ptr()
        self.actives = self.memory[1:, ACTIVE].numpy()
        self.states = torch.zeros(0, dtype=torch.long)
        self.width = 0  # of each thread's states
        self.started = 1
        self.tick = 1
        self.kept: list[tuple[dict[int, int], object]] = []  # by threads that had not left, what they read

    def run(
        self, kind: int, call: ctypes.Structure, steps: int, most_chunks: int, keep, quick: bool = False
    ) -> None:
        """Run a job to its end.

        Args:
            call: the record of its kind.
            most_chunks: that a step of it has at the most.
            keep: what the addresses in the call are of.
            quick: take so little time that the interpreter's lock is kept meanwhile: to get it back from a
                busy thread can take milliseconds.
        """
        if not self.lock.acquire(blocking=False):  # another Python thread's job: this one does without others
            Team(alone=True).run(kind, call, steps, most_chunks, keep, quick)
            return
        try:
            threads = 1 if self.alone else self._start(threads_wanted())
            self._make_room(threads, most_chunks)
            work = (kind, ctypes.addressof(call), steps, self.tick, threads)
            job = JobRecord(*work, self.address + LINE_BYTES, self.states.data_ptr(), 8 * self.width)
            self.tick += steps
            (lead_quickly if quick else lead_freely)(self.address, ctypes.addressof(job))
            self._keep((call, job, self.states, keep))
        finally:
            self.lock.release()

    def _start(self, threads: int) -> int:
        """Start threads until there are `threads`; return how many there are."""
        while self.started < threads:
            line = self.address + LINE_BYTES * (1 + self.started)
            if libc.sem_init(ctypes.c_void_p(line + 8 * SEMAPHORE), 0, 0):
                return self.started  # a system without semaphores in memory
            arguments = (self.address, self.started)
            threading.Thread(target=follow_freely, args=arguments, name="kernels", daemon=True).start()
            self.started += 1
        return threads

    def _make_room(self, threads: int, most_chunks: int) -> None:
        """Have a state for each chunk of every thread's range."""
        needed = -(-most_chunks // threads)
        if self.width < needed or len(self.states) < self.width * threads:
            self.width = max(-(-needed // 8) * 8, self.width)
            self.states = aligned(torch.zeros(threads * self.width, dtype=torch.long))

    def _keep(self, objects: object) -> None:
        """Keep what late threads may still read, for as long as they may."""
        active = {thread: epoch for thread in range(1, self.started) if (epoch := int(self.actives[thread]))}
        if self.kept:
            self.kept = [(late, kept) for late, kept in self.kept if late.items() & active.items()]
        if active:
            self.kept.append((active, objects))


lead_freely, lead_quickly = (
    prototype(None, ctypes.c_int64, ctypes.c_int64)(lead.address)
    for prototype in (ctypes.CFUNCTYPE, ctypes.PYFUNCTYPE)
)
follow_freely = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(follow.address)
team = Team()


def _new_team() -> None:
    """A fork has none of its parent's threads."""
    global team
    team = Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_team)


def norm_record(norm) -> NormRecord:
    """What kernels read of a `Norm`, or of None."""
    if norm is None:
        return NormRecord()
    return NormRecord(True, _address(norm.weight), _address(norm.bias), norm.center, norm.eps)


def layer_steps(index: int, layer, rotaries: list) -> list[Step]:
    """A layer as steps. The MLP of a parallel layer reads what attention has not been added to yet."""
    rotary = -1 if layer.rotary is None else layer.rotary
    turning = {"rotary": rotary, "rotated": 0 if rotary < 0 else rotaries[rotary].rotated}
    heads_normed = layer.query_norm is not None or layer.key_norm is not None

    project = Step(
        kind=PROJECT,
        layer=index,
        column=index,
        norm=norm_record(layer.attention_norm),
        rotary=-1,
        product=layer.qkv.packed.record,
    )
    attention = [project]
    if heads_normed:
        norms = {"norm": norm_record(layer.query_norm), "key_norm": norm_record(layer.key_norm)}
        attention.append(Step(kind=TURN, layer=index, per_head=layer.norm_heads, **norms, **turning))
    else:
        project.rotary, project.rotated = turning.values()
    attention.append(Step(kind=ATTEND, layer=index, window=layer.window or 0))
    up = Step(
        kind=DENSE,
        source=X,
        to=GATED,
        column=-1,
        norm=norm_record(layer.mlp_norm),
        sink=GATE if layer.up.packed.gate else ACTIVATE,
        activation=ACTIVATIONS.index(layer.up.activation),
        product=layer.up.packed.record,
    )
    attention_out = _onto_stream(ATTENDED, layer.attention_out, layer.attention_out_norm)
    down = _onto_stream(GATED, layer.down, layer.mlp_out_norm)
    if layer.parallel:
        return [*attention, up, *attention_out, *down]
    return [*attention, *attention_out, up, *down]


def _onto_stream(source: int, product, norm) -> list[Step]:
    """Add a product to the residual stream, through a norm where there is one."""
    step = Step(kind=DENSE, source=source, to=X, sink=ADD, column=-1, product=product.packed.record)
    if norm is None:
        return [step]
    step.to, step.sink = BRANCH, STORE
    return [step, Step(kind=ADD_NORMED, column=-1, norm=norm_record(norm))]


class Forward:
    """All forwards of a model with packed layers, each in one call.

    Args:
        layers: PackedLayers.
        embeddings: [V, H] in float32, multiplied by `embedding_scale` as they are read.
        final_norm: a `Norm`.
        head: a PackedLinear.
        rotaries: the model's rotary embeddings; their tables grow as far as they are asked for.
        eps: of the features' norm.
        widths: inputs of products beside those of the layers.
        attention_scale: what scores are multiplied by, 1/√d by default.
        attention_softcap, logit_softcap: bend scores and logits so that none is larger; None does not.
    """

    def __init__(
        self,
        layers: list,
        embeddings: Tensor,
        final_norm,
        head,
        rotaries: list,
        *,
        heads: int,
        kv_heads: int,
        head_dim: int,
        eps: float,
        widths: tuple[int, ...] = (),
        embedding_scale: float = 1.0,
        attention_scale: float | None = None,
        attention_softcap: float | None = None,
        logit_softcap: float | None = None,
    ):
        steps = [Step(kind=START), Step(kind=SEEN)]
        for index, layer in enumerate(layers):
            steps += layer_steps(index, layer, rotaries)
        sink = CAP if logit_softcap else STORE
        steps.append(
            Step(
                kind=HEAD,
                source=X,
                sink=sink,
                norm=norm_record(final_norm),
                product=head.packed.record,
                column=len(layers),
            )
        )
        self.steps = (Step * len(steps))(*steps)
        self.tensors = (layers, embeddings, final_norm, head)  # that addresses are of
        self.rotaries = rotaries
        self.columns: dict[tuple[int, ...], ctypes.Array] = {}
        hidden, attended = embeddings.shape[1], heads * head_dim
        products = [step.product for step in steps]
        gated = max((step.product.inputs for step in steps if step.source == GATED), default=0)
        self.widths = (hidden, attended, attended, gated, hidden)  # of x, queries, attended, gated, branch
        self.most_blocks = max(-(-product.outputs // LANES) for product in products)
        self.fixed = ForwardCall(
            steps=ctypes.addressof(self.steps),
            step_count=len(steps),
            hidden=hidden,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            widest=max(*self.widths, *widths),
            embeddings=embeddings.data_ptr(),
            vocab_size=len(embeddings),
            eps=eps,
            embedding_scale=embedding_scale,
            attention_scale=attention_scale or head_dim**-0.5,
            attention_softcap=attention_softcap or 0,
            logit_softcap=logit_softcap or 0,
        )
        self.outputs = head.packed.record.outputs

    def __call__(self, token_ids: Tensor, cache, logits: str, feature_layers: tuple[int, ...]) -> Output:
        """What `PackedModel.forward` says."""
        f = ForwardCall.from_buffer_copy(self.fixed)
        rows = len(token_ids)
        asked = {"all": rows, "last": min(rows, 1), "none": 0}[logits]
        features = None
        if feature_layers:
            if feature_layers not in self.columns:
                places = {layer: column for column, layer in enumerate(feature_layers)}
                columns = [places.get(layer, -1) for layer in range(self.steps[-1].column + 1)]
                self.columns[feature_layers] = (ctypes.c_int64 * len(columns))(*columns)
            features = torch.empty(rows, len(feature_layers) * f.hidden)
            f.features, f.feature_width = features.data_ptr(), features.shape[1]
            f.feature_columns = ctypes.addressof(self.columns[feature_layers])
        scores = self._run(f, token_ids, cache, asked, features)
        return Output(None if logits == "none" else scores, features)

    def draft(
        self,
        token_ids: Tensor,
        cache,
        from_token: Packed,
        seen: Tensor,
        from_seen: Packed,
        asked: int = 1,
        tails: Tensor | None = None,
        first: int = 0,
        drafts: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """A feature drafter's own output [asked, H] and logits [asked, Vq] after the last of token_ids [T],
        each beside what it saw one position back, seen [T, F]; the two products make its stream of them.

        With `tails` [T, capacity, 2, kv_heads, d] they are drafts side by side, after the cache's positions
        first, first + 1, … and so many `drafts` before them, whose keys and values are in their tails, as
        theirs will be. The cache stays as it is.
        """
        f = ForwardCall.from_buffer_copy(self.fixed)
        seen = seen.contiguous()
        own = torch.empty(asked, f.hidden)
        f.from_token, f.from_seen = from_token.record, from_seen.record
        f.seen, f.own = seen.data_ptr(), own.data_ptr()
        keep = (from_token, from_seen, seen, own, tails)
        if tails is None:
            return own, self._run(f, token_ids, cache, asked, keep)
        if drafts >= tails.shape[1]:
            raise IndexError(f"{drafts + 1} drafts in tails for {tails.shape[1]}")
        f.tails, f.tail_capacity, f.drafts = tails.data_ptr(), tails.shape[1], drafts
        return own, self._run(f, token_ids, cache, asked, keep, first + 1)

    def _run(
        self, f: ForwardCall, token_ids: Tensor, cache, asked: int, keep=None, start: int | None = None
    ) -> Tensor:
        """Append token_ids [T] to the cache, or to tails; returns the logits [asked, V] of the last ones."""
        rows = len(token_ids)
        start = cache.length if start is None else start
        end = start + rows + f.drafts
        if not f.tails and end > cache.data.shape[1]:
            raise IndexError(f"{end} tokens in a cache for {cache.data.shape[1]}")
        for rotary in self.rotaries:
            rotary(start, end - start)  # has the table reach so far
        tables = [rotary.table for rotary in self.rotaries]
        rotaries = (ctypes.c_int64 * len(tables))(*map(_address, tables))
        scores = torch.empty(asked, self.outputs)
        work = 4 * max(MOST_BLOCKS * ROWS * BLOCK, f.head_dim)
        each = _round_up(work + 4 * (rows * (2 + f.widest + f.hidden) + end))
        sizes = [_round_up(4 * rows * width) for width in self.widths]
        room = torch.empty(sum(sizes) + ALIGNED + threads_wanted() * each, dtype=torch.uint8)
        wrong_token = ctypes.c_int64(0)
        token_ids = token_ids.contiguous()
        f.token_ids, f.rows, f.start = token_ids.data_ptr(), rows, start
        f.cache, f.cache_layer = cache.data.data_ptr(), 4 * cache.data.stride(0)
        f.rotaries = ctypes.addressof(rotaries)
        f.logits, f.first_logits = scores.data_ptr() if asked else 0, rows - asked
        addresses = list(accumulate(sizes, initial=_round_up(room.data_ptr())))
        f.x, f.queries, f.attended, f.gated, f.branch, f.scratch = addresses
        f.scratch_bytes = each
        f.wrong_token = ctypes.addressof(wrong_token)
        if rows:
            groups = -(-rows // ROWS)
            chunks = max(self.most_blocks * groups + 2, rows * f.heads)
            keep = (self, token_ids, cache.data, tables, rotaries, room, wrong_token, scores, keep)
            team.run(FORWARDS, f, f.step_count, chunks, keep, quick=len(self.steps) < 16 and rows <= ROWS)
        if wrong_token.value:
            raise IndexError(f"a token of {token_ids.tolist()} is none of {f.vocab_size}")
        if not f.tails:
            cache.length = end
        return scores


call_read, call_noise = (
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(kernel.address) for kernel in (read_region, noise_region)
)


def read_draft(
    logits: Tensor,
    noise: NoisePlace | None,
    vocab: Tensor | None,
    temperature: float,
    score_temperature: float,
) -> DraftNumbers:
    """The token that a draft's logits [Vq] give with the shared noise at a place, or at temperature 0 without
    any, and its numbers at a score temperature, as draft_kernel.py has them. `vocab` as in `DraftSession`."""
    logits = logits.float().contiguous()
    size = len(logits)
    seed, position = noise or (0, 0)
    places = torch.empty(2, dtype=torch.long)
    numbers = torch.empty(6)
    room = torch.empty(NOISE_BYTES + 4 * size, dtype=torch.uint8)
    call = ReadCall(
        *(logits.data_ptr(), noise is not None, seed, position, _address(vocab), size),
        *(places.data_ptr(), numbers.data_ptr(), room.data_ptr()),
        *(1 if noise is None else temperature, score_temperature),
    )
    call_read(ctypes.addressof(call))
    return DraftNumbers(places[:1], places[1:], numbers)


def choose(logits: Tensor, noise: NoisePlace | None, temperature: float) -> tuple[Tensor, bool]:
    """The token [T] where each row of logits [T, V] / temperature + shared noise is largest, and whether any
    logit is NaN. The first row takes the noise at `noise`, the next rows the positions after it; without
    noise the largest logit is chosen."""
    logits = logits.float().contiguous()
    rows, size = logits.shape
    seed, position = noise or (0, 0)
    room = torch.empty(rows * (1 + 2 * PIECES), dtype=torch.long)
    each = NOISE_BYTES + 4 * AT_ONCE
    scratch = torch.empty(threads_wanted() * each, dtype=torch.uint8)
    tops = torch.empty(rows, -(-size // AT_ONCE)) if noise else None
    undefined = ctypes.c_int64(0)
    chosen, at = room[:rows], room.data_ptr() + 8 * rows
    call = ChooseCall(
        *(logits.data_ptr(), noise is not None, seed, position, rows, size),
        *(at, at + 8 * rows * PIECES, room.data_ptr(), ctypes.addressof(undefined)),
        *(_address(tops), scratch.data_ptr(), each),
        1 if noise is None else temperature,
    )
    if rows:
        keep = (logits, room, undefined, tops, scratch)
        team.run(CHOOSES, call, 3, rows * PIECES, keep, quick=True)
    return chosen, bool(undefined.value)


def noise_rows(seed: int, first: int, count: int, vocab_size: int) -> Tensor:
    """`noise.noise_rows`, [count, V]."""
    return _draw_noise(seed, first, count, vocab_size, None)


def noise_of(seed: int, position: int, token_ids: Tensor) -> Tensor:
    """`noise.noise_of`, [n]."""
    return _draw_noise(seed, position, 1, len(token_ids), token_ids.contiguous())[0]


def _draw_noise(seed: int, first: int, count: int, size: int, token_ids: Tensor | None) -> Tensor:
    out = torch.empty(count, size)
    scratch = torch.empty(NOISE_BYTES, dtype=torch.uint8)
    call = NoiseCall(seed, first, count, _address(token_ids), size, out.data_ptr(), scratch.data_ptr())
    call_noise(ctypes.addressof(call))
    return out
