"""Checks of a pair before gigabytes are read, and of an int8 model after it has been packed."""

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


MAX_LAYERS = 1000  # far more than any model has


def check_int8(name: str, runner: Runner) -> None:
    """Check that the logits of an int8 model do not depend on how many tokens are verified together.
    Otherwise no lane could be lossless.

    Raises:
        UserError: they do, or the model is not packed.
    """
    import torch

    from adaedl.models.cpu.families import FAMILIES
    from adaedl.models.cpu.packed import PackedModel, same_bits

    if not isinstance(runner, PackedModel) or not same_bits(runner, torch.arange(10), 5):
        raise UserError(
            "int8 needs a model of the families {} and a CPU that computes bitwise identical logits "
            "for a token alone and in a batch; {} here does not qualify; choose the dtype auto.",
            ", ".join(FAMILIES),
            name,
        )


def check_can_copy(name: str, target) -> None:
    """Check that the CPU kernels can run a transformers model, and so an int8 copy of it.

    Raises:
        UserError: they cannot.
    """
    from adaedl.models.cpu.families import why_not_packed

    if reason := why_not_packed(target):
        raise UserError("{} cannot draft with an int8 copy of itself, because {}.", name, reason)


def check_shape(folder: Path, stored: int, name: str) -> None:
    """Check that a model's configuration does not require more weights than the `stored` weights in its
    files. transformers would make up the missing weights, however many.

    Raises:
        UserError: it does.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with quiet_transformers(), reading_failures_refused(name, "causal language model"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        required = sum(weights.numel() for weights in model.parameters())  # tied weights count once
    if required > 1.05 * stored:
        raise _misfit(name)


def check_layers(folder: Path, name: str) -> None:
    """Check that a model's configuration does not have more layers than any real model. Reading such a
    configuration makes a list of its layers, which could fill the memory.

    Raises:
        UserError: it does.
    """
    with reading_failures_refused(name, "configuration"):
        parts = [json.loads((folder / "config.json").read_text("utf-8"))]
        for part in parts:
            parts += [value for value in part.values() if isinstance(value, dict)]
            for key, value in part.items():
                if "layer" in key and isinstance(value, int | float) and value > MAX_LAYERS:
                    raise _misfit(name)


def _misfit(name: str) -> UserError:
    return UserError("The configuration of {} does not match its files; choose another model.", name)


def check_memory(name: str, size: int, free: int | None) -> None:
    """Check that weights of `size` bytes fit into `free` bytes of memory, None if unknown.

    Raises:
        UserError: they do not.
    """
    if free is not None and MEMORY_FACTOR * size > free:
        raise UserError(
            "{} needs about {:.1f} GiB of memory, but only {:.1f} GiB are free here; choose a smaller "
            "pair, such as {}.",
            name,
            MEMORY_FACTOR * size / 2**30,
            free / 2**30,
            DEFAULT_PAIR,
        )
