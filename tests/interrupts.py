"""Start commands that a test interrupts."""

import re
import signal
import subprocess
import sys

from adaedl.system.shipped import PROJECT


def started_command(arguments: list[str]) -> subprocess.Popen:
    """Start `python -m adaedl`, which an interrupt reaches: a shell makes background processes and their
    children ignore the signal."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command = [sys.executable, "-m", "adaedl", *arguments]
        return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, handler)


def read_until(process: subprocess.Popen, pattern: bytes) -> bytes:
    """Return what a process writes to stderr until that matches a pattern."""
    err = b""
    while not re.search(pattern, err):
        chunk = process.stderr.read1()
        assert chunk, err.decode()
        err += chunk
    return err
