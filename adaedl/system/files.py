"""Files that a command writes. Before the work starts, the command checks that they can be written; after it,
each file is replaced atomically, so that no failure loses a result or the previous file.

A path may also be a stream: a pipe, a device, a terminal, or `-` for standard output. Streams are opened
before the work, so that a reader waiting at a pipe stays, and are written to directly.
"""

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adaedl.errors import UserError
from adaedl.system import interrupts

STANDARD_OUTPUT = 1
_DESCRIPTORS = {"-": STANDARD_OUTPUT, "/dev/stdout": STANDARD_OUTPUT, "/dev/stderr": 2}
_NO_NEW_FILES = (errno.EACCES, errno.EPERM, errno.EROFS)  # from a folder that accepts no new files
_NOT_REPLACEABLE = (errno.EBUSY, errno.EXDEV)  # such as a file that is mounted into a container


class Output:
    """A file or stream for a result. The constructor checks that it can be written, without leaving a file.

    Raises:
        UserError: it cannot be written, with the reason.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.written = False
        self._descriptor = _descriptor_of(self.path)
        self._stream = _open_stream(self.path, self._descriptor)
        if self._stream is None:
            check_writable(self.path)

    @property
    def is_standard_output(self) -> bool:
        return self._descriptor == STANDARD_OUTPUT

    def write(self, content: str | bytes) -> None:
        """Write the complete result.

        Raises:
            UserError: it cannot be written, with the reason. An existing file is then unchanged.
        """
        content = content.encode(errors="surrogatepass") if isinstance(content, str) else content
        if self._stream is None:
            write_file(self.path, content)
        else:
            self._write_stream(self._stream, content)
        self.written = True

    def _write_stream(self, stream: int, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(stream, rest) :]
        except BrokenPipeError as error:
            if not self.is_standard_output:  # its reader may end early, like `head`
                raise _refusal(self.path, error) from None
        except OSError as error:
            raise _refusal(self.path, error) from None
        finally:
            os.close(stream)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lock a file against other processes that lock it in the same way. An empty lock file remains beside it.

    Raises:
        UserError: another process holds the lock, or the folder accepts no new files.
    """
    from filelock import FileLock, Timeout

    target = Path(os.path.realpath(path))
    lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            "Another process is writing {}; wait until it has finished or choose another file.", path
        ) from None
    except NotImplementedError:
        raise UserError(
            "The folder of {} is on a file system that does not support locks; choose another folder.", path
        ) from None
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        yield
    finally:
        lock.release()


def check_writable(path: Path) -> None:
    """Check that a file can be written, without changing it. Streams are rejected, because they cannot be
    read back.

    Raises:
        UserError: it cannot be written, with the reason.
    """
    try:
        mode = _mode_of(path)
        is_other = mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
        if is_other or _descriptor_of(path) is not None:
            raise UserError("Cannot write {}: it is not a file; name a file.", path)
        if mode is not None:
            os.close(os.open(path, os.O_WRONLY))
        with _unfinished(Path(os.path.realpath(path))):
            pass
    except OSError as error:
        raise _refusal(path, error) from None


def make_folder(path: Path) -> None:
    """Create a folder and its parents.

    Raises:
        UserError: it cannot be created, with the reason.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("Cannot create the folder {}: {}.", path, error.strerror) from None


def write_file(path: Path, content: bytes) -> None:
    """Replace a file's content atomically.

    Raises:
        UserError: it cannot be written, with the reason. The file is then unchanged.
    """
    with interrupts.held(), replacing(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a new file, which replaces `path` at the end of the block, once it is on disk. If the
    block fails, `path` is unchanged. If `path` is a symbolic link, the file that it points to is replaced.
    Permissions and owner of an existing file are kept.

    Raises:
        UserError: the file cannot be written, with the reason; also for an OSError in the block.
    """
    target = Path(os.path.realpath(path))
    try:
        with _unfinished(target) as unfinished:
            yield unfinished
            if unfinished != target:
                _keep_owner_and_mode(target, unfinished)
                _flush_to_disk(unfinished)
                try:
                    os.replace(unfinished, target)
                except OSError as error:
                    if error.errno not in _NOT_REPLACEABLE:
                        raise
                    shutil.copyfile(unfinished, target)
            with suppress(OSError):  # some file systems cannot flush folders
                _flush_to_disk(target.parent)
    except OSError as error:
        raise _refusal(path, error) from None


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Yield a new file beside the target, and delete it at the end. If the folder accepts no new files, yield
    the existing target, which is then written in place."""
    unfinished = target.with_name(f".adaedl-{secrets.token_hex(6)}.unfinished")
    try:
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        if error.errno not in _NO_NEW_FILES or not target.exists():
            raise
        yield target
        return
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def _keep_owner_and_mode(target: Path, unfinished: Path) -> None:
    with suppress(FileNotFoundError):
        before = target.stat()
        with suppress(PermissionError):
            os.chown(unfinished, before.st_uid, before.st_gid)
        unfinished.chmod(stat.S_IMODE(before.st_mode))


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _descriptor_of(path: Path) -> int | None:
    """Return the open file descriptor that a path names, such as the shell's /dev/stdout and /dev/fd/63."""
    text = str(path)
    numbered = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d{1,6})", text)
    return int(numbered[1]) if numbered else _DESCRIPTORS.get(text)


def _open_stream(path: Path, descriptor: int | None) -> int | None:
    """Open a stream for writing and return its descriptor; None for a file.

    Raises:
        UserError: it cannot be written, with the reason.
    """
    try:
        if descriptor is not None:
            stream = os.dup(descriptor)
            os.write(stream, b"")  # fails if it is open only for reading
            return stream
        mode = _mode_of(path)
        if mode is None or not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
            return None
        stream = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        os.set_blocking(stream, True)
        return stream
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise UserError(
                "Cannot write {}: nothing reads from this pipe; start its reader first.", path
            ) from None
        raise _refusal(path, error) from None


def _mode_of(path: Path) -> int | None:
    """Return the file type and permissions at a path; None if nothing exists there."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _refusal(path: Path, error: OSError) -> UserError:
    return UserError("Cannot write {}: {}.", path, error.strerror)
