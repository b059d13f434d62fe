"""The C functions that Python calls: each is compiled with all that it calls, and kept on the disk."""

import hashlib
from pathlib import Path

from numba import carray, cfunc, types

from adaedl import noise
from adaedl.models.cpu import int8, jit
from adaedl.models.cpu.kernels import choices, gumbel_noise, jobs
from adaedl.models.cpu.kernels.records import NOISE, READ


def source_files() -> list[Path]:
    """Return the files that the kernels are compiled from: this package, and the modules whose constants it
    takes."""
    return [
        *sorted(Path(__file__).parent.glob("*.py")),
        *(Path(module.__file__) for module in (noise, int8, jit)),
    ]


def hash_of_sources() -> int:
    """Return a hash of all that the kernels are compiled from."""
    digest = hashlib.sha256()
    for file in source_files():
        digest.update(file.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


def compile_entry_points(sources: int) -> tuple:
    """Return lead(team, job), follow(team, thread), read(call) and draw(call), from Numba's cache if there.

    The key of that cache is a function's own file, its bytecode and the values it closes over. It does not
    change with a function that is called. So each of these closes over the hash of all sources.
    """
    on_team = cfunc(types.void(types.int64, types.int64), cache=jit.KEEP)
    on_call = cfunc(types.void(types.voidptr), cache=jit.KEEP)

    @on_team
    def lead(team, job):
        _ = sources
        jobs.lead(team, job)

    @on_team
    def follow(team, thread):
        _ = sources
        jobs.follow(team, thread)

    @on_call
    def read(call):
        _ = sources
        choices.read_draft(carray(call, 1, READ)[0])

    @on_call
    def draw(call):
        _ = sources
        gumbel_noise.draw_rows(carray(call, 1, NOISE)[0])

    return lead, follow, read, draw


lead, follow, read, draw = compile_entry_points(hash_of_sources())
