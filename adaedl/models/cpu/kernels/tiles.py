"""The inner loop of a product, 32 outputs of up to eight rows, written as vector code."""

from itertools import chain

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from adaedl.models.cpu.jit import VNNI
from adaedl.models.cpu.kernels.intrinsics import splat

LANES = 16  # numbers in a vector: 512 bits of float32, which narrower processors split
BLOCK = 2 * LANES  # outputs of a tile
ROWS = 8  # most rows of a tile
STEP = 4  # inputs in one iteration of a tile
AHEAD = 48  # elements per lane, 6 KB of weights, between a prefetch and the load of the same weights
OFFSET = 128 if VNNI else 0  # of inputs, because VNNI multiplies unsigned numbers by signed numbers


I32, I64 = ir.IntType(32), ir.IntType(64)
BYTE = ir.IntType(8).as_pointer()


class TileCode:
    """Writes the vector code of a tile for "float32", "bfloat16" or "int8" weights."""

    def __init__(self, weights: str):
        self.is_int8, self.is_bfloat16 = weights == "int8", weights == "bfloat16"
        self.number = I32 if self.is_int8 else ir.FloatType()
        self.vector = ir.VectorType(self.number, LANES)
        self.stored = ir.IntType(16) if self.is_bfloat16 else self.number
        self.inputs_in_element = STEP if self.is_int8 else 1
        self.elements_in_step = 1 if self.is_int8 else STEP

    def read(self, builder, address):
        """Load a vector of weights. A bfloat16 number is the upper half of a float32 number."""
        pointer = builder.bitcast(address, ir.VectorType(self.stored, LANES).as_pointer())
        if not self.is_bfloat16:
            return builder.load(pointer, align=64)
        wide = ir.VectorType(I32, LANES)
        words = builder.zext(builder.load(pointer, align=32), wide)
        return builder.bitcast(builder.shl(words, ir.Constant(wide, [16] * LANES)), self.vector)

    def prefetch(self, builder, address):
        """Prefetch memory. The address may be beyond the last weight, because a prefetch never faults."""
        kind = ir.FunctionType(ir.VoidType(), [BYTE, I32, I32, I32])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", (BYTE,), kind)
        builder.call(fetch, [address, I32(0), I32(3), I32(1)])  # for reading, into all caches, data

    def multiply_add(self, builder, weights, x, total):
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        if not self.is_int8:
            multiply = builder.module.declare_intrinsic("llvm.fma.v16f32", (), kind)
            return builder.call(multiply, [weights, x, total])
        if VNNI:
            multiply = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), kind)
            return builder.call(multiply, [total, x, weights])
        i8s, i16s = (ir.VectorType(ir.IntType(bits), STEP * LANES) for bits in (8, 16))
        weights, x = (builder.sext(builder.bitcast(v, i8s), i16s) for v in (weights, x))
        products = builder.sext(builder.mul(weights, x), ir.VectorType(I32, STEP * LANES))
        undefined = ir.Constant(products.type, ir.Undefined)
        for part in range(STEP):
            indices = ir.Constant(self.vector, [STEP * lane + part for lane in range(LANES)])
            total = builder.add(total, builder.shuffle_vector(products, undefined, indices))
        return total

    def add_products(self, builder, rows, weights, x, stride, end, out):
        """Add the products of a number of rows to `out`. During the loop, the totals stay in registers."""
        sources = [builder.gep(x, [builder.mul(stride, I64(row))]) for row in range(rows)]
        before = builder.block
        loop, after = builder.append_basic_block("inputs"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(I64)
        index.add_incoming(I64(0), before)
        starts = [[builder.phi(self.vector) for _ in range(2)] for _ in range(rows)]
        totals = [list(row) for row in starts]
        for step in range(self.elements_in_step):
            self._add_element(builder, builder.add(index, I64(step)), weights, sources, totals)
        following = builder.add(index, I64(self.elements_in_step))
        index.add_incoming(following, loop)
        zero = ir.Constant(self.vector, [0] * LANES)
        for start, total in zip(chain(*starts), chain(*totals), strict=True):
            start.add_incoming(zero, before)
            start.add_incoming(total, loop)
        builder.cbranch(builder.icmp_signed("<", following, end), loop, after)
        builder.position_at_end(after)
        self._store(builder, totals, out)

    def _add_element(self, builder, index, weights, sources, totals):
        """Add the products of one element of each row."""
        block = []
        for half in range(2):
            offset = builder.add(builder.mul(index, I64(BLOCK)), I64(half * LANES))
            block.append(self.read(builder, builder.gep(weights, [offset])))
            if self.is_bfloat16 and half:
                continue  # the same cache line
            distance = I64(AHEAD * BLOCK * (1 + self.is_bfloat16))
            ahead = builder.gep(weights, [builder.add(offset, distance)])
            self.prefetch(builder, builder.bitcast(ahead, BYTE))
        for source, total in zip(sources, totals, strict=True):
            value = splat(builder, builder.load(builder.gep(source, [index]), align=4), LANES)
            for half in range(2):
                total[half] = self.multiply_add(builder, block[half], value, total[half])

    def _store(self, builder, totals, out):
        for row, halves in enumerate(totals):
            for half in range(2):
                offset = I64(row * BLOCK + half * LANES)
                address = builder.bitcast(builder.gep(out, [offset]), self.vector.as_pointer())
                before = builder.load(address, align=4)
                add = builder.add if self.is_int8 else builder.fadd
                builder.store(add(before, halves[half]), address, align=4)


def _tile(weights: str):
    """Return the function tile(rows, weights, x, inputs, count, out), which adds the products of `count`
    inputs to a block's 32 outputs of up to ROWS rows. Its arguments are the addresses of the weights, of x
    [rows, inputs], and of out [rows, 32], which is float32 or, for int8, int32. Each number of rows has its
    own code."""
    code = TileCode(weights)

    @intrinsic
    def tile(typing, rows, weights, x, inputs, count, out):
        def generate(context, builder, signature, arguments):
            rows, weights, x, inputs, count, out = arguments
            weights = builder.inttoptr(weights, code.stored.as_pointer())
            x, out = (builder.inttoptr(p, code.number.as_pointer()) for p in (x, out))
            stride, end = (builder.sdiv(size, I64(code.inputs_in_element)) for size in (inputs, count))
            cases = [builder.append_basic_block(f"rows{number}") for number in range(1, ROWS + 1)]
            finished = builder.append_basic_block("finished")
            switch = builder.switch(rows, finished)
            for number, case in enumerate(cases, 1):
                switch.add_case(I64(number), case)
                builder.position_at_end(case)
                code.add_products(builder, number, weights, x, stride, end, out)
                builder.branch(finished)
            builder.position_at_end(finished)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return tile


tile, bfloat16_tile, int8_tile = (_tile(weights) for weights in ("float32", "bfloat16", "int8"))
