"""The CPU's kernels, compiled here by Numba: a whole forward is one parallel region of torch's own threads.

A forward of few tokens is limited by reading the weights, so that is all it should do. Called one by one, its
products and norms spend as long on their calls as on their work; here nothing but a barrier lies between them.
Weights are laid out in blocks of 32 outputs, [outputs/32, inputs, 32], which a tile reads once from end to end
for up to eight rows. Each output adds up its inputs in their order, and each row is normed and attends by
itself, so what a token's numbers are does not depend on how many tokens are beside it, to the bit.

int8 weights [outputs/32, inputs/4, 32, 4] have a scale for each output. Inputs are rounded as they come, with a
scale for each row; sums of whole numbers are exact.
"""

import ctypes
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import binding, ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic
from torch import Tensor

from adaedl.models.int8 import LEAST_SCALE, LEVELS
from adaedl.models.runner import Output

LANES = 16  # numbers in a vector: 512 bits of float32, which narrower processors take in parts
BLOCK = 2 * LANES  # outputs of a tile
ROWS = 8  # rows of a tile
STEP = 4  # inputs that a tile takes at a time
ALIGNED = 64  # bytes

VNNI = bool(binding.get_host_cpu_features().get("avx512vnni"))
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


def _record(*fields) -> np.dtype:
    return np.dtype([field if isinstance(field, tuple) else (field, np.int64) for field in fields])


# Addresses, counts, and 0 for what is not there.
PRODUCT = _record("weight", "bias", "scale", "sums", "inputs", "outputs")
LAYER = _record(
    "attention_norm",
    "mlp_norm",
    ("qkv", PRODUCT),
    ("attention_out", PRODUCT),
    ("gate_up", PRODUCT),
    ("down", PRODUCT),
)
MULTIPLY = _record(("product", PRODUCT), "x", "rows", "sink", "out", "scratch", "scratch_bytes")
FORWARD = _record(
    *("layers", "table", "hidden", "heads", "kv_heads", "head_dim", "widest", "embeddings", "final_norm"),
    ("head", PRODUCT),
    ("eps", np.float64),
    *("token_ids", "rows", "start", "cache", "cache_layer", "rotary", "logits", "first_logits"),
    *("features", "feature_columns", "feature_width"),
    *("x", "queries", "attended", "gated", "scratch", "scratch_bytes"),
)
STORE, ADD, GATE = range(
    3
)  # what becomes of a product: itself, added to what is there, silu(a)·b of its halves


def _cast(kind):
    @intrinsic
    def cast(typing, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return kind(types.int64), generate

    return cast


floats, wholes, wholes32, small = (
    _cast(types.CPointer(kind)) for kind in (types.float32, types.int64, types.int32, types.uint8)
)
untyped = _cast(types.voidptr)


@intrinsic
def float_of_bits(typing, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def _tile(rows: int, rounded: bool):
    """A function that adds up a block's 32 outputs of so many rows: tile(weights, x, inputs, out), addresses
    but for `inputs`; x [rows, inputs], out [rows, 32] in float32 or, rounded, int32."""
    i32, i64 = ir.IntType(32), ir.IntType(64)
    number = i32 if rounded else ir.FloatType()
    vector = ir.VectorType(number, LANES)
    each = 1 if not rounded else STEP  # inputs in an element of x
    unroll = 1 if rounded else STEP

    def splat(builder, value):
        undefined = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
        first = builder.insert_element(undefined, value, i32(0))
        return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(i32, LANES), [0] * LANES))

    def multiply_add(builder, weights, x, total):
        if not rounded:
            kind = ir.FunctionType(vector, [vector] * 3)
            multiply = builder.module.declare_intrinsic("llvm.fma.v16f32", (), kind)
            return builder.call(multiply, [weights, x, total])
        if VNNI:
            kind = ir.FunctionType(vector, [vector] * 3)
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

    @intrinsic
    def tile(typing, weights, x, inputs, out):
        def generate(context, builder, signature, arguments):
            weights, x, inputs, out = arguments
            weights, x, out = (builder.inttoptr(p, number.as_pointer()) for p in (weights, x, out))
            stride = builder.sdiv(inputs, i64(each))
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
                for row in range(rows):
                    value = splat(builder, builder.load(builder.gep(sources[row], [here]), align=4))
                    for half in range(2):
                        totals[row][half] = multiply_add(builder, block[half], value, totals[row][half])
            following = builder.add(place, i64(unroll))
            place.add_incoming(following, loop)
            zero = ir.Constant(vector, [0] * LANES)
            for start, total in zip(chain(*starts), chain(*totals), strict=True):
                start.add_incoming(zero, before)
                start.add_incoming(total, loop)
            builder.cbranch(builder.icmp_signed("<", following, stride), loop, after)
            builder.position_at_end(after)
            for row in range(rows):
                for half in range(2):
                    offset = i64(row * BLOCK + half * LANES)
                    address = builder.bitcast(builder.gep(out, [offset]), vector.as_pointer())
                    builder.store(totals[row][half], address, align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), generate

    return tile


