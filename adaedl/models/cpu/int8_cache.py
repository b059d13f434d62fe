"""A model's int8 weights on disk, so that only the first start quantises them.

`int8/<key>/` in the cache folder has a safetensors file for each decoder layer and one for the head. Each
file is written under a temporary name, then renamed, and contains a checksum. So two processes may write at
the same time, a killed process leaves only complete files for the next, and a damaged file can be rebuilt
without the others. Embeddings, norms and biases are not cached: every start reads them from the model's own
files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
import zlib
from pathlib import Path

import torch
from torch import Tensor

from adaedl.system.cache_folder import cache_dir

log = logging.getLogger(__name__)

FORMAT = 1  # part of the key; to be increased when the file format or the quantisation changes
SOURCE = "source.json"
ABANDONED_S = 3600.0  # the age at which a file that was never renamed is removed
SAMPLE = 4096  # bytes
SAMPLES = 512  # per file, evenly spaced


class Int8Cache:
    """The cached files of one model. If `folder` is None, nothing is read or written."""

    def __init__(self, folder: Path | None, source: Path | None = None, name: str = ""):
        self.folder, self.source, self.name = folder, source, name
        self.created = False

    def read(self, part: str, shapes: dict[str, tuple[int, int]]) -> dict[str, tuple[Tensor, Tensor]] | None:
        """Return int8 weights and scales by the names in `shapes`, or None if they are missing or damaged."""
        file = self.folder and self.folder / f"{part}.safetensors"
        if not file or not file.exists():
            return None
        try:
            return _read(file, shapes)
        except Exception as error:  # whatever is wrong, the weights can be made from the model's own files
            log.warning("The int8 weights in %s are made again (%s).", file, error)
            return None

    def write(self, part: str, weights: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Save weights and scales. If that fails, remove all of this model's cached files."""
        if not self.folder:
            return
        try:
            if not self.created:
                self._create(self.folder)
            _write(self.folder / f"{part}.safetensors", weights)
        except Exception as error:
            log.warning("The int8 weights of %s are not kept in %s (%s).", self.name, self.folder, error)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    def _create(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        source = {"source": str(self.source), "name": self.name}
        _write_and_rename(folder / SOURCE, lambda file: file.write_text(json.dumps(source), "utf-8"))
        _remove_outdated(folder, str(self.source))
        self.created = True


def open_cache(files: list[Path], source: Path, name: str) -> Int8Cache:
    """Return the cache of the model whose safetensors files are `files` in the folder `source`. `name` is the
    model's name in messages."""
    try:
        return Int8Cache(int8_folder() / _key(files), source, name)
    except (OSError, ValueError) as error:
        log.warning("The int8 weights of %s are not kept (%s).", name, error)
        return Int8Cache(None)


def int8_folder() -> Path:
    """Return the folder with the int8 weights of all models. It may be deleted at any time."""
    return cache_dir() / "int8"


def kept_bytes() -> int:
    """Return the size on disk of the int8 weights of all models, in bytes."""
    return sum(file.stat().st_size for file in int8_folder().glob("*/*.safetensors"))


def _key(files: list[Path]) -> str:
    """Return a name that changes with the model's files. File names, sizes and modification times reveal an
    edit. Headers and samples of the content reveal a different model of the same shape with the same
    modification times, which archives and container images can produce."""
    digest = hashlib.sha256(f"format {FORMAT}".encode())
    for file in files:
        stat = file.stat()
        digest.update(json.dumps([file.name, stat.st_size, stat.st_mtime_ns]).encode())
        with file.open("rb") as content:
            header = int.from_bytes(content.read(8), "little")
            digest.update(content.read(header))
            for sample in range(SAMPLES):
                content.seek(8 + header + (stat.st_size - 8 - header) * sample // SAMPLES)
                digest.update(content.read(SAMPLE))
    return digest.hexdigest()[:24]


def _read(file: Path, shapes: dict[str, tuple[int, int]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the weights and scales in a file, or raise an error that says what is wrong with it."""
    from safetensors import safe_open

    weights = {}
    with safe_open(file, "pt") as content:
        for name, shape in shapes.items():
            numbers, scales = (content.get_tensor(f"{name}.{kind}") for kind in ("weight", "scale"))
            if (numbers.shape, numbers.dtype) != (shape, torch.int8):
                raise ValueError(f"{name} is {numbers.dtype} {list(numbers.shape)}")
            if (scales.shape, scales.dtype) != (shape[:1], torch.float32):
                raise ValueError(f"the scales of {name} are {scales.dtype} {list(scales.shape)}")
            weights[name] = numbers, scales
        if (content.metadata() or {}).get("crc32") != _checksum(weights):
            raise ValueError("its checksum is wrong")
    return weights


def _write(file: Path, weights: dict[str, tuple[Tensor, Tensor]]) -> None:
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for name, (numbers, scales) in weights.items():
        tensors |= {f"{name}.weight": numbers, f"{name}.scale": scales}
    _write_and_rename(file, lambda part: save_file(tensors, part, {"crc32": _checksum(weights)}))


def _checksum(weights: dict[str, tuple[Tensor, Tensor]]) -> str:
    total = 0
    for name in sorted(weights):
        for tensor in weights[name]:
            total = zlib.crc32(tensor.contiguous().numpy(), total)
    return f"{total:08x}"


def _write_and_rename(file: Path, write) -> None:
    """Write a file under a temporary name and rename it, so that no reader ever sees an incomplete file."""
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        write(part)
        os.chmod(part, 0o644)  # safetensors writes 0600; an image built by root is run by someone else
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _remove_outdated(folder: Path, source: str) -> None:
    """Remove the int8 weights of models that have been replaced or deleted, and incomplete files that no
    process is still writing."""
    for source_file in folder.parent.glob(f"*/{SOURCE}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            other = json.loads(source_file.read_text("utf-8"))["source"]
            if source_file.parent != folder and (other == source or not Path(other).exists()):
                log.info("The int8 weights in %s are removed: their model has changed.", source_file.parent)
                shutil.rmtree(source_file.parent, ignore_errors=True)
    for part in folder.parent.glob("*/*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED_S:
                part.unlink()
