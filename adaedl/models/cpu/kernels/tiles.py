"""The innermost part of a product: 32 outputs of up to eight rows, written as vector code."""

from itertools import chain

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from adaedl.models.cpu.jit import VNNI
from adaedl.models.cpu.kernels.intrinsics import splat

LANES = 16  # numbers in a vector: 512 bits of float32, which narrower processors take in parts
BLOCK = 2 * LANES  # outputs of a tile
ROWS = 8  # rows of a tile
STEP = 4  # inputs that a tile takes at a time
AHEAD = 48  # elements a lane, 6 KB of weights, that a tile asks for before it needs them
OFFSET = 128 if VNNI else 0  # VNNI multiplies numbers without a sign by numbers with one


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
                value = splat(builder, builder.load(builder.gep(sources[row], [here]), align=4), LANES)
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


tile, bfloat16_tile, int8_tile = (_tile(kind) for kind in ("float32", "bfloat16", "int8"))
