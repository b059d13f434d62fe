"""A model's folder: the files that it must contain, and folders named by users."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adaedl.errors import UserError, first_line

MAX_NAME_BYTES = 255  # of a file's name
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True)
class Weights:
    """A folder with a model and its tokenizer, and a description of their origin."""

    folder: Path
    origin: str


def is_path(model_id: str) -> bool:
    """Return whether a model's name is the path of a folder, not a Hub id."""
    return model_id.startswith((".", "~")) or Path(model_id).is_absolute()


def open_folder(path: str, allow_local: bool) -> Weights:
    """Return the model in a folder named by the user.

    Raises:
        UserError: folders are not allowed, or this folder lacks a file or cannot be read.
    """
    if not allow_local:
        raise UserError(
            "{!r} is a folder; only models from the Hugging Face Hub (org/name) can be used here.", path
        )
    with _folder_errors(path):
        folder = Path(path).expanduser().resolve()
        if not folder.is_dir():
            raise UserError("There is no folder {}.", folder)
        lacking = lacking_file(folder)
    if lacking:
        raise UserError(
            "The folder {} has no {}; choose a folder written by save_pretrained.", folder, lacking
        )
    return Weights(folder, f"the folder {folder}")


@contextlib.contextmanager
def _folder_errors(path: str) -> Iterator[None]:
    """Turn an error from reading a folder into a sentence: no permission, a loop of links, an unknown user, a
    name that is too long or contains NUL.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error).rstrip(".")
        raise UserError("The folder {!r} cannot be read ({}); choose another one.", path, reason) from error


def lacking_file(folder: Path) -> str | None:
    """Return the first missing file of a model's folder, or None if it is complete. An interrupted download
    lacks whole shards, never parts of a shard."""
    if not (folder / "config.json").is_file():
        return "config.json"
    index = folder / "model.safetensors.index.json"
    if not (folder / "model.safetensors").is_file():
        if not index.is_file():
            return "model.safetensors"
        shards = _shards(index)
        if not shards:
            return f"readable {index.name}"
        _check_names(folder, shards)
        if missing := [shard for shard in shards if not (folder / shard).is_file()]:
            return missing[0]
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return "tokenizer.json"
    return None


def _shards(index: Path) -> list[str] | None:
    """Return the names of the files in a shard index, or None if it is not a valid index."""
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        are_names = all(isinstance(name, str) and 0 < len(name.encode()) <= MAX_NAME_BYTES for name in names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return names if are_names else None


def _check_names(folder: Path, names: list[str]) -> None:
    """Check that a shard index names only files inside its folder. Only the names are checked, because in the
    Hub's cache every file is a link to a file outside the folder.

    Raises:
        UserError: a name leads outside.
    """
    for name in names:
        first, *more = re.split(r"[/\\]", name)
        if not first or ":" in first or ".." in (first, *more):
            raise UserError(
                "The shard index in {} names {!r}, which is outside that folder; choose another model.",
                folder,
                name,
            )
