"""The host's settings, from environment variables: the pair, the limits for visitors, the races at once."""

import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from adaedl.errors import Sentence, UserError
from adaedl.pairs.devices import pick_device, why_no_int8
from adaedl.pairs.presets import DEFAULT_PAIR, DTYPES, largest_that_fits, resolve
from adaedl.stopping.plugins import load_plugins
from adaedl.system.cache_folder import cache_dir

# Device files of NVIDIA drivers (also on Tegra and under WSL) and of AMD's.
GPU_DEVICES = ("nvidiactl", "nvidia0", "nvhost-ctrl-gpu", "nvgpu", "dxg", "kfd")
PREFIX = "ADAEDL_"  # of all variables; bare names such as CACHE or PAIR belong to other programs
ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
REPOSITORY = re.compile(
    r"https://[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?(/[\w.~@%+-]*)*", re.IGNORECASE | re.ASCII
)
SPACE = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)  # owner/name
MOST_DIGITS = 20  # of a number; Python refuses numbers with thousands of digits


@dataclass(frozen=True)
class Host:
    """The host's settings.

    Attributes:
        pair: the pair to load first; None for one that fits the device's memory.
        max_tokens: the most new tokens per lane that a visitor may request.
        concurrency: races at once. They take turns on the device, so each takes longer.
        race_seconds: the time limit of a race.
        dtype: the dtype of the weights; None for the device's default.
        session_mb: memory in MiB for the races, recordings and sweeps of all visitors together.
        framed_by: the other origins whose pages may show this one in a frame; "*" for any.
        repository: the address of the source code that the page links to; None for no link.
    """

    pair: str | None = None
    max_tokens: int = 512
    concurrency: int = 1
    race_seconds: int = 180
    dtype: str | None = None
    session_mb: int = 256
    framed_by: tuple[str, ...] = ()
    repository: str | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Host":
        """Return the settings in the environment variables whose names start with ADAEDL_, and the repository
        of a Space.

        Raises:
            UserError: a value is invalid; the message names the variable and the valid values.
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
            framed_by=_origins(environment, "FRAMED_BY"),
            repository=_repository(environment),
        )


@cache
def host() -> Host:
    """Return the settings in this process's environment, read once.

    Raises:
        UserError: a variable is invalid (`Host.read`, `cache_dir`).
    """
    cache_dir()
    return Host.read(os.environ)


def load_stoppers(environment: Mapping[str, str]) -> list[Sentence]:
    """Load the host's own stoppers (`adaedl.stopping.plugins`); return a sentence for each that is not
    loaded. On a Space, which anybody may use, they are loaded only if ADAEDL_ALLOW_STOPPERS is 1.

    Raises:
        UserError: ADAEDL_ALLOW_STOPPERS is neither 0 nor 1.
    """
    allowed = _value(environment, "ALLOW_STOPPERS") or "0"
    if allowed not in ("0", "1"):
        raise UserError("ADAEDL_ALLOW_STOPPERS is {!r}; it must be 1 or 0.", allowed)
    if "SPACE_ID" not in environment or allowed == "1":
        return load_plugins(environment)
    if _value(environment, "STOPPERS") is None:
        return []
    return [
        Sentence("ADAEDL_STOPPERS is ignored on a Space; set ADAEDL_ALLOW_STOPPERS=1 to load its stoppers.")
    ]


def on_zero_gpu() -> bool:
    """Return whether this is a Space on ZeroGPU (components/serving/zero_gpu.py)."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def first_pair() -> str:
    """Return the pair to load first: the host's, the largest that fits the GPU, or the default one."""
    if host().pair:
        return host().pair
    if not on_zero_gpu() and not may_have_gpu():
        return DEFAULT_PAIR
    import torch

    if not torch.cuda.is_available():
        return DEFAULT_PAIR
    memory_gib = torch.cuda.get_device_properties(0).total_memory / 2**30
    # ZeroGPU moves the weights to a GPU again for most visitors; a third of its memory takes seconds to move.
    return largest_that_fits(memory_gib / 3 if on_zero_gpu() else memory_gib).name


def may_have_second_pair() -> bool:
    """Return whether a second pair may be loaded: on a CPU, if the host chose no pair."""
    return not host().pair and not on_zero_gpu() and not may_have_gpu()


def may_have_gpu() -> bool:
    """Return whether this machine has a GPU driver that torch could use. Importing torch to ask it would take
    seconds."""
    return sys.platform != "linux" or any(os.path.exists(f"/dev/{name}") for name in GPU_DEVICES)


def why_no_int8_pairs() -> Sentence | None:
    """Return why pairs that need int8 are not offered here, as the end of a sentence after "because"; None if
    they are offered."""
    if on_zero_gpu():
        return why_no_int8("ZeroGPU")
    return why_no_int8(pick_device() if may_have_gpu() else "cpu")


def start_logging() -> None:
    """Log one line of JSON for each race to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    races = logging.getLogger("adaedl.races")
    races.handlers[:] = [handler]
    races.propagate = False
    races.setLevel(logging.INFO)


def _value(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get(PREFIX + name, "").strip() or None


def _origins(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    origins = (_value(environment, name) or "").split()
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise UserError(
                "{} has {!r:.60}; it must be a list of origins, such as https://example.org or "
                "https://*.example.org, with spaces between them, or * for any page.",
                PREFIX + name,
                origin,
            )
    return tuple(origins)


def _repository(environment: Mapping[str, str]) -> str | None:
    """Return the address of the source code: the host's, or on a Space its files."""
    address = _value(environment, "REPOSITORY")
    if address and not REPOSITORY.fullmatch(address):
        raise UserError(
            "{} is {!r:.60}; it must be an address that starts with https://, such as "
            "https://github.com/owner/name.",
            PREFIX + "REPOSITORY",
            address,
        )
    space = environment.get("SPACE_ID", "")
    if address or not SPACE.fullmatch(space):
        return address
    return f"https://huggingface.co/spaces/{space}/tree/main"


def _whole(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = _value(environment, name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > MOST_DIGITS or not 1 <= int(text) <= most:
        raise UserError("{} is {!r}; it must be a whole number from 1 to {}.", PREFIX + name, text, most)
    return int(text)
