"""The CPU's kernels, compiled here by Numba: a whole forward is one parallel region of torch's own threads.

A forward of few tokens is limited by reading the weights, so that is all it should do. Called one by one, its
products and norms spend as long on their calls as on their work; here nothing but a barrier lies between two.
Weights are laid out in blocks of 32 outputs, [outputs/32, inputs, 32], which a tile reads once from end to
end for up to eight rows. Each output adds up its inputs in one order, and each row is normed and attends by
itself: what a token's numbers are does not depend on how many tokens are beside it, to the bit.

int8 weights [outputs/32, inputs/4, 32, 4] have a scale for each output. Inputs are rounded as they come, with
a scale for each row; sums of whole numbers are exact.
"""

import ctypes
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import binding, ir
from numba import carray, cfunc, literal_unroll, njit, types
from numba.core import config
from numba.extending import intrinsic
from torch import Tensor

from adaedl.models.int8 import LEAST_SCALE, LEVELS
from adaedl.models.memory import ALIGNED, aligned
from adaedl.models.runner import Output
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


def _compiles_for(feature: str) -> bool:
    """Whether Numba compiles for a processor that has it: the one at hand, if it is told of no other."""
    if config.CPU_NAME or config.CPU_FEATURES:
        return f"+{feature}" in (config.CPU_FEATURES or "")
    return bool(binding.get_host_cpu_features().get(feature))


VNNI = _compiles_for("avx512vnni")
OFFSET = 128 if VNNI else 0  # VNNI multiplies numbers without a sign by numbers with one

OpenMP = ctypes.CDLL(None)
parallel = OpenMP.GOMP_parallel  # torch's: its pool of threads runs the kernels too
parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
parallel.restype = None
for name in ("GOMP_barrier", "omp_get_thread_num", "omp_get_num_threads"):
    binding.add_symbol(name, ctypes.cast(getattr(OpenMP, name), ctypes.c_void_p).value)
barrier = types.ExternalFunction("GOMP_barrier", types.void())
thread_number = types.ExternalFunction("omp_get_thread_num", types.int32())
thread_count = types.ExternalFunction("omp_get_num_threads", types.int32())


def _record(name: str, *fields) -> tuple[type[ctypes.Structure], np.dtype]:
    """A structure of 64-bit numbers and structures, as Python fills it and as kernels read it."""
    fields = [field if isinstance(field, tuple) else (field, INT64) for field in fields]
    structure = type(name, (ctypes.Structure,), {"_fields_": [(field, kinds[0]) for field, kinds in fields]})
    return structure, np.dtype([(field, kinds[1]) for field, kinds in fields])


INT64 = (ctypes.c_int64, np.int64)
FLOAT64 = (ctypes.c_double, np.float64)
# Addresses, counts, and 0 for what is not there.
Product, PRODUCT = _record("Product", "weight", "bias", "scale", "sums", "inputs", "outputs")
Layer, LAYER = _record(
    "Layer",
    *("attention_norm", "mlp_norm"),
    *((name, (Product, PRODUCT)) for name in ("qkv", "attention_out", "gate_up", "down")),
)
MultiplyCall, MULTIPLY = _record(
    "MultiplyCall", ("product", (Product, PRODUCT)), "x", "rows", "sink", "out", "scratch", "scratch_bytes"
)
ForwardCall, FORWARD = _record(
    "ForwardCall",
    *("layers", "table", "hidden", "heads", "kv_heads", "head_dim", "widest", "embeddings", "vocab_size"),
    *("final_norm", ("head", (Product, PRODUCT)), ("eps", FLOAT64)),
    *("token_ids", "rows", "start", "cache", "cache_layer", "rotary", "logits", "first_logits"),
    *("features", "feature_columns", "feature_width"),
    *(("from_token", (Product, PRODUCT)), ("from_seen", (Product, PRODUCT)), "seen", "own"),
    *("tails", "tail_capacity", "drafts"),
    *("x", "queries", "attended", "gated", "scratch", "scratch_bytes", "wrong_token"),
)
ReadCall, READ = _record(
    "ReadCall",
    *("logits", "noisy", "seed", "position", "vocab", "size", "places", "numbers", "scratch"),
    *((name, FLOAT64) for name in ("temperature", "score_temperature")),
)
NoiseCall, NOISE = _record("NoiseCall", "seed", "first", "rows", "vocab", "size", "out", "scratch")
ChooseCall, CHOOSE = _record(
    "ChooseCall",
    *("logits", "noisy", "seed", "position", "rows", "size", "chosen", "best", "places", "undefined"),
    *("tops", "scratch"),
    ("temperature", FLOAT64),
)
PIECES = 4  # of a row of logits, for threads to share
AT_ONCE = 512  # block size of the search for the largest logit, and of drawing noise
MARGIN = 1e-3  # of sums of a logit and noise: far more than rounding moves them
NOISE_BYTES = 3 * 8 * AT_ONCE  # of scratch memory: one block's counters and random words
# What becomes of a product: itself, added to what is there, silu(a)·b of its halves.
STORE, ADD, GATE = range(3)
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


