"""How Numba compiles functions, and for which processor."""

from llvmlite import binding
from numba import njit
from numba.core import config


def _compiles_for(feature: str) -> bool:
    """Return whether the processor that Numba compiles for, by default this one, has a feature."""
    if config.CPU_NAME or config.CPU_FEATURES:
        return f"+{feature}" in (config.CPU_FEATURES or "")
    return bool(binding.get_host_cpu_features().get(feature))


VNNI = _compiles_for("avx512vnni")


def _can_cache() -> bool:
    """Return whether Numba finds a folder in which it can cache compiled code."""
    try:
        njit(cache=True)(_can_cache)
    except RuntimeError:
        return False
    return True


CAN_CACHE = _can_cache()

# Not cached one by one: they are compiled into the entry points that Python calls, and those are cached.
compiled = njit(error_model="numpy")
# Numba compiles a function with the fastmath flags of its first caller. So that the bits of a result do not
# depend on which caller that is, these functions call only functions that are declared in the same way.
sums_in_any_order = njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
