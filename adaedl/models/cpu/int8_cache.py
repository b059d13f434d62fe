"""A model's int8 weights on disk, so that only the first start quantises them.

`int8/<key>/` in the cache folder has a safetensors file for each decoder layer and one for the head. Each is
complete in itself: it is written under another name and then renamed, and holds a checksum. So two processes
may write at once, one that is killed leaves whole files for the next, and a damaged file is made again alone.
Embeddings, norms and biases are not here, they are read from the model's own files at every start.
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

FORMAT = 1  # part of the key; one more when what is written, or how weights are rounded, changes
SOURCE = "source.json"
ABANDONED_S = 3600.0  # after which a file that was never renamed is removed
SAMPLE = 4096  # bytes
SAMPLES = 512  # of a file, evenly spread


class Int8Cache:
    """The files of one model; with None for a folder, there is none and nothing is kept."""

    def __init__(self, folder: Path | None, source: Path | None = None, name: str = ""):
        self.folder, self.source, self.name = folder, source, name
        self.created = False

    def read(self, part: str, shapes: dict[str, tuple[int, int]]) -> dict[str, tuple[Tensor, Tensor]] | None:
        """Return int8 weights and scales by the names in `shapes`; None where they are not there, or
        damaged."""
        file = self.folder and self.folder / f"{part}.safetensors"
        if not file or not file.exists():
            return None
        try:
            return _read(file, shapes)
        except Exception as error:  # whatever it is, the model's own files are there
            log.warning("The int8 weights in %s are made again (%s).", file, error)
            return None

    def write(self, part: str, weights: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Keep weights and scales. Where the disk does not take them, nothing of this model is kept."""
        if not self.folder:
            return
        try:
            if not self.created:
                self._create()
            _write(self.folder / f"{part}.safetensors", weights)
        except Exception as error:
            log.warning("The int8 weights of %s are not kept in %s (%s).", self.name, self.folder, error)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {"source": str(self.source), "name": self.name}
        _rename_into(self.folder / SOURCE, lambda file: file.write_text(json.dumps(about), "utf-8"))
        _remove_outdated(self.folder, str(self.source))
        self.created = True


def open_cache(files: list[Path], source: Path, name: str) -> Int8Cache:
    """Return the cache of a model with those safetensors files in the folder `source`; `name` is for
    messages."""
    try:
        return Int8Cache(int8_folder() / _key(files), source, name)
    except (OSError, ValueError) as error:
        log.warning("The int8 weights of %s are not kept (%s).", name, error)
        return Int8Cache(None)


def int8_folder() -> Path:
    """Return the folder that holds the int8 weights of all models; it may be deleted at any time."""
    return cache_dir() / "int8"


def kept_bytes() -> int:
    """Return the bytes that the int8 weights of all models take on disk."""
    return sum(file.stat().st_size for file in int8_folder().glob("*/*.safetensors"))


def _key(files: list[Path]) -> str:
    """Return a name that changes with the model's files. Their names, sizes and times of change reveal an
    edit; their headers and samples of their content reveal another model of the same shape whose times were
    set alike, as archives and container images do."""
    digest = hashlib.sha256(f"format {FORMAT}".encode())
    for file in files:
        about = file.stat()
        digest.update(json.dumps([file.name, about.st_size, about.st_mtime_ns]).encode())
        with file.open("rb") as content:
            header = int.from_bytes(content.read(8), "little")
            digest.update(content.read(header))
            for place in range(SAMPLES):
                content.seek(8 + header + (about.st_size - 8 - header) * place // SAMPLES)
                digest.update(content.read(SAMPLE))
    return digest.hexdigest()[:24]


def _read(file: Path, shapes: dict[str, tuple[int, int]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Raises whatever is wrong with a file."""
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

    tensors = {}
    for name, (numbers, scales) in weights.items():
        tensors |= {f"{name}.weight": numbers, f"{name}.scale": scales}
    _rename_into(file, lambda part: save_file(tensors, part, {"crc32": _checksum(weights)}))


def _checksum(weights: dict[str, tuple[Tensor, Tensor]]) -> str:
    total = 0
    for name in sorted(weights):
        for tensor in weights[name]:
            total = zlib.crc32(tensor.contiguous().numpy(), total)
    return f"{total:08x}"


def _rename_into(file: Path, write) -> None:
    """Write a file under another name first, so that nobody ever sees a part of it."""
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        write(part)
        os.chmod(part, 0o644)  # safetensors writes 0600; an image built by root is run by someone else
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _remove_outdated(folder: Path, source: str) -> None:
    """Remove what was kept for files that were in the same folder before, or are gone, and parts of files
    that no process is writing any more."""
    for about in folder.parent.glob(f"*/{SOURCE}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            other = json.loads(about.read_text("utf-8"))["source"]
            if about.parent != folder and (other == source or not Path(other).exists()):
                log.info("The int8 weights in %s are removed: their model has changed.", about.parent)
                shutil.rmtree(about.parent, ignore_errors=True)
    for part in folder.parent.glob("*/*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED_S:
                part.unlink()
