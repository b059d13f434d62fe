"""Read a tokenizer and a model from a folder, and turn failures into sentences."""

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
    """The files of a model exist, but their content cannot be loaded. `model` is the model's name."""

    def __init__(self, model: str, template: str, *values):
        super().__init__(template, *values)
        self.model = model


@without_collections()
def load_tokenizer(folder: Path, name: str | None = None):
    """Return the tokenizer in a folder. `name` is the model's name in errors.

    Raises:
        UserError: it cannot be read, or needs its own code.
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
    """Return the causal language model in a folder, in eval mode without gradients. Its safetensors are read
    directly into `dtype` on `device`.

    Args:
        name: the model's name in errors.
        spread: the bytes that each device may hold, to distribute the model over several devices.

    Raises:
        UserError: the folder has no such model, its weights are incomplete or broken, it needs its own code,
            or the devices have too little memory.
    """
    from transformers import AutoModelForCausalLM

    name = name or str(folder)
    placement: dict[str, Any] = {"device_map": None if device.type == "cpu" else {"": device}}
    if spread:
        placement = {"device_map": "auto", "max_memory": _max_memory(name, spread)}
    with quiet_transformers(), reading_failures_refused(name, "causal language model"):
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            **placement,
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


def _max_memory(name: str, spread: dict[str, int]) -> dict[int | str, int]:
    """Return the bytes that each device may hold, with accelerate's names for the devices.

    Raises:
        UserError: accelerate is not installed.
    """
    if find_spec("accelerate") is None:
        raise UserError(
            "{} does not fit on one GPU, and the package accelerate, which splits it over several, is not "
            "installed; run: pip install accelerate",
            name,
        )
    return {int(device.rpartition(":")[2]): size for device, size in spread.items()} | {"cpu": 0}


@contextlib.contextmanager
def reading_failures_refused(name: str, what: str) -> Iterator[None]:
    """Turn any exception of transformers into a sentence with the exception's first line. `what` names the
    thing that is read.

    Raises:
        Unreadable: it cannot be read.
        UserError: it needs its own code.
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
    """Turn any UserError into Unreadable, because its cause may be a damaged file.

    Raises:
        Unreadable: in place of a UserError.
    """
    try:
        yield
    except UserError as error:
        raise Unreadable(name, error.sentence.template, *error.sentence.values) from error
