"""The fast path on a GPU: CUDA graphs and Triton kernels."""
