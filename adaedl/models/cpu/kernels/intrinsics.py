"""Low-level operations for the kernels: memory access by address, atomic words, libc functions, vectors."""

import ctypes
import platform

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

libc = ctypes.CDLL(None)
for name in ("sem_post", "sem_wait", "sched_yield", "clock_gettime"):
    binding.add_symbol(name, ctypes.cast(getattr(libc, name), ctypes.c_void_p).value)
sem_post, sem_wait = (
    types.ExternalFunction(name, types.int32(types.int64)) for name in ("sem_post", "sem_wait")
)
sched_yield = types.ExternalFunction("sched_yield", types.int32())
clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))


def _cast(kind):
    """Return a function that casts an address to a pointer type."""

    @intrinsic
    def cast(typing, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return kind(types.int64), generate

    return cast


float32s, int64s, int32s, uint32s, uint8s = (
    _cast(types.CPointer(kind))
    for kind in (types.float32, types.int64, types.int32, types.uint32, types.uint8)
)
untyped = _cast(types.voidptr)


def _atomic(signature, emit):
    """Return an atomic operation on the 64-bit word at an address. emit(builder, pointer, …) writes its
    code."""

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


# Compare and swap: return whether the word was `before` and has been set to `after`.
swap = _atomic(types.boolean(types.int64, types.int64, types.int64), _swap)


@intrinsic
def release(typing, address, value):
    """Store a word with release order: after all earlier writes of this thread."""

    def generate(context, builder, signature, arguments):
        pointer, value = _word(builder, arguments)
        builder.store_atomic(value, pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def pause(typing):
    """Hint to the processor that this thread is waiting for a word to change."""

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


def splat(builder, value, lanes: int):
    """Return a vector with the same number in every lane."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    )
