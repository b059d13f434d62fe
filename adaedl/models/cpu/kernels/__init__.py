"""The CPU kernels, compiled on this machine by Numba: a whole forward is one call that runs a table of steps.

A forward over a few tokens is limited by reading the weights, so it should do little else. If Python called
products and norms one by one, the calls would take as long as the work. Here a forward is a table of steps (a
product, attention, a norm) that is filled in once for a model, and a step is cut into chunks that threads
share.

Weights are laid out in blocks of 32 outputs, [outputs/32, inputs, 32]. A tile reads a block once, from end to
end, for up to eight rows. Each output adds up its inputs in a fixed order, and each row is normed and attends
by itself. So a token's numbers do not depend on the tokens beside it or on the number of threads, to the bit.

bfloat16 weights have half the bytes; they are widened as they are read, so products are computed in float32.
int8 weights [outputs/32, inputs/4, 32, 4] have one scale per output. Inputs are quantised in every product,
with one scale per row; sums of integers are exact.

**Sharing a step** (`jobs.py`). On a busy machine a thread may lose its core at any moment for milliseconds,
so no thread ever waits for another thread that holds work:

- A step has a *tick*, a number that only grows. Each thread owns a range of the step's chunks. It claims its
  own chunks one by one, then chunks that other threads have not claimed yet.
- A thread computes a chunk into its own memory. Then it sets the chunk's *state* to the tick by
  compare-and-swap. This succeeds once per chunk, and the thread that succeeds writes the result to its
  destination.
- A thread that finds nothing to claim waits for about the duration of a chunk, then computes chunks that
  others have claimed but not finished. A late thread finds the state already set, drops its result and goes
  on to the current step.

A late thread may read memory that later steps write or that is no longer in use: its result is always
dropped, and `Team` keeps the memory until the thread has left. If a compare-and-swap succeeds, the step was
not finished, so nothing that the chunk read had changed.
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
