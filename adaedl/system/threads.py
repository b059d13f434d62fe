"""Choose the number of threads: no more than the cores that this process may keep busy.

Libraries count the cores they see. In a container with a smaller CPU quota, the kernel stops the whole
process for the rest of each period once its threads have used up the quota. This also stops threads that hold
a lock or that others wait for at a barrier, and decoding gets several times slower. So the quota decides.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from adaedl.errors import Sentence, UserError
from adaedl.system.control_groups import cpu_quota

SETTING = "ADAEDL_THREADS"
MAX_THREADS = 256
# Variables that OpenMP (used by torch and Arrow), MKL, OpenBLAS, Accelerate (numpy on a Mac), Numba and Rayon
# (used by tokenizers) read when they are loaded.
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
# Lists the VARIABLES that `prepare_threads` has set, as NAME=VALUE,…, so that neither this process nor its
# children mistake them for the user's settings.
PREPARED = "ADAEDL_THREADS_PREPARED"


class Threads(NamedTuple):
    """A number of threads, and what limits it."""

    count: int  # type: ignore[assignment]  # a tuple has a method with this name
    limit: Sentence


ALL_CORES = Sentence("all cores of this machine")
AFFINITY = Sentence("the cores that this process may use")
TORCH = Sentence("torch's own setting")


class _State:
    prepared: Threads | None = None
    applied = False


def usable_cores() -> int:
    """Return the number of cores that this process may run on, whatever its quota."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_threads(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Threads:
    """Return how many threads to use, and what limits the number: ADAEDL_THREADS if it is set, otherwise the
    smallest of the number of cores, the CPU quota rounded down, and the user's OMP_NUM_THREADS.

    Args:
        root: the folder that contains /proc and the control groups.

    Raises:
        UserError: ADAEDL_THREADS is not a whole number from 1 to 256.
    """
    if setting := environment.get(SETTING, "").strip():
        return Threads(_checked(setting), Sentence(SETTING))
    cores = usable_cores()
    limits = [Threads(cores, AFFINITY if cores < (os.cpu_count() or 1) else ALL_CORES)]
    if (quota := cpu_quota(root)) is not None:
        limits.append(Threads(max(int(quota), 1), Sentence("CPU quota: {:g}", quota)))
    name = VARIABLES[0]
    if name not in _set_by_us(environment) and (count := _first_number(environment.get(name, ""))):
        limits.append(Threads(count, Sentence(name)))
    return min(limits, key=lambda threads: threads.count)


def threads_in_use() -> Threads:
    """Return the number of threads that torch uses, or will use once imported, and what limits it.

    Raises:
        UserError: as `usable_threads`, if `prepare_threads` was not called.
    """
    chosen = _State.prepared or usable_threads()
    torch_threads = getattr(sys.modules.get("torch"), "get_num_threads", None)  # torch may be half imported
    if torch_threads is None or torch_threads() == chosen.count:
        return chosen
    return Threads(torch_threads(), TORCH)


def prepare_threads() -> Threads:
    """Make libraries that are imported later use as many threads as `usable_threads` says, and return its
    result.

    This sets only limits that libraries cannot see themselves: a quota or a setting. They know the number of
    cores, and some count cores better by leaving out second hardware threads. Variables set by the user keep
    their values.

    Raises:
        UserError: as `usable_threads`.
    """
    chosen = usable_threads()
    names = [name for name in VARIABLES if not (name.startswith("NUMBA") and "numba" in sys.modules)]
    before = _set_by_us(os.environ)
    for name in before.intersection(names):  # by a parent, which may have had another quota
        del os.environ[name]
    ours = before.difference(names)
    if not _libraries_know(chosen):
        unset = [name for name in names if not os.environ.get(name, "").strip()]
        os.environ.update(dict.fromkeys(unset, str(chosen.count)))
        ours.update(unset)
    os.environ.pop(PREPARED, None)
    if ours:
        os.environ[PREPARED] = ",".join(f"{name}={os.environ[name]}" for name in sorted(ours))
    _State.prepared, _State.applied = chosen, False
    return chosen


def apply_threads() -> None:
    """Set torch's number of threads to the result of `prepare_threads`, once, whatever the environment says.
    Do nothing if `prepare_threads` was not called: another program imports this one and sets torch's threads
    itself."""
    chosen = _State.prepared
    if chosen is None or _State.applied:
        return
    _State.applied = True
    import torch

    count = torch.get_num_threads()
    if count > chosen.count or (count < chosen.count and not _libraries_know(chosen)):
        torch.set_num_threads(chosen.count)


def _checked(setting: str) -> int:
    if not setting.isdecimal() or len(setting) > 20 or not 1 <= int(setting) <= MAX_THREADS:
        raise UserError("{} is {!r}; it must be a whole number from 1 to {}.", SETTING, setting, MAX_THREADS)
    return int(setting)


def _first_number(text: str) -> int | None:
    """Return OpenMP's number of threads at the outermost level in a list such as "4,2"; None for anything
    else."""
    match = re.match(r"\s*0*([1-9][0-9]{0,8})\s*(,|$)", text)
    return int(match[1]) if match else None


def _set_by_us(environment: Mapping[str, str]) -> set[str]:
    """Return the names of the variables that still have the value set by `prepare_threads`."""
    ours = set(environment.get(PREPARED, "").split(","))
    return {name for name in VARIABLES if f"{name}={environment.get(name)}" in ours}


def _libraries_know(threads: Threads) -> bool:
    return threads.limit in (ALL_CORES, AFFINITY)