f1, f2, f3, f4, f5, f6, f7, f8 = (_tile(rows, False) for rows in range(1, ROWS + 1))
r1, r2, r3, r4, r5, r6, r7, r8 = (_tile(rows, True) for rows in range(1, ROWS + 1))

compiled = njit(error_model="numpy", cache=True)
sums_in_any_order = njit(error_model="numpy", cache=True, fastmath={"reassoc", "contract", "nsz"})


@compiled
def tile(rows, weights, x, inputs, out):
    if rows >= 8:
        f8(weights, x, inputs, out)
    elif rows == 7:
        f7(weights, x, inputs, out)
    elif rows == 6:
        f6(weights, x, inputs, out)
    elif rows == 5:
        f5(weights, x, inputs, out)
    elif rows == 4:
        f4(weights, x, inputs, out)
    elif rows == 3:
        f3(weights, x, inputs, out)
    elif rows == 2:
        f2(weights, x, inputs, out)
    else:
        f1(weights, x, inputs, out)


@compiled
def rounded_tile(rows, weights, x, inputs, out):
    if rows >= 8:
        r8(weights, x, inputs, out)
    elif rows == 7:
        r7(weights, x, inputs, out)
    elif rows == 6:
        r6(weights, x, inputs, out)
    elif rows == 5:
        r5(weights, x, inputs, out)
    elif rows == 4:
        r4(weights, x, inputs, out)
    elif rows == 3:
        r3(weights, x, inputs, out)
    elif rows == 2:
        r2(weights, x, inputs, out)
    else:
        r1(weights, x, inputs, out)


