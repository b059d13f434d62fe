"""Weights from the Hugging Face Hub, or from the mirror in HF_ENDPOINT."""

import contextlib
import hashlib
import io
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from adaedl.errors import Sentence, UserError, first_line
from adaedl.pairs.presets import short_name
from adaedl.pairs.progress import Progress
from adaedl.pairs.sources import network
from adaedl.pairs.sources.disk import naming_cache_folder, sha256_of
from adaedl.pairs.sources.folder import Weights, lacking_file

HUB_TIMEOUT_S = 20.0  # for one answer of the Hub
# The files to download. A repository also contains the same weights in other formats, images and code.
FILES = [
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


def check_name(model_id: str) -> None:
    """Check that a name can be the name of a model on the Hub.

    Raises:
        UserError: it cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model_id)
        valid = "/" in model_id
    except HFValidationError:
        valid = False
    if not valid:
        raise UserError("{!r} is not a model's name on the Hugging Face Hub; write it as org/name.", model_id)


def _origin(model_id: str, folder: Path) -> str:
    return f"{model_id} from the Hugging Face Hub (commit {folder.name[:7]})"


def _is_offline() -> bool:
    return any(
        os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def why_no_answer() -> Sentence:
    """Return why the Hub did not answer, as part of a sentence."""
    if _is_offline():
        return Sentence("HF_HUB_OFFLINE forbids access to the Hugging Face Hub")
    return Sentence(
        "the Hugging Face Hub ({}) did not answer within {:g} s", _endpoint(), network.NETWORK_TIMEOUT
    )


def answers() -> bool:
    """Return whether the Hub answers. Any network error is raised."""
    if _is_offline():
        return False
    from huggingface_hub import get_session

    # The Hub client's own session: the same proxies and certificates as the downloads.
    return get_session().head(_endpoint(), timeout=network.NETWORK_TIMEOUT).status_code < 500


def cached(model_id: str) -> Weights | None:
    """Return the complete copy in the Hugging Face cache, or None if there is none.

    Raises:
        UserError: the cache cannot be read.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with naming_cache_folder(Path(constants.HF_HUB_CACHE), "HF_HOME", "read"):
        try:
            folder = Path(snapshot_download(model_id, allow_patterns=FILES, local_files_only=True))
        except LocalEntryNotFoundError:  # no copy, or one that the Hub's client knows to be incomplete
            return None
        return None if lacking_file(folder) else Weights(folder, _origin(model_id, folder))


def download(
    model_id: str, progress: Progress, use_token: bool, check_size: Callable[[int], None] | None
) -> Weights:
    """Download a model into the Hugging Face cache and return it. Arguments are as in `fetch_weights`.

    Raises:
        UserError: the Hub or the disk refuses it, or it has no safetensors.
    """
    from huggingface_hub import constants

    store = Path(constants.HF_HUB_CACHE)
    if store.parts[:1] == ("~",):  # there is no home folder, so the Hub's client could not expand it
        raise UserError(
            "There is no home folder to store models in; set ADAEDL_CACHE and HF_HOME to folders."
        )
    try:
        with _no_bars(), naming_cache_folder(store, "HF_HOME", "write to"):
            folder = _download(model_id, store, progress, None if use_token else False, check_size)
    except UserError:
        raise
    except Exception as error:  # the Hub client's errors come from three libraries
        raise _refusal(model_id, error, use_token) from error
    if lacking := lacking_file(folder):
        raise UserError("{} has no {} on the Hub; choose another model.", model_id, lacking)
    return Weights(folder, _origin(model_id, folder))


def _download(
    model_id: str,
    store: Path,
    progress: Progress,
    token: bool | None,
    check_size: Callable[[int], None] | None,
) -> Path:
    from huggingface_hub import HfApi, get_session, snapshot_download

    get_session().timeout = HUB_TIMEOUT_S  # without it, the Hub's client waits indefinitely
    info = HfApi(endpoint=_endpoint(), token=token).model_info(model_id, files_metadata=True)
    files = info.siblings or []
    if not any(re.fullmatch(r"model(-.*)?\.safetensors", file.rfilename) for file in files):
        raise UserError("{} has no safetensors weights on the Hub; choose a model that has them.", model_id)
    sizes = {file.rfilename: file.size or 0 for file in files if _is_wanted(file.rfilename)}
    total = sum(sizes.values())
    if check_size:  # if the Hub does not count the weights, assume four bytes per weight
        check_size(info.safetensors.total if info.safetensors else total // 4)
    _check_disk(model_id, total, store)
    sentence = Sentence("downloading {}, {:,.0f} MB", short_name(model_id), total / 1e6)
    missing = sum(size for name, size in sizes.items() if not _is_cached(model_id, name, info.sha))
    progress(sentence, 0.0)
    folder = snapshot_download(
        model_id,
        endpoint=_endpoint(),
        allow_patterns=FILES,
        token=token,
        tqdm_class=_reporting_bar(progress, sentence, missing),
    )
    progress(sentence, 1.0)
    return Path(folder)


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Keep the Hub's client from drawing its own progress bars."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_enabled = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if were_enabled:
            enable_progress_bars()


def _reporting_bar(progress: Progress, sentence: Sentence, total: int) -> type:
    """Return a tqdm class whose bars draw nothing and report the share of `total` bytes that has arrived. The
    Hub's client makes one bar for received bytes, one for written bytes, and one for files."""
    from tqdm.std import tqdm

    lock, largest = threading.Lock(), 0

    class Bar(tqdm):
        monitor_interval = 0  # start no thread for redrawing

        def __init__(self, *args, name: str = "", disable: bool | None = None, **options):
            # `name` and `disable` are for the Hub client's own bars.
            super().__init__(*args, **{**options, "file": io.StringIO(), "mininterval": 0, "miniters": 1})

        def display(self, *_, **__) -> None:
            nonlocal largest
            with lock:  # several threads download files, and the reported share must not decrease
                if self.unit == "B" and self.n > largest:
                    largest = self.n
                    progress(sentence, min(largest / max(total, 1), 1.0))

    return Bar


def _is_cached(model_id: str, name: str, commit: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(model_id, name, revision=commit), str)


def discard_damaged(folder: Path) -> bool:
    """Remove the files of a snapshot that have changed since the download; return whether there were any."""
    damaged = [file for file in folder.rglob("*") if _is_damaged(file)]
    for file in damaged:
        for path in (file.resolve(), _first_target(file), file):
            path.unlink(missing_ok=True)
    if damaged:  # without this file the copy counts as incomplete
        (folder / "config.json").unlink(missing_ok=True)
    return bool(damaged)


def _check_disk(model_id: str, size: int, folder: Path) -> None:
    """Check that a download of `size` bytes fits on the disk of a folder.

    Raises:
        UserError: it does not.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise UserError(
            "{} takes {:,.0f} MB, but the disk of {} has only {:,.0f} MB free; free some space or set "
            "HF_HOME to another folder.",
            model_id,
            size / 1e6,
            folder,
            free / 1e6,
        )


def _is_damaged(file: Path) -> bool:
    """Return whether a file in the Hub's cache has changed since the download. Such a file is a link to a
    file named by the SHA-256 of its content or, if it is small, by its git hash."""
    if not file.is_symlink() or not file.is_file():
        return False
    name = _first_target(file).name
    if len(name) == 64:
        return sha256_of(file) != name
    if len(name) == 40:
        digest = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
        digest.update(file.read_bytes())
        return digest.hexdigest() != name
    return False


def _first_target(link: Path) -> Path:
    """Return the target of a link without following further links. The target may itself be a link to a file
    that several models share."""
    return link.parent / link.readlink()


def _is_wanted(filename: str) -> bool:
    from huggingface_hub.utils import filter_repo_objects

    return bool(list(filter_repo_objects([filename], allow_patterns=FILES)))


def _refusal(model_id: str, error: Exception, use_token: bool) -> UserError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError) and not use_token:  # includes gated models
        return UserError(
            "{} is not on the Hugging Face Hub or not public; choose a public model, because the host's "
            "own access is not used for pairs that visitors type in.",
            model_id,
        )
    if isinstance(error, GatedRepoError):
        return UserError(
            "{} is gated: accept its licence at https://huggingface.co/{}, then set HF_TOKEN to an access "
            "token of your account.",
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
        "The download of {} from the Hugging Face Hub failed ({}); try again: completed files are kept.",
        model_id,
        reason,
    )
