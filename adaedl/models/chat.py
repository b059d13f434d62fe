"""A chat template is a program that comes with a model. That of a model that somebody else named runs apart:
`python -m adaedl.models.chat FOLDER` prints what it puts before and after a prompt, as JSON.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from adaedl.errors import UserError

PROMPT = "a prompt in the place of any other"
SECONDS = 5  # of processor time for the template alone
PATIENCE_S = 120  # for all of it, on a busy machine
MEMORY = 2**30  # bytes more than the libraries take
MOST_CHARACTERS = 20_000


def render_apart(folder: Path, name: str) -> tuple[str, str]:
    """What the chat template in a folder puts before and after a prompt.

    Raises:
        UserError: it does not end, wants too much memory, or fails; `name` is the model's.
    """
    command = [sys.executable, "-m", "adaedl.models.chat", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # of any length
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        before, after = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        raise UserError(
            "The chat template of {} cannot be used here: it fails, or takes too long or too much memory.",
            name,
        ) from None
    return before, after


def render(folder: str) -> list[str]:
    """The same, here and without any limits."""
    from adaedl.models.loading import load_tokenizer

    tokenizer = load_tokenizer(Path(folder))
    limit()
    turns = [{"role": "user", "content": PROMPT}]
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    parts = text.split(PROMPT)
    if len(parts) != 2 or len(text) > MOST_CHARACTERS:
        sys.exit("error: no text around a prompt")
    return parts


def limit() -> None:
    """Little time and memory from here on, where the system can see to that."""
    try:
        import resource
    except ImportError:  # Windows, where PATIENCE_S alone holds
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    pages = (
        int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    )
    if pages:
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    print(json.dumps(render(sys.argv[1])))
