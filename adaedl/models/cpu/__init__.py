"""The fast path on a CPU: packed weights, Numba kernels, int8."""
