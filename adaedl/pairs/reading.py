"""Read a tokenizer and a model from a folder, and say in a sentence why that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaedl.errors import Sentence, UserError, first_line, is_failure
from adaedl.models.checkpoints import BUFFERS, quiet_transformers
from adaedl.system.machine import is_out_of_memory, without_collections

if TYPE_CHECKING:
    import torch


class Unreadable(UserError):
    """Files of a model are there, and what they hold cannot be loaded. `model` is its name."""

    def __init__(self, model: str, template: str, *values):
        super().__init__(template, *values)
        self.model = model


@without_collections()
def load_tokenizer(folder: Path, name: str | None = None):
    """Return the tokenizer in a folder; `name` is what errors call it.

    Raises:
        UserError: it cannot be read, or only with code of its own.
    """
    from transformers import AutoTokenizer

    with quiet_transformers(), reading_failures_refused(name or str(folder), "tokenizer"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


@without_collections()
def load_model(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    name: str | None = None,
    spread: dict[str, int] | None = None,
):
    """Return the causal language model in a folder, in eval mode without gradients, read from safetensors
    straight into `dtype` on `device`.

    Args:
        name: what errors call it.
        spread: read it over several devices; how many bytes each may hold.

    Raises:
        UserError: it is no such model, its weights are incomplete or broken, it needs code of its own, or
            the device has too little memory.
    """
    from transformers import AutoModelForCausalLM

    name = name or str(folder)
    placed: dict[str, Any] = {"device_map": None if device.type == "cpu" else {"": device}}
    if spread:
        placed = {"device_map": "auto", "max_memory": _for_accelerate(name, spread)}
    with quiet_transformers(), reading_failures_refused(name, "causal language model"):
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            **placed,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    if spread and {"cpu", "disk"} & set(map(str, model.hf_device_map.values())):
        raise UserError(
            "The layers of {} do not fit on the GPUs here, however they are split; choose a smaller pair.",
            name,
        )
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            "{} lacks {} of its weights, starting with {}; choose another model.",
            name,
            len(missing),
            missing[0],
        )
    if unused := sorted(key for key in info["unexpected_keys"] if not BUFFERS.search(key)):
        raise UserError(
            "The configuration of {} leaves out {} of the weights in its files, starting with {}; choose "
            "another model.",
            name,
            len(unused),
            unused[0],
        )
    return model.eval().requires_grad_(False)


def _for_accelerate(name: str, spread: dict[str, int]) -> dict[int | str, int]:
    """Return what each device may hold, under the names that accelerate gives them.

    Raises:
        UserError: there is no accelerate.
    """
    if find_spec("accelerate") is None:
        raise UserError(
            "{} does not fit on one GPU, and the package accelerate, which splits it over several, is not "
            "installed; run: pip install accelerate",
            name,
        )
    return {int(device.rpartition(":")[2]): most for device, most in spread.items()} | {"cpu": 0}


@contextlib.contextmanager
def reading_failures_refused(name: str, what: str) -> Iterator[None]:
    """Turn whatever exception transformers raises into a sentence with its first line.

    Raises:
        Unreadable: what could not be read; `what` names it.
        UserError: it needs code of its own.
    """
    try:
        yield
    except BaseException as error:
        if not is_failure(error) or is_out_of_memory(error) or isinstance(error, UserError):
            raise
        refusal = "{} has no {} that can be loaded: {}"
        if "trust_remote_code" in str(error):
            reason = Sentence("it needs its own code, which is never run here")
            raise UserError(refusal, name, what, reason) from error
        raise Unreadable(name, refusal, name, what, first_line(error)) from error


@contextlib.contextmanager
def as_unreadable(name: str) -> Iterator[None]:
    """Take any UserError for one whose reason may be a damaged file.

    Raises:
        Unreadable: in its place.
    """
    try:
        yield
    except UserError as error:
        raise Unreadable(name, error.sentence.template, *error.sentence.values) from error
