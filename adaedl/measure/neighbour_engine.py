"""A second engine for `adaedl.measure.neighbours`: a separate process that loads the same pair and runs the
same systems.

`python -m adaedl.measure.neighbour_engine` reads a JSON object from each line of standard input and answers
with a JSON object on standard output. It ends when its standard input ends, so it also ends when the parent
process dies.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from adaedl.errors import UserError
from adaedl.system.threads import prepare_threads

PROJECT = Path(__file__).resolve().parents[2]
STOP = {"do": "stop"}
# Ctrl-C reaches every process in the group of a terminal. The parent ends these processes itself.
OWN_GROUP: dict[str, Any]
if sys.platform == "win32":
    OWN_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
else:
    OWN_GROUP = {"start_new_session": True}
BUSY = """
import os, sys, threading
def end_with_stdin():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=end_with_stdin, daemon=True).start()
print(flush=True)
while True:
    pass
"""


@contextmanager
def busy_processes(count: int) -> Iterator[list[subprocess.Popen]]:
    """Run `count` busy single-threaded processes within the context."""
    processes = []
    try:
        for _ in range(count):
            processes.append(_start([sys.executable, "-c", BUSY]))
        for process in processes:
            _pipes(process)[1].readline()
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            _end(process)


class Engine:
    """The process of a second engine, loaded and warmed up.

    Attributes:
        threads: the number of threads it uses.
        tokens_per_s: its speed in the last `working` context; None if it wrote nothing.
    """

    def __init__(self, process: subprocess.Popen, options: dict):
        self._process = process
        self.tokens_per_s: float | None = None
        self.threads: int = self._ask(options)["threads"]

    def measure(self, system: int, least_s: float, most_s: float) -> float | None:
        """Return the tokens per second of system number `system`, measured by `neighbour_systems.measure`."""
        request = {"do": "measure", "system": system, "least_s": least_s, "most_s": most_s}
        return self._ask(request)["tokens_per_s"]

    @contextmanager
    def working(self, system: int, most_s: float) -> Iterator[None]:
        """Run system number `system` repeatedly within the context."""
        self._ask({"do": "work", "system": system, "most_s": most_s})
        yield
        self.tokens_per_s = self._ask(STOP)["tokens_per_s"]

    def _ask(self, request: dict) -> dict:
        try:
            requests, answers = _pipes(self._process)
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise UserError("The second engine ended early, with exit status {}.", self._process.wait())
        answer = json.loads(line)
        if "failed" in answer:
            raise UserError("The second engine cannot run: {}", answer["failed"])
        return answer


@contextmanager
def second_engine(
    *, pair: str, dtype: str | None, max_new_tokens: int, seed: int, group: Path | None = None
) -> Iterator[Engine]:
    """Start a second engine on the CPU, and stop it at the end of the context.

    Args:
        pair, dtype: as in `load_pair`.
        max_new_tokens, seed: the options of each text.
        group: the process file of a control group that the engine joins first.

    Raises:
        UserError: the engine cannot join the group, cannot load the pair, or ends early.
    """
    process = _start([sys.executable, "-m", "adaedl.measure.neighbour_engine"])
    options = {"pair": pair, "dtype": dtype, "max_new_tokens": max_new_tokens, "seed": seed}
    try:
        yield Engine(process, {**options, "group": group and str(group)})
    finally:
        _end(process)


def _start(command: list[str]) -> subprocess.Popen:
    paths = [str(PROJECT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **OWN_GROUP,
    )


def _pipes(process: subprocess.Popen) -> tuple[IO[str], IO[str]]:
    """Return the standard input and output of a process from `_start`."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    requests, answers = _pipes(process)
    answers.close()
    with suppress(BrokenPipeError):  # an unread request
        requests.close()


def main() -> None:
    """Load the pair of the first request, then answer the following requests."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # so that the output of a library is not read as an answer
    requests: SimpleQueue[dict] = SimpleQueue()
    Thread(target=_read_requests, args=[requests], daemon=True).start()

    def answer(**values) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        _serve(requests, answer)
    except UserError as error:
        answer(failed=str(error))


def _read_requests(requests: SimpleQueue[dict]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)  # the parent process has ended


def _serve(requests: SimpleQueue[dict], answer) -> None:
    options = requests.get()
    if options["group"]:
        try:
            Path(options["group"]).write_text("0")
        except OSError as error:
            raise UserError("it may not join a control group ({}).", error.strerror) from error
    prepare_threads()  # after joining the group, and before importing libraries that read the environment
    from adaedl.measure.neighbour_systems import make_systems, measure
    from adaedl.measure.work import DecodingWork
    from adaedl.pairs.loading import load_pair
    from adaedl.system.threads import threads_in_use

    pair = load_pair(options["pair"], device="cpu", dtype=options["dtype"])
    systems = make_systems(pair, options["max_new_tokens"], options["seed"])
    for system in systems:
        measure(system, 0)
    answer(threads=threads_in_use().count)
    while True:
        request = requests.get()
        system = systems[request["system"]]
        if request["do"] == "measure":
            work = measure(system, request["least_s"], request["most_s"])
        else:
            answer(working=True)
            texts = [system.run(request["most_s"])]
            while requests.empty():
                texts.append(system.run(request["most_s"]))
            requests.get()
            work = DecodingWork()
            for text in texts[:-1] or texts:  # the last text continued after the neighbour had stopped
                work.add(text)
        answer(tokens_per_s=work.tokens_per_s)


if __name__ == "__main__":
    main()
