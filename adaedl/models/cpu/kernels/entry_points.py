"""The C functions that Python calls: each is compiled with all that it calls, and kept on the disk.

The key of Numba's cache is a function's own file, its bytecode and the values it closes over. It does not
change with a function that is called. So each entry point closes over a hash of all sources.
"""

import hashlib
from functools import cache
from pathlib import Path

from numba import carray, cfunc, types

from adaedl import noise
from adaedl.models.cpu import int8, jit
from adaedl.models.cpu.kernels import choices, gumbel_noise, jobs
from adaedl.models.cpu.kernels.records import NOISE, READ

on_team = cfunc(types.void(types.int64, types.int64), cache=jit.KEEP)
on_call = cfunc(types.void(types.voidptr), cache=jit.KEEP)


def source_files() -> list[Path]:
    """Return the files that the kernels are compiled from: this package, and the modules whose constants it
    takes."""
    return [
        *sorted(Path(__file__).parent.glob("*.py")),
        *(Path(module.__file__) for module in (noise, int8, jit)),
    ]


@cache
def hash_of_sources() -> int:
    """Return a hash of all that the kernels are compiled from."""
    digest = hashlib.sha256()
    for file in source_files():
        digest.update(file.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


def compile_lead():
    """Return lead(team, job), see `jobs.lead`."""
    sources = hash_of_sources()

    @on_team
    def lead(team, job):
        _ = sources
        jobs.lead(team, job)

    return lead


def compile_follow():
    """Return follow(team, thread), see `jobs.follow`."""
    sources = hash_of_sources()

    @on_team
    def follow(team, thread):
        _ = sources
        jobs.follow(team, thread)

    return follow


def compile_read():
    """Return read(call), see `choices.read_draft`."""
    sources = hash_of_sources()

    @on_call
    def read(call):
        _ = sources
        choices.read_draft(carray(call, 1, READ)[0])

    return read


def compile_draw():
    """Return draw(call), see `gumbel_noise.draw_rows`."""
    sources = hash_of_sources()

    @on_call
    def draw(call):
        _ = sources
        gumbel_noise.draw_rows(carray(call, 1, NOISE)[0])

    return draw
