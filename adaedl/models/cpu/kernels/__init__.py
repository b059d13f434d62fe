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

**Sharing a step** (`jobs.py`). On a machine with other work a thread may lose its core at any moment, for
milliseconds, so no thread ever waits for another one that holds work:

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

from adaedl.models.cpu.jit import VNNI
from adaedl.models.cpu.kernels.calls import choose, multiply, noise_of, noise_rows, read_draft
from adaedl.models.cpu.kernels.forward import Forward
from adaedl.models.cpu.kernels.packing import Packed, can_pack, pack

__all__ = [
    "VNNI",
    "Forward",
    "Packed",
    "can_pack",
    "choose",
    "multiply",
    "noise_of",
    "noise_rows",
    "pack",
    "read_draft",
]
