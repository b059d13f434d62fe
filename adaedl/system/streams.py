"""Standard output and standard error that never fail. By the time a command prints, its work is done, and
neither an encoding that lacks a character nor a reader that has left may undo it."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


class LenientStream:
    """A text stream that writes what its encoding lacks as \\uXXXX, and drops everything after its first
    `error`. `stream` may be None: a standard stream that was closed before the start."""

    def __init__(self, stream: TextIO | None):
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        if self.stream is not None and self.error is None:
            self._attempt(lambda: self._write_lettered(text))
        return len(text)

    def flush(self) -> None:
        if self.stream is not None and self.error is None:
            self._attempt(self.stream.flush)

    def isatty(self) -> bool:
        return self.stream is not None and self.stream.isatty()

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def _write_lettered(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            encoding = self.stream.encoding
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _attempt(self, action) -> None:
        try:
            action()
        except OSError as error:
            self.error = error
            # What is left in its buffer would fail again when Python ends.
            with suppress(OSError, ValueError, AttributeError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)
        except ValueError:  # closed
            self.error = io.UnsupportedOperation()


@contextmanager
def lenient_streams() -> Iterator[LenientStream]:
    """Replace standard output, which is yielded, and standard error by lenient streams."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err = LenientStream(before[0]), LenientStream(before[1])
    try:
        yield out
    finally:
        for stream in (out, err):
            stream.flush()
        sys.stdout, sys.stderr = before
