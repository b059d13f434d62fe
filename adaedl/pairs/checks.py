"""What is checked of a pair before gigabytes are read, and of an int8 model after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from adaedl.errors import UserError
from adaedl.models.checkpoints import quiet_transformers
from adaedl.pairs.placement import MEMORY_FACTOR
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.pairs.reading import reading_failures_refused

if TYPE_CHECKING:
    from adaedl.models.protocol import Runner


MOST_LAYERS = 1000  # far more than any model has


def check_int8(name: str, runner: Runner) -> None:
    """Raises UserError where a model in int8 is not one whose numbers do not depend on how many tokens are
    verified at once: nothing would be lossless to it."""
    import torch

    from adaedl.models.cpu.families import FAMILIES
    from adaedl.models.cpu.packed import PackedModel, same_bits

    if not isinstance(runner, PackedModel) or not same_bits(runner, torch.arange(10), 5):
        raise UserError(
            "int8 needs a model of the families {} and a CPU that computes the same numbers for a token "
            "alone and in a batch; {} here does not qualify; choose the dtype auto.",
            ", ".join(FAMILIES),
            name,
        )


def check_can_copy(name: str, target) -> None:
    """Raises UserError where the CPU's kernels do not run a transformers model, nor an int8 copy of it."""
    from adaedl.models.cpu.families import why_not_packed

    if reason := why_not_packed(target):
        raise UserError("{} cannot draft with an int8 copy of itself, because {}.", name, reason)


def check_shape(folder: Path, held: int, name: str) -> None:
    """Raises UserError where a model's configuration asks for more weights than the `held` ones in its files:
    what is missing would be made up, however large it is."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with quiet_transformers(), reading_failures_refused(name, "causal language model"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        asked = sum(weights.numel() for weights in model.parameters())  # those that are tied count once
    if asked > 1.05 * held:
        raise _misfit(name)


def check_layers(folder: Path, name: str) -> None:
    """Raises UserError where a model's configuration asks for more layers than any model has: a list of them,
    which is made whenever that is read, could fill the memory."""
    with reading_failures_refused(name, "configuration"):
        parts = [json.loads((folder / "config.json").read_text("utf-8"))]
        for part in parts:
            parts += [value for value in part.values() if isinstance(value, dict)]
            for key, value in part.items():
                if "layer" in key and isinstance(value, int | float) and value > MOST_LAYERS:
                    raise _misfit(name)


def _misfit(name: str) -> UserError:
    return UserError("The configuration of {} does not match its files; choose another model.", name)


def check_memory(name: str, size: int, free: int | None) -> None:
    """Raises UserError where weights of `size` bytes do not fit the free memory; None is unknown."""
    if free is not None and MEMORY_FACTOR * size > free:
        raise UserError(
            "{} needs about {:.1f} GiB of memory, but only {:.1f} GiB are free here; choose a smaller "
            "pair, such as {}.",
            name,
            MEMORY_FACTOR * size / 2**30,
            free / 2**30,
            DEFAULT_PAIR,
        )
