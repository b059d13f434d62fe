"""The C functions that Python calls. Each is compiled with everything that it calls, and cached on disk.

The key of Numba's cache is made of a function's own file, its bytecode and the values that it closes over. It
does not change when a function that is called changes. So each entry point closes over a hash of all sources.
"""

import hashlib
from functools import cache
from pathlib import Path

from numba import carray, cfunc, types

from adaedl import noise
from adaedl.models.cpu import int8, jit
from adaedl.models.cpu.kernels import choices, gumbel_noise, jobs
from adaedl.models.cpu.kernels.records import NOISE, READ

on_team = cfunc(types.void(types.int64, types.int64), cache=jit.CAN_CACHE)
on_call = cfunc(types.void(types.voidptr), cache=jit.CAN_CACHE)


def source_files() -> list[Path]:
    """Return the files that the kernels are compiled from: this package, and the modules with constants that
    it uses."""
    return [
        *sorted(Path(__file__).parent.glob("*.py")),
        *(Path(str(module.__file__)) for module in (noise, int8, jit)),
    ]


@cache
def hash_of_sources() -> int:
    """Return a hash of all files that the kernels are compiled from."""
    digest = hashlib.sha256()
    for file in source_files():
        digest.update(file.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


def compile_lead():
    """Return the compiled lead(team, job), see `jobs.lead`."""
    sources = hash_of_sources()

    @on_team
    def lead(team, job):
        _ = sources
        jobs.lead(team, job)

    return lead


def compile_follow():
    """Return the compiled follow(team, thread), see `jobs.follow`."""
    sources = hash_of_sources()

    @on_team
    def follow(team, thread):
        _ = sources
        jobs.follow(team, thread)

    return follow


def compile_read():
    """Return the compiled read(call), see `choices.read_draft`."""
    sources = hash_of_sources()

    @on_call
    def read(call):
        _ = sources
        choices.read_draft(carray(call, 1, READ)[0])

    return read


def compile_draw():
    """Return the compiled draw(call), see `gumbel_noise.draw_rows`."""
    sources = hash_of_sources()

    @on_call
    def draw(call):
        _ = sources
        gumbel_noise.draw_rows(carray(call, 1, NOISE)[0])

    return draw
