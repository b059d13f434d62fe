"""A chat template is a program that comes with a model. The template of a model that somebody else named runs
in a process of its own: `python -m adaedl.pairs.chat` reads a template and conversations and prints what the
one makes of the others, both as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from adaedl.errors import UserError, first_line
from adaedl.pairs.presets import PROJECT
from adaedl.system.threads import PREPARED

PROMPT = "a prompt in the place of any other"
OTHER_PROMPT = "Another prompt instead."
ANSWER = "an answer in the place of any other"
SECONDS = 5  # of processor time for the template alone
PATIENCE_S = 120  # for all of it, on a busy machine
MEMORY = 2**30  # bytes more than the libraries take
MOST_CHARACTERS = 20_000  # around a prompt
PROMPTS_KEPT = 256  # rendered, of a template that runs in a process of its own

# What Python and the libraries need of the environment: no token, and nothing else of the host's.
ENVIRONMENT = (
    *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "OMP_NUM_THREADS"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", PREPARED),
)
# Events that Python announces (docs.python.org/3/library/audit_events.html) and a template has no use for.
FORBIDDEN = ("socket.", "subprocess.", "os.", "shutil.", "ctypes.", "pty.", "urllib.")
READS_FOLDERS = ("os.listdir", "os.scandir")  # as an import does


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template that was found to work.

    Attributes:
        render: returns the text that it makes of a prompt as the only turn of a user, up to where the
            model's answer begins. Raises UserError where it fails at this one.
        after_answer: what it writes after a model's answer; empty where it cannot tell.
    """

    render: Callable[[str], str]
    after_answer: str = ""


class TemplateFailure(Exception):
    """A chat template failed; the message is the reason, in one line."""


def own_template(tokenizer, name: str) -> ChatTemplate | None:
    """Return the chat template of a tokenizer, which runs here; None where it has none.

    Raises:
        UserError: the template does not work with a single turn of a user; `name` is the model's.
    """
    if not tokenizer.chat_template:
        return None

    def write(turns: list[dict], answer: bool) -> str:
        try:
            return tokenizer.apply_chat_template(turns, add_generation_prompt=answer, tokenize=False)
        except Exception as error:  # a template raises what it likes
            raise TemplateFailure(first_line(error)) from error

    return _checked(lambda turns, answer: [write(each, answer) for each in turns], name)


def strangers_template(tokenizer, name: str) -> ChatTemplate | None:
    """Return the chat template of a tokenizer, which runs in a process of its own for every prompt; None
    where it has none.

    Raises:
        UserError: the template does not work with a single turn of a user, does not end, or wants too much
            memory; `name` is the model's.
    """
    if not tokenizer.chat_template:
        return None
    try:
        source = tokenizer.get_chat_template()
    except ValueError as error:  # several, none of which is for a plain conversation
        raise _failed(name, TemplateFailure(first_line(error))) from error
    variables = dict(tokenizer.special_tokens_map)
    return _checked(lambda turns, answer: render_apart(source, variables, turns, answer, name), name)


def _checked(write: Callable[[list[list[dict]], bool], list[str]], name: str) -> ChatTemplate:
    """Return a template that renders two prompts differently. `write` renders conversations, with the
    beginning of an answer where asked for, and raises TemplateFailure."""

    def render_all(prompts: tuple[str, ...]) -> list[str]:
        try:
            texts = write([[{"role": "user", "content": prompt}] for prompt in prompts], True)
            for prompt, text in zip(prompts, texts, strict=True):
                if len(text) > 2 * len(prompt) + MOST_CHARACTERS:
                    raise TemplateFailure(f"it makes {len(text):,} characters of {len(prompt):,}")
        except TemplateFailure as failure:
            raise _failed(name, failure) from failure
        return texts

    @lru_cache(maxsize=PROMPTS_KEPT)
    def render(prompt: str) -> str:
        return render_all((prompt,))[0]

    if len(set(render_all((PROMPT, OTHER_PROMPT)))) == 1:
        raise UserError("The chat template of {} ignores the prompt; choose another model.", name)
    turns = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": ANSWER}]
    try:
        answered = write([turns], False)[0]
    except TemplateFailure:  # it need not know answers
        answered = ""
    return ChatTemplate(render, answered.rpartition(ANSWER)[2] if ANSWER in answered else "")


def _failed(name: str, failure: TemplateFailure) -> UserError:
    reason = str(failure).rstrip(".")
    return UserError("The chat template of {} fails ({}); choose another model.", name, reason)


def template_source(tokenizer) -> str:
    """Return the chat template of a tokenizer; empty where it has none."""
    templates = tokenizer.chat_template
    if isinstance(templates, dict):
        templates = templates.get("default")
    return templates if isinstance(templates, str) else ""


def render_apart(
    source: str, variables: dict[str, str], conversations: list[list[dict]], answer: bool, name: str
) -> list[str]:
    """Render conversations with a chat template in a process of its own, which has little time and memory, no
    network, no files, and nothing of this process's environment that it does not need.

    Args:
        source, variables: the template, and the special tokens that it may name.
        answer: write the beginning of an answer.
        name: the model's, for errors.

    Raises:
        TemplateFailure: the template raised an error.
        UserError: it does not end, wants too much memory, or dies.
    """
    task = {"source": source, "variables": variables, "conversations": conversations, "answer": answer}
    try:
        done = subprocess.run(
            # -P: only what PYTHONPATH names is imported, never what lies in the working folder.
            [sys.executable, "-P", "-m", "adaedl.pairs.chat"],
            env=small_environment(),
            input=json.dumps(task),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # of any length
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        told = json.loads(done.stdout)
        texts, failure = told["texts"], told["failure"]
        if isinstance(failure, str):
            raise TemplateFailure(first_line(ValueError(failure)))
        if len(texts) == len(conversations) and all(isinstance(text, str) for text in texts):
            return texts
    except (subprocess.SubprocessError, ValueError, TypeError, KeyError):
        pass
    raise UserError(
        "The chat template of {} cannot be used here: it fails, or takes too long or too much memory.", name
    )


def small_environment() -> dict[str, str]:
    """Return what a process that runs a stranger's template gets of the environment."""
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    paths = os.pathsep.join([str(PROJECT), *filter(None, sys.path)])
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return {**kept, **offline, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}


def main() -> None:
    """Render the conversations on stdin, within bounds."""
    from transformers.utils.chat_template_utils import render_jinja_template

    task = json.load(sys.stdin)
    limit()
    isolate()
    texts, failure = [], None
    try:
        texts, _ = render_jinja_template(
            conversations=task["conversations"],
            chat_template=task["source"],
            add_generation_prompt=task["answer"],
            **task["variables"],
        )
    except MemoryError:
        sys.exit("error: too much memory")
    except Exception as error:  # a template raises what it likes
        failure = first_line(error)
    print(json.dumps({"texts": texts, "failure": failure}))


def limit() -> None:
    """Limit this process's time and memory from here on, where the system can do that."""
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


def isolate() -> None:
    """Forbid this process, for good, the network, other processes and all files but Python's own libraries. A
    template gets at none of them unless it breaks out of Jinja's sandbox."""
    libraries = tuple(os.path.realpath(path) for path in (*sys.path, sys.prefix, sys.base_prefix) if path)

    def refuse(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            reads = not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not (reads and isinstance(path, str) and os.path.realpath(path).startswith(libraries)):
                raise PermissionError(f"{path!r} is not for a template")
        elif event.startswith(FORBIDDEN) and event not in READS_FOLDERS:
            raise PermissionError(f"{event} is not for a template")

    sys.addaudithook(refuse)


if __name__ == "__main__":
    main()