@compiled
def exp(x):
    """e^x to float32's precision, between e^-87 and e^88, in steps that a compiler can take for a vector at once: the
    power of two, and for the rest a polynomial (Cephes' expf)."""
    x = min(max(x, np.float32(-87)), np.float32(88))
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
    if product.scale:
        rounded_tile(rows, product.weight + block * inputs * BLOCK, x + first * inputs, inputs, out)
        totals, s, sums = wholes32(out), floats(product.scale), wholes32(product.sums)
        for row in range(rows):
            by = floats(scales)[first + row]
            for j in range(BLOCK):
                total = totals[row * BLOCK + j] - np.int32(OFFSET) * sums[at + j]
                y[row * BLOCK + j] = np.float32(total) * s[at + j] * by
    else:
        tile(rows, product.weight + 4 * block * inputs * BLOCK, x + 4 * first * inputs, inputs, out)
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
    ones; keys and values go to their layer's cache [positions, 2, kv_heads, d]."""
    y, q, kept = floats(work), floats(f.queries), floats(cache)
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
                position = f.start + first + row
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
                        to = position * kept_width + output - asked
                        kept[to], kept[to + 1] = a, b


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
def attend(f, cache, room, thread, threads):
    """This thread's part of the attention: every row's every head by itself."""
    d, group = f.head_dim, f.heads // f.kv_heads
    width, scale = f.kv_heads * d, np.float32(1 / np.sqrt(f.head_dim))
    scores = floats(room)
    for item in range(thread, f.rows * f.heads, threads):
        row, head = item // f.heads, item % f.heads
        length = f.start + row + 1
        query, out = floats(f.queries + 4 * item * d), floats(f.attended + 4 * item * d)
        keys = cache + 4 * (head // group) * d
        for t in range(length):
            scores[t] = dot(query, floats(keys + 8 * t * width), d) * scale
        total = weigh(scores, length)
        for i in range(d):
            out[i] = np.float32(0)
        for t in range(length):
            value, weight = floats(keys + 8 * t * width + 4 * width), scores[t]
            for i in range(d):
                out[i] += weight * value[i]
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
def run_forward(f, layers, thread, threads):
    hidden, rows = f.hidden, f.rows
    work = f.scratch + thread * f.scratch_bytes  # a thread's own room
    scales = work + 4 * ROWS * BLOCK
    rounded = scales + 4 * rows
    normed = rounded + 4 * ((rows * f.widest + 3) // 4)
    scores = normed + 4 * rows * hidden
    for row in range(thread, rows, threads):
        source, to = (
            floats(f.embeddings + 4 * wholes(f.token_ids)[row] * hidden),
            floats(f.x + 4 * row * hidden),
        )
        for i in range(hidden):
            to[i] = source[i]
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
    if f.logits:
        first = f.first_logits
        x = take(f.head, normed + 4 * first * hidden, rows - first, rounded, scales)
        dense(f.head, x, scales, rows - first, STORE, f.logits, work, thread, threads)


@compiled
def run_multiply(m, thread, threads):
    work = m.scratch + thread * m.scratch_bytes
    scales = work + 4 * ROWS * BLOCK
    x = take(m.product, m.x, m.rows, scales + 4 * m.rows, scales)
    dense(m.product, x, scales, m.rows, m.sink, m.out, work, thread, threads)


@cfunc(types.void(types.voidptr), cache=True)
def forward_region(arguments):
    f = carray(arguments, 1, FORWARD)[0]
    layers = carray(untyped(f.table), f.layers, LAYER)
    run_forward(f, layers, thread_number(), thread_count())


@cfunc(types.void(types.voidptr), cache=True)
def multiply_region(arguments):
    run_multiply(carray(arguments, 1, MULTIPLY)[0], thread_number(), thread_count())


class Packed(NamedTuple):
    """A product's weights as the kernels read them: the record that says where they are, what it points at,
    and whether half of its outputs are the gate of the others."""

    record: np.void
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
    parts = weight.chunk(2) if gate else (weight,)
    size = BLOCK // len(parts)

    def blocks(rows: Tensor) -> Tensor:
        """[blocks, 32, …], zeros where there are no more rows."""
        padding = (0, 0) * (rows.dim() - 1) + (0, -len(parts[0]) % size)
        return torch.cat([F.pad(p, padding).unflatten(0, (-1, size)) for p in rows.chunk(len(parts))], 1)

    rows = blocks(weight)
    sums = None
    if scale is None:
        tiles = rows.transpose(1, 2)
    else:
        tiles = rows.unflatten(2, (-1, STEP)).transpose(1, 2)
        sums = rows.sum(2, dtype=torch.int32)
    tensors = [_aligned(tiles)]
    for table in (bias, scale):
        tensors.append(None if table is None else _aligned(blocks(table.detach())))
    tensors.append(None if sums is None else _aligned(sums))
    record = np.zeros(1, PRODUCT)
    addresses = (0 if tensor is None else tensor.data_ptr() for tensor in tensors)
    record[0] = (*addresses, weight.shape[1], weight.shape[0])
    return Packed(record[0], [tensor for tensor in tensors if tensor is not None], gate)


def _aligned(tensor: Tensor) -> Tensor:
    """A contiguous copy that begins where a vector may."""
    size = tensor.numel() * tensor.element_size()
    room = torch.empty(size + ALIGNED, dtype=torch.uint8)
    room = room[-room.data_ptr() % ALIGNED :][:size]
    return room.view(tensor.dtype).view(tensor.shape).copy_(tensor)


def _room(each: int) -> tuple[Tensor, int, int]:
    """Room for every thread to work in, the threads, and how many bytes apart their parts are."""
    each = -(-each // ALIGNED) * ALIGNED
    threads = torch.get_num_threads()
    return torch.empty(threads * each, dtype=torch.uint8), threads, each


def multiply(packed: Packed, x: Tensor, add_to: Tensor | None = None) -> Tensor:
    """A product with x [rows, inputs], or a gate's: [rows, outputs]; `add_to` is added."""
    x = x.contiguous()
    rows, inputs = x.shape
    outputs = int(packed.record["outputs"])
    sink = GATE if packed.gate else STORE if add_to is None else ADD
    if add_to is not None:
        out = add_to.clone(memory_format=torch.contiguous_format)
    else:
        out = torch.empty(rows, outputs // 2 if packed.gate else outputs)
    if rows:
        room, threads, each = _room(4 * ROWS * BLOCK + 4 * rows + rows * inputs)
        arguments = np.zeros(1, MULTIPLY)
        arguments[0] = (packed.record, x.data_ptr(), rows, sink, out.data_ptr(), room.data_ptr(), each)
        parallel(multiply_region.address, arguments.ctypes.data, threads, 0)
    return out


class Forward:
    """A `PackedLlama`'s forward in one call; arguments are those of its method."""

    def __init__(self, model):
        self.table = np.zeros(len(model.layers), LAYER)
        for index, (attention_norm, mlp_norm, *products) in enumerate(model.layers):
            norms = (attention_norm.data_ptr(), mlp_norm.data_ptr())
            self.table[index] = (*norms, *(product.packed.record for product in products))
        self.tensors = (model.layers, model.embeddings, model.final_norm, model.head)  # that addresses are of
        self.embeddings = model.embeddings
        self.rotary = model.rotary
        self.hidden = model.hidden_size
        self.attended = model.heads * model.head_dim
        gated = model.layers[0].down.packed.record["inputs"]
        self.gated = int(gated)
        self.widest = max(self.hidden, self.attended, self.gated)
        self.vocab_size = model.vocab_size
        fixed = self.fixed = np.zeros(1, FORWARD)
        fixed["layers"] = len(model.layers)
        fixed["table"] = self.table.ctypes.data
        for name in ("heads", "kv_heads", "head_dim", "eps"):
            fixed[name] = getattr(model, name)
        fixed["hidden"] = self.hidden
        fixed["widest"] = self.widest
        fixed["embeddings"] = model.embeddings.data_ptr()
        fixed["final_norm"] = model.final_norm.data_ptr()
        fixed["head"] = model.head.packed.record

    def __call__(self, token_ids: Tensor, cache, logits: str, feature_layers: tuple[int, ...]) -> Output:
        rows, start = len(token_ids), cache.length
        end = start + rows
        layers, capacity = cache.data.shape[:2]
        if end > capacity:
            raise IndexError(f"{end} tokens in a cache for {capacity}")
        token_ids = token_ids.contiguous()
        least, most = token_ids.aminmax() if rows else (0, 0)
        if least < 0 or most >= len(self.embeddings):
            raise IndexError(f"token {int(most)} of {len(self.embeddings)}")
        self.rotary(start, rows)  # has the table reach so far
        asked = {"all": rows, "last": min(rows, 1), "none": 0}[logits]
        scores = torch.empty(asked, self.vocab_size)
        features = torch.empty(rows, len(feature_layers) * self.hidden)
        columns = np.full(layers + 1, -1)
        columns[list(feature_layers)] = np.arange(len(feature_layers))
        widths = (self.hidden, self.attended, self.attended, self.gated)
        streams = torch.empty(rows * sum(widths))
        x, queries, attended, gated = streams.split([rows * width for width in widths])
        per_row = 4 + self.widest + 4 + 4 * self.hidden
        room, threads, each = _room(4 * ROWS * BLOCK + rows * per_row + 4 * end + ALIGNED)

        f = self.fixed.copy()
        f["token_ids"], f["rows"], f["start"] = token_ids.data_ptr(), rows, start
        f["cache"], f["cache_layer"] = cache.data.data_ptr(), 4 * cache.data.stride(0)
        f["rotary"] = self.rotary.table.data_ptr()
        f["logits"], f["first_logits"] = scores.data_ptr() if asked else 0, rows - asked
        f["features"] = features.data_ptr() if feature_layers else 0
        f["feature_columns"], f["feature_width"] = columns.ctypes.data, features.shape[1]
        f["x"], f["queries"] = x.data_ptr(), queries.data_ptr()
        f["attended"], f["gated"] = attended.data_ptr(), gated.data_ptr()
        f["scratch"], f["scratch_bytes"] = room.data_ptr(), each
        parallel(forward_region.address, f.ctypes.data, threads, 0)
        cache.length = end
        return Output(None if logits == "none" else scores, features if feature_layers else None)
