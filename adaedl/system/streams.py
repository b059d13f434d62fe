"""Standard output and standard error streams to which printing cannot fail. When a command prints, its work
is done, and must not be lost because a terminal lacks a character or the reader of a pipe is gone."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


class LenientStream:
    r"""A text stream that writes characters missing from its encoding as \uXXXX, and drops everything after
    its first `error`. `stream` is None for a standard stream that was closed at the start."""

    def __init__(self, stream: TextIO | None):
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        if self.stream is not None and self.error is None:
            stream = self.stream
            self._attempt(lambda: _write_escaped(stream, text))
        return len(text)

    def flush(self) -> None:
        if self.stream is not None and self.error is None:
            self._attempt(self.stream.flush)

    def isatty(self) -> bool:
        return self.stream is not None and self.stream.isatty()

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self.error = error
            # Writing the rest of its buffer would fail again when Python exits.
            with suppress(OSError, ValueError, AttributeError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)
        except ValueError:  # closed
            self.error = io.UnsupportedOperation()


def _write_escaped(stream: TextIO, text: str) -> None:
    """Write a text; characters that the stream's encoding lacks are written as \\uXXXX."""
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


@contextmanager
def lenient_streams() -> Iterator[LenientStream]:
    """Replace standard output and standard error by lenient streams, and yield standard output's."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err = LenientStream(before[0]), LenientStream(before[1])
    try:
        yield out
    finally:
        for stream in (out, err):
            stream.flush()
        sys.stdout, sys.stderr = before
