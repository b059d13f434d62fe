"""Find out within seconds whether a server answers."""

import contextlib
import threading
from collections.abc import Callable

NETWORK_TIMEOUT = 2.0  # seconds, to decide which sources are reachable


def ask(check: Callable[..., bool], *arguments) -> Callable[[float], bool]:
    """Start a network check in the background. The returned function takes a timeout in seconds and returns
    the answer; no answer in time means no. The check runs in a daemon thread, because a lookup that hangs in
    the system's resolver cannot be interrupted."""
    answers: list[bool] = []

    def run() -> None:
        with contextlib.suppress(Exception):  # any error means that the server did not answer
            answers.append(check(*arguments))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def answer(timeout: float) -> bool:
        thread.join(max(timeout, 0.0))
        return bool(answers) and answers[0]

    return answer
