"""Ctrl-C and other signals that end a process, as one exception that says which signal it was."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; `status` is the matching exit status."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(number)
        self.status = 128 + number


class _State:
    held = False
    pending: int | None = None


@contextmanager
def raised() -> Iterator[None]:
    """Within this context SIGINT, SIGTERM and SIGHUP raise `Interrupted`, unless the parent process ignores
    them, as nohup does."""
    before = {}
    _State.held, _State.pending = False, None
    try:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _receive)
    except ValueError:
        pass  # not the main thread, whose handlers stay as they are
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Within this context the first signal is deferred to `check` or to the end, so that nothing is left half
    done. A second signal is not deferred."""
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
    """Return whether a signal is pending."""
    return _State.pending is not None


def take() -> Interrupted | None:
    """Return and clear the pending signal, as an exception."""
    number, _State.pending = _State.pending, None
    return None if number is None else Interrupted(number)


def check() -> None:
    """Raise `Interrupted` if a signal is pending, or if Python swallowed its exception, as it does when a
    signal arrives while an object is being deleted."""
    if interrupted := take():
        raise interrupted


def _receive(number: int, _) -> None:
    first = _State.pending is None
    _State.pending = number
    if not (_State.held and first):
        raise Interrupted(number)
