"""What the package `spaces` does on ZeroGPU, without a GPU: a decorated generator runs in a fork, arguments
and results are pickled, errors come out as gradio's alone, and a task that outlives its duration is killed.
`asked` holds the duration of every call; `left` the seconds of the visitor's quota, where there is one."""

import multiprocessing
import os
import threading
from functools import wraps

import gradio as gr

asked: list[int] = []
left: int | None = None
_context = multiprocessing.get_context("fork")


def GPU(duration):
    def decorate(task):
        @wraps(task)
        def handler(*arguments):
            asked.append(duration(*arguments))
            if left is not None and asked[-1] > left:
                message = (
                    f"You have exceeded your free ZeroGPU quota ({asked[-1]}s requested vs. {left}s left). "
                    "Try again in 0:30:00. "
                )
                raise gr.Error(message, title="ZeroGPU quota exceeded", print_exception=False)
            ours, theirs = _context.Pipe()
            stop = _context.Event()
            worker = _context.Process(target=_work, args=(task, theirs, stop), daemon=True)
            worker.start()
            theirs.close()
            end = threading.Timer(asked[-1], worker.kill)
            end.start()
            if not asked[-1]:
                end.join()
            try:
                ours.send(arguments)
                while True:
                    kind, value = ours.recv()
                    if kind == "error":
                        raise gr.Error(value, print_exception=False)
                    if kind == "end":
                        return
                    try:
                        yield value
                    except GeneratorExit:
                        stop.set()
                        raise
            except (EOFError, OSError):
                raise gr.Error("GPU task aborted", print_exception=False) from None
            finally:
                end.cancel()
                ours.close()
                worker.join(10)

        return handler

    return decorate


def _work(task, connection, stop) -> None:
    os.environ["IN_FORK"] = "1"
    try:
        for value in task(*connection.recv()):
            if stop.is_set():
                return
            connection.send(("value", value))
        connection.send(("end", None))
    except BrokenPipeError:
        return  # nobody listens any more
    except Exception as error:
        connection.send(("error", type(error).__name__))