def _tile(rounded: bool):
    """A function that adds to a block's 32 outputs of up to ROWS rows what the next `count` inputs bring:
    tile(rows, weights, x, inputs, count, out), addresses but for `rows`, `inputs`, how many a row of x has,
    and `count`. out [rows, 32] is float32 or, rounded, int32. Each number of rows has code of its own."""
    i32, i64 = ir.IntType(32), ir.IntType(64)
    number = i32 if rounded else ir.FloatType()
    vector = ir.VectorType(number, LANES)
    each = 1 if not rounded else STEP  # inputs in an element of x
    unroll = 1 if rounded else STEP

    kind = ir.FunctionType(vector, [vector] * 3)

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
                address = builder.bitcast(builder.gep(weights, [offset]), vector.as_pointer())
                block.append(builder.load(address, align=64))
                ahead = builder.gep(weights, [builder.add(offset, i64(AHEAD * BLOCK))])
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
            weights, x, out = (builder.inttoptr(p, number.as_pointer()) for p in (weights, x, out))
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


tile, rounded_tile = (_tile(rounded) for rounded in (False, True))


def _keeps() -> bool:
    """Whether Numba finds a folder where it may keep what it compiles."""
    try:
        njit(cache=True)(_keeps)
    except RuntimeError:
        return False
    return True


KEEP = _keeps()
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
def largest(x, count):
    """The largest size in a row, NaN where one is no number."""
    most, total = np.float32(0), np.float32(0)
    for i in range(count):
        most = max(most, abs(x[i]))
        total += x[i]
    return most + total * np.float32(0)


@compiled
def rounded_row(source, count, out):
    """Round a row to whole numbers up to LEVELS; returns what they are to be multiplied by."""
    x, y = floats(source), small(out)
    scale = largest(x, count) / np.float32(LEVELS) + np.float32(LEAST_SCALE)
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
        weights = product.weight + 4 * block * inputs * BLOCK
        for at_input in range(0, inputs, CHUNK):  # in parts, which rounds less than one long sum
            count = min(CHUNK, inputs - at_input)
            here = x + 4 * (first * inputs + at_input)
            tile(rows, weights + 4 * at_input * BLOCK, here, inputs, count, out)
    if product.bias:
        b = floats(product.bias)
        for row in range(rows):
            for j in range(BLOCK):
                y[row * BLOCK + j] += b[at + j]


@compiled
def sink_block(sink, block, outputs, first, rows, work, out):
    """Put a block's numbers where they belong in out [rows, outputs], or [rows, outputs/2] after a gate."""
    y, z = floats(work), floats(out)
    if sink == GATE:
        width, at = outputs // 2, block * LANES
        for row in range(rows):
            to = (first + row) * width + at
            for j in range(min(LANES, width - at)):
                gate = y[row * BLOCK + j]
                z[to + j] = gate / (np.float32(1) + exp(-gate)) * y[row * BLOCK + LANES + j]
        return
    at = block * BLOCK
    for row in range(rows):
        to = (first + row) * outputs + at
        if sink == ADD:
            for j in range(min(BLOCK, outputs - at)):
                z[to + j] += y[row * BLOCK + j]
        else:
            for j in range(min(BLOCK, outputs - at)):
                z[to + j] = y[row * BLOCK + j]


