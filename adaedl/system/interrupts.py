"""Ctrl-C and the other signals that ask a process to end, as one exception with the exit status."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; `status` is the exit status to end with."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(number)
        self.status = 128 + number


class _State:
    held = False
    pending: int | None = None


@contextmanager
def raised() -> Iterator[None]:
    """Make SIGINT, SIGTERM and SIGHUP raise `Interrupted` within this context, except signals that the
    process was started to ignore, for example by nohup."""
    before = {}
    _State.held, _State.pending = False, None
    try:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _receive)
    except ValueError:
        pass  # not the main thread: handlers stay unchanged
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def restore_handlers() -> None:
    """Reinstall Python's signal handlers after a native library has replaced them."""
    with suppress(ValueError):  # not the main thread
        for number in SIGNALS:
            if (handler := signal.getsignal(number)) is not None:
                signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Make the first signal within this context wait for `check` or for the end of the context, so that
    nothing is left half done; a second signal does not wait."""
    outermost = not _State.held
    if outermost:
        _State.held, _State.pending = True, None
    try:
        yield
    finally:
        if outermost:
            _State.held = False
    if outermost:
        check()


def pending() -> bool:
    """Return whether a signal is waiting."""
    return _State.pending is not None


def take() -> Interrupted | None:
    """Return and clear the pending signal, as an exception."""
    number, _State.pending = _State.pending, None
    return None if number is None else Interrupted(number)


def check() -> None:
    """Raise `Interrupted` if a signal is waiting, or if Python discarded its exception, which happens when a
    signal arrives while an object is being deleted."""
    if interrupted := take():
        raise interrupted


def _receive(number: int, _) -> None:
    first = _State.pending is None
    _State.pending = number
    if not (_State.held and first):
        raise Interrupted(number)
