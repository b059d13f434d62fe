"""Downloads on the disk: what may be in their way, and whether they are what was downloaded."""

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
    """Return the hash of a file's content, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextlib.contextmanager
def naming_cache_folder(folder: Path, variable: str, verb: str) -> Iterator[None]:
    """Turn an error of the disk into a sentence that names the cache folder and the variable that chooses
    another.

    Raises:
        UserError: the disk is full, may not be written, or fails.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else _rust_errno(error)
        if code not in DISK_ERRORS.values():
            raise
        raise UserError(
            "Cannot {} the cache folder {} ({}); free some space or set {} to another folder.",
            verb,
            folder,
            os.strerror(code),
            variable,
        ) from error


def _rust_errno(error: Exception) -> int | None:
    """Return the number of a system's error that safetensors passes on, as text only."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found.group(1)) if found else None