@compiled
def blocks_of(product, sink):
    outputs = product.outputs
    if sink == GATE:
        return (outputs // 2 + LANES - 1) // LANES
    return (outputs + BLOCK - 1) // BLOCK


@compiled
def dense(product, x, scales, rows, sink, out, work, thread, threads):
    """This thread's part of a product of rows."""
    blocks = blocks_of(product, sink)
    for block in range(blocks * thread // threads, blocks * (thread + 1) // threads):
        for first in range(0, rows, ROWS):
            count = min(ROWS, rows - first)
            block_of(product, block, x, scales, first, count, work)
            sink_block(sink, block, product.outputs, first, count, work, out)


@compiled
def project(f, product, x, scales, cache, work, thread, threads):
    """This thread's part of queries, keys and values. Pairs of numbers side by side are rotated as complex
    ones; keys and values go to their layer's cache [positions, 2, kv_heads, d], or of rows that draft on each
    by itself to their tails [rows, capacity, 2, kv_heads, d]."""
    y, q = floats(work), floats(f.queries)
    turn, d = floats(f.rotary), f.head_dim
    asked, kept_width = f.heads * d, 2 * f.kv_heads * d
    rotating = asked + f.kv_heads * d
    blocks = blocks_of(product, STORE)
    for block in range(blocks * thread // threads, blocks * (thread + 1) // threads):
        at = block * BLOCK
        for first in range(0, f.rows, ROWS):
            count = min(ROWS, f.rows - first)
            block_of(product, block, x, scales, first, count, work)
            for row in range(count):
                position = f.start + first + row + f.drafts
                kept = floats(cache + 4 * position * kept_width)
                if f.tails:
                    place = (first + row) * f.tail_capacity + f.drafts
                    kept = floats(f.tails + 4 * place * kept_width)
                for j in range(0, min(BLOCK, product.outputs - at), 2):
                    output = at + j
                    a, b = y[row * BLOCK + j], y[row * BLOCK + j + 1]
                    if output < rotating:
                        angle = position * d + output % d
                        cos, sin = turn[angle], turn[angle + 1]
                        a, b = a * cos - b * sin, a * sin + b * cos
                    if output < asked:
                        to = (first + row) * asked + output
                        q[to], q[to + 1] = a, b
                    else:
                        kept[output - asked], kept[output - asked + 1] = a, b


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
def attend(f, cache, room, thread, threads):
    """This thread's part of the attention: every row's every head by itself."""
    d, group = f.head_dim, f.heads // f.kv_heads
    width, scale = f.kv_heads * d, np.float32(1 / np.sqrt(f.head_dim))
    scores = floats(room)
    for item in range(thread, f.rows * f.heads, threads):
        row, head = item // f.heads, item % f.heads
        query, out = floats(f.queries + 4 * item * d), floats(f.attended + 4 * item * d)
        keys = cache + 4 * (head // group) * d
        shared, drafts = f.start + row + 1, 0
        tail = keys
        if f.tails:
            shared, drafts = f.start + row, f.drafts + 1
            tail = f.tails + 4 * (row * f.tail_capacity * 2 * width + (head // group) * d)
        score(query, keys, width, d, scale, scores, 0, shared)
        score(query, tail, width, d, scale, scores, shared, drafts)
        total = weigh(scores, shared + drafts)
        for i in range(d):
            out[i] = np.float32(0)
        add_values(scores, 0, keys, width, d, shared, out)
        add_values(scores, shared, tail, width, d, drafts, out)
        for i in range(d):
            out[i] /= total


@compiled
def note_features(f, column, source):
    """Write a layer's input rows, each at unit root mean square, as one part of the features."""
    if column < 0:
        return
    for row in range(f.rows):
        to = f.features + 4 * (row * f.feature_width + column * f.hidden)
        norm(source + 4 * row * f.hidden, 0, f.hidden, f.eps, to)


@compiled
def norms(f, weight, out):
    for row in range(f.rows):
        norm(f.x + 4 * row * f.hidden, weight, f.hidden, f.eps, out + 4 * row * f.hidden)


@compiled
def embed(f, out, first, step):
    """Every `step`-th row of the tokens' embeddings, from the first on."""
    for row in range(first, f.rows, step):
        token = wholes(f.token_ids)[row]
        if token < 0 or token >= f.vocab_size:
            wholes(f.wrong_token)[0] = 1
            token = 0
        source, to = floats(f.embeddings + 4 * token * f.hidden), floats(out + 4 * row * f.hidden)
        for i in range(f.hidden):
            to[i] = source[i]


@compiled
def run_forward(f, layers, thread, threads):
    hidden, rows = f.hidden, f.rows
    work = f.scratch + thread * f.scratch_bytes  # a thread's own room
    scales = work + 4 * ROWS * BLOCK
    rounded = scales + 4 * rows
    normed = rounded + 4 * ((rows * f.widest + 3) // 4)
    scores = normed + 4 * rows * hidden
    if f.seen:
        embed(f, normed, 0, 1)
        for row in range(rows):
            here = normed + 4 * row * hidden
            norm(here, 0, hidden, EMBEDDING_EPS, here)
        x = take(f.from_token, normed, rows, rounded, scales)
        dense(f.from_token, x, scales, rows, STORE, f.x, work, thread, threads)
        x = take(f.from_seen, f.seen, rows, rounded, scales)
        dense(f.from_seen, x, scales, rows, ADD, f.x, work, thread, threads)
    else:
        embed(f, f.x, thread, threads)
    barrier()
    for index in range(f.layers):
        layer = layers[index]
        cache = f.cache + index * f.cache_layer
        if thread == 0 and f.features:
            note_features(f, wholes(f.feature_columns)[index], f.x)
        norms(f, layer.attention_norm, normed)
        x = take(layer.qkv, normed, rows, rounded, scales)
        project(f, layer.qkv, x, scales, cache, work, thread, threads)
        barrier()
        attend(f, cache, scores, thread, threads)
        barrier()
        x = take(layer.attention_out, f.attended, rows, rounded, scales)
        dense(layer.attention_out, x, scales, rows, ADD, f.x, work, thread, threads)
        barrier()
        norms(f, layer.mlp_norm, normed)
        x = take(layer.gate_up, normed, rows, rounded, scales)
        dense(layer.gate_up, x, scales, rows, GATE, f.gated, work, thread, threads)
        barrier()
        x = take(layer.down, f.gated, rows, rounded, scales)
        dense(layer.down, x, scales, rows, ADD, f.x, work, thread, threads)
        barrier()
    norms(f, f.final_norm, normed)
    if thread == 0 and f.features:
        note_features(f, wholes(f.feature_columns)[f.layers], normed)
    first = f.first_logits
    if thread == 0 and f.own:
        for i in range((rows - first) * hidden):
            floats(f.own)[i] = floats(normed + 4 * first * hidden)[i]
    if f.logits:
        x = take(f.head, normed + 4 * first * hidden, rows - first, rounded, scales)
        dense(f.head, x, scales, rows - first, STORE, f.logits, work, thread, threads)


@compiled
def run_multiply(m, thread, threads):
    work = m.scratch + thread * m.scratch_bytes
    scales = work + 4 * ROWS * BLOCK
    x = take(m.product, m.x, m.rows, scales + 4 * m.rows, scales)
    dense(m.product, x, scales, m.rows, m.sink, m.out, work, thread, threads)


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
def run_choose(c, thread, threads):
    """Where each row's largest x / temperature + noise is, see `choose`."""
    best, places, chosen = floats(c.best), wholes(c.places), wholes(c.chosen)
    by, undefined, parts = np.float32(c.temperature), wholes(c.undefined), parts_of(c.size)
    scratch = c.scratch + thread * (NOISE_BYTES + 4 * AT_ONCE)
    for item in range(thread, c.rows * PIECES, threads):
        row, piece = item // PIECES, item % PIECES
        first, last = parts * piece // PIECES, parts * (piece + 1) // PIECES
        start, end = first * AT_ONCE, min(last * AT_ONCE, c.size)
        x = c.logits + 4 * row * c.size
        if c.noisy:
            find_tops(c, row, first, last)
        else:
            best[item], places[item] = where_most(x, 0, by, start, end)
        if count_undefined(floats(x + 4 * start), end - start):
            undefined[0] = 1
    barrier()
    if c.noisy:
        for item in range(thread, c.rows * PIECES, threads):
            row, piece = item // PIECES, item % PIECES
            first, last = parts * piece // PIECES, parts * (piece + 1) // PIECES
            best[item], places[item] = where_most_noisy(c, row, first, last, scratch)
        barrier()
    if thread == 0:
        for row in range(c.rows):
            at = row * PIECES
            for item in range(at + 1, (row + 1) * PIECES):
                if best[item] > best[at]:
                    at = item
            chosen[row] = places[at]


@region
def read_region(arguments):
    run_read(carray(arguments, 1, READ)[0])


@region
def noise_region(arguments):
    run_noise(carray(arguments, 1, NOISE)[0])


@region
def choose_region(arguments):
    run_choose(carray(arguments, 1, CHOOSE)[0], thread_number(), thread_count())


@region
def forward_region(arguments):
    f = carray(arguments, 1, FORWARD)[0]
    layers = carray(untyped(f.table), f.layers, LAYER)
    run_forward(f, layers, thread_number(), thread_count())


@region
def multiply_region(arguments):
    run_multiply(carray(arguments, 1, MULTIPLY)[0], thread_number(), thread_count())


class Packed(NamedTuple):
    """A product's weights as the kernels read them: the record that says where they are, what it points at,
    and whether half of its outputs are the gate of the others."""

    record: ctypes.Structure
    tensors: list[Tensor]
    gate: bool


def can_pack(inputs: int) -> bool:
    """Whether tiles fit rows of so many inputs."""
    return inputs % STEP == 0


def pack(
    weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None, gate: bool = False
) -> Packed:
    """Lay out a weight [outputs, inputs], float32 or int8 with a scale [outputs]. Where its first half is the
    gate of the second, a block has 16 outputs of either."""
    parts = 2 if gate else 1
    size = BLOCK // parts

    def blocks(rows: Tensor) -> Tensor:
        """[blocks, 32, …], zeros where there are no more rows."""
        padding = (0, 0) * (rows.dim() - 1) + (0, -(len(rows) // parts) % size)
        return torch.cat([F.pad(part, padding).unflatten(0, (-1, size)) for part in rows.chunk(parts)], 1)

    rows = blocks(weight.detach())
    if scale is None:
        tensors = [aligned(rows.transpose(1, 2)), bias, None, None]
    else:
        tiles = rows.unflatten(2, (-1, STEP)).transpose(1, 2)
        tensors = [aligned(tiles), bias, scale, aligned(rows.sum(2, dtype=torch.int32))]
    for place in (1, 2):
        if tensors[place] is not None:
            tensors[place] = aligned(blocks(tensors[place].detach()))
    return Packed(Product(*map(_address, tensors), weight.shape[1], weight.shape[0]), tensors, gate)


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _round_up(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def multiply(packed: Packed, x: Tensor, add_to: Tensor | None = None) -> Tensor:
    """A product with x [rows, inputs], or a gate's: [rows, outputs]; `add_to` is added."""
    x = x.contiguous()
    rows, inputs = x.shape
    outputs = packed.record.outputs
    sink = GATE if packed.gate else STORE if add_to is None else ADD
    if add_to is not None:
        out = add_to.clone(memory_format=torch.contiguous_format)
    else:
        out = torch.empty(rows, outputs // 2 if packed.gate else outputs)
    if rows:
        threads = torch.get_num_threads()
        each = _round_up(4 * ROWS * BLOCK + 4 * rows + rows * inputs)
        room = torch.empty(threads * each, dtype=torch.uint8)
        call = MultiplyCall(packed.record, x.data_ptr(), rows, sink, out.data_ptr(), room.data_ptr(), each)
        parallel(multiply_region.address, ctypes.addressof(call), threads, 0)
    return out


class Forward:
    """All forwards of a model with packed layers, each in one call. Norms may be None: no weight.

    Args:
        layers: PackedLayers.
        embeddings: [V, H] in float32.
        head: Packed.
        rotary: what says how far positions turn, filled as far as it was asked.
        widths: that the products take beside those of the layers.
    """

    def __init__(
        self,
        layers: list,
        embeddings: Tensor,
        final_norm: Tensor | None,
        head: Packed,
        rotary,
        *,
        heads: int,
        kv_heads: int,
        head_dim: int,
        eps: float,
        widths: tuple[int, ...] = (),
    ):
        self.table = (Layer * len(layers))()
        for record, layer in zip(self.table, layers, strict=True):
            for name in ("attention_norm", "mlp_norm"):
                setattr(record, name, _address(getattr(layer, name)))
            for name in ("qkv", "attention_out", "gate_up", "down"):
                setattr(record, name, getattr(layer, name).packed.record)
        self.tensors = (layers, embeddings, final_norm, head)  # that addresses are of
        self.rotary = rotary
        self.columns: dict[tuple[int, ...], ctypes.Array] = {}
        hidden, attended, gated = embeddings.shape[1], heads * head_dim, self.table[0].down.inputs
        self.widths = (hidden, attended, attended, gated)  # of x, queries, attended, gated
        self.fixed = ForwardCall(
            layers=len(layers),
            table=ctypes.addressof(self.table),
            hidden=hidden,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            widest=max(*self.widths, *widths),
            embeddings=embeddings.data_ptr(),
            vocab_size=len(embeddings),
            final_norm=_address(final_norm),
            head=head.record,
            eps=eps,
        )

    def __call__(self, token_ids: Tensor, cache, logits: str, feature_layers: tuple[int, ...]) -> Output:
        """What `PackedLlama.forward` says."""
        f = ForwardCall.from_buffer_copy(self.fixed)
        rows = len(token_ids)
        asked = {"all": rows, "last": min(rows, 1), "none": 0}[logits]
        features = None
        if feature_layers:
            if feature_layers not in self.columns:
                places = {layer: column for column, layer in enumerate(feature_layers)}
                columns = [places.get(layer, -1) for layer in range(f.layers + 1)]
                self.columns[feature_layers] = (ctypes.c_int64 * len(columns))(*columns)
            features = torch.empty(rows, len(feature_layers) * f.hidden)
            f.features, f.feature_width = features.data_ptr(), features.shape[1]
            f.feature_columns = ctypes.addressof(self.columns[feature_layers])
        scores = self._run(f, token_ids, cache, asked)
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
        if tails is None:
            return own, self._run(f, token_ids, cache, asked)
        if drafts >= tails.shape[1]:
            raise IndexError(f"{drafts + 1} drafts in tails for {tails.shape[1]}")
        f.tails, f.tail_capacity, f.drafts = tails.data_ptr(), tails.shape[1], drafts
        return own, self._run(f, token_ids, cache, asked, first + 1)

    def _run(self, f: ForwardCall, token_ids: Tensor, cache, asked: int, start: int | None = None) -> Tensor:
        """Append token_ids [T] to the cache, or to tails; returns the logits [asked, V] of the last ones."""
        rows = len(token_ids)
        start = cache.length if start is None else start
        end = start + rows + f.drafts
        if not f.tails and end > cache.data.shape[1]:
            raise IndexError(f"{end} tokens in a cache for {cache.data.shape[1]}")
        self.rotary(start, end - start)  # has the table reach so far
        scores = torch.empty(asked, f.head.outputs)
        threads = torch.get_num_threads()
        each = _round_up(4 * (ROWS * BLOCK + rows * (2 + f.widest + f.hidden) + end))
        room = torch.empty(4 * rows * sum(self.widths) + ALIGNED + threads * each, dtype=torch.uint8)
        wrong_token = ctypes.c_int64(0)
        token_ids = token_ids.contiguous()
        f.token_ids, f.rows, f.start = token_ids.data_ptr(), rows, start
        f.cache, f.cache_layer = cache.data.data_ptr(), 4 * cache.data.stride(0)
        f.rotary = self.rotary.table.data_ptr()
        f.logits, f.first_logits = scores.data_ptr() if asked else 0, rows - asked
        f.x = room.data_ptr()
        f.queries = f.x + 4 * rows * self.widths[0]
        f.attended = f.queries + 4 * rows * self.widths[1]
        f.gated = f.attended + 4 * rows * self.widths[2]
        f.scratch, f.scratch_bytes = _round_up(f.gated + 4 * rows * self.widths[3]), each
        f.wrong_token = ctypes.addressof(wrong_token)
        parallel(forward_region.address, ctypes.addressof(f), threads, 0)
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
    threads = torch.get_num_threads()
    room = torch.empty(rows * (1 + 2 * PIECES), dtype=torch.long)
    scratch = torch.empty(threads * (NOISE_BYTES + 4 * AT_ONCE), dtype=torch.uint8)
    tops = torch.empty(rows, -(-size // AT_ONCE)) if noise else None
    chosen, undefined = room[:rows], ctypes.c_int64(0)
    at = room.data_ptr() + 8 * rows
    call = ChooseCall(
        *(logits.data_ptr(), noise is not None, seed, position, rows, size),
        *(room.data_ptr(), at, at + 8 * rows * PIECES, ctypes.addressof(undefined)),
        *(_address(tops), scratch.data_ptr()),
        1 if noise is None else temperature,
    )
    parallel(choose_region.address, ctypes.addressof(call), threads, 0)
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
