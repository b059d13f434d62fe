"""Downloads on disk: disk errors as sentences, and hashes."""

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from adaedl.errors import UserError

DISK_ERRORS = {
    os.strerror(getattr(errno, name)): getattr(errno, name)
    for name in ["ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENOTDIR", "EEXIST", "EIO"]
    if hasattr(errno, name)
}


def sha256_of(file: Path) -> str:
    """Return the SHA-256 hash of a file's content in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextlib.contextmanager
def naming_cache_folder(folder: Path, variable: str, verb: str) -> Iterator[None]:
    """Turn a disk error into a sentence that names the cache folder and the environment variable for choosing
    another folder.

    Raises:
        UserError: the disk is full, is not writable, or fails.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else _rust_errno(error)
        if code is None or code not in DISK_ERRORS.values():
            raise
        raise UserError(
            "Cannot {} the cache folder {} ({}); free some space or set {} to another folder.",
            verb,
            folder,
            os.strerror(code),
            variable,
        ) from error


def _rust_errno(error: Exception) -> int | None:
    """Return the errno of a system error that safetensors reports only as text."""
    match = re.search(r"\(os error (\d+)\)", str(error))
    return int(match.group(1)) if match else None
