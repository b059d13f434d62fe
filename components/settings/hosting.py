"""The host's choices, from environment variables: which pair, how much a visitor may ask for, how many race
at once."""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from adaedl.errors import Sentence, UserError
from adaedl.pairs.devices import pick_device, why_no_int8
from adaedl.pairs.presets import DEFAULT_PAIR, DTYPES, largest_that_fits, resolve
from adaedl.system.cache_folder import cache_dir

# Device files of NVIDIA drivers (also on Tegra and under WSL) and of AMD's.
GPU_DEVICES = ("nvidiactl", "nvidia0", "nvhost-ctrl-gpu", "nvgpu", "dxg", "kfd")
PREFIX = "ADAEDL_"  # of all names read: bare names such as CACHE or PAIR belong to other programs
MOST_DIGITS = 20  # of a number; Python refuses numbers with thousands of digits


@dataclass(frozen=True)
class Host:
    """The host's settings.

    Attributes:
        pair: the pair to load first; None for the one that fits the device's memory.
        max_tokens: the most new tokens per lane that a visitor may request.
        concurrency: races at once. They take turns on the device, so each takes longer.
        race_seconds: the time limit of a race.
        dtype: the dtype of the weights; None for the device's default.
        session_mb: MiB for the races, recordings and sweeps of all visitors together.
    """

    pair: str | None = None
    max_tokens: int = 512
    concurrency: int = 1
    race_seconds: int = 180
    dtype: str | None = None
    session_mb: int = 256

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Host":
        """Return the settings in the environment variables whose names start with ADAEDL_.

        Raises:
            UserError: naming the variable with an invalid value and what would be valid.
        """
        pair = _value(environment, "PAIR")
        if pair in (None, "auto"):
            pair = None
        else:
            try:
                resolve(pair)
            except UserError as error:
                raise UserError("ADAEDL_PAIR is not valid. {}", error) from error
        dtype = _value(environment, "DTYPE")
        if dtype not in (None, "auto", *DTYPES):
            raise UserError("ADAEDL_DTYPE is {!r}; it must be auto or one of {}.", dtype, ", ".join(DTYPES))
        return cls(
            pair=pair,
            max_tokens=_whole(environment, "MAX_TOKENS", cls.max_tokens, 4096),
            concurrency=_whole(environment, "CONCURRENCY", cls.concurrency, 32),
            race_seconds=_whole(environment, "RACE_SECONDS", cls.race_seconds, 3600),
            dtype=dtype,
            session_mb=_whole(environment, "SESSION_MB", cls.session_mb, 2**20),
        )


@cache
def host() -> Host:
    """Return the settings of this process's environment, read once.

    Raises:
        UserError: as `Host.read` or `cache_dir`, before anything is loaded.
    """
    cache_dir()
    return Host.read(os.environ)


def on_zero_gpu() -> bool:
    """Return whether this is a Space that runs on ZeroGPU (components/serving/zero_gpu.py)."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def first_pair() -> str:
    """Return the pair to load first: the host's, the largest that the GPU holds, or the default one."""
    if host().pair:
        return host().pair
    if not on_zero_gpu() and not may_have_gpu():
        return DEFAULT_PAIR
    import torch

    if not torch.cuda.is_available():
        return DEFAULT_PAIR
    memory_gib = torch.cuda.get_device_properties(0).total_memory / 2**30
    # ZeroGPU moves the weights to a GPU again for most visitors; a third of its memory moves in seconds.
    return largest_that_fits(memory_gib / 3 if on_zero_gpu() else memory_gib).name


def may_have_gpu() -> bool:
    """Return whether a driver that torch could use is here. Asking torch itself takes seconds of imports."""
    return sys.platform != "linux" or any(os.path.exists(f"/dev/{name}") for name in GPU_DEVICES)


def why_no_int8_pairs() -> Sentence | None:
    """Return why pairs that need int8 are not offered here, as the end of a sentence after "because"; None
    where they are."""
    if on_zero_gpu():
        return why_no_int8("ZeroGPU")
    return why_no_int8(pick_device() if may_have_gpu() else "cpu")


def start_logging() -> None:
    """Log one line of JSON for each race to standard error, and warnings and errors of everything else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    races = logging.getLogger("adaedl.races")
    races.handlers[:] = [handler]
    races.propagate = False
    races.setLevel(logging.INFO)


def _value(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get(PREFIX + name, "").strip() or None


def _whole(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = _value(environment, name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > MOST_DIGITS or not 1 <= int(text) <= most:
        raise UserError("{} is {!r}; it must be a whole number from 1 to {}.", PREFIX + name, text, most)
    return int(text)
