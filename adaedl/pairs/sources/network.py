"""Find out within seconds whether a server answers."""

import contextlib
import threading
from collections.abc import Callable

NETWORK_TIMEOUT = 2.0  # seconds to decide where weights can come from


def ask(check: Callable[..., bool], *arguments) -> Callable[[float], bool]:
    """Run a network check in the background. The returned function takes the most seconds to wait for
    the answer; none in time means no. A lookup that hangs in the system's resolver cannot be interrupted,
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
