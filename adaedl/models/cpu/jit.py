"""How functions are compiled by Numba, and for what processor."""

from llvmlite import binding
from numba import njit
from numba.core import config


def _compiles_for(feature: str) -> bool:
    """Return whether the processor that Numba compiles for has a feature; by default that is this one."""
    if config.CPU_NAME or config.CPU_FEATURES:
        return f"+{feature}" in (config.CPU_FEATURES or "")
    return bool(binding.get_host_cpu_features().get(feature))


VNNI = _compiles_for("avx512vnni")


def _keeps() -> bool:
    """Return whether Numba finds a folder where it may keep what it compiles."""
    try:
        njit(cache=True)(_keeps)
    except RuntimeError:
        return False
    return True


KEEP = _keeps()

# Not kept one by one: they are compiled as parts of the entry points that Python calls, which are kept.
compiled = njit(error_model="numpy")
# Numba compiles a function with the fastmath flags of the caller that needs it first. So that bits do not
# depend on that, whatever such a function calls is declared in the same way.
sums_in_any_order = njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
