"""Render chat templates, which are programs that come with a model.

The template of an untrusted model, one that a visitor has named, runs in a separate process:
`python -m adaedl.pairs.chat` reads a template and conversations, and prints the rendered texts, all as JSON.
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
from adaedl.system.shipped import PROJECT
from adaedl.system.threads import PREPARED

PROMPT = "a prompt in the place of any other"
OTHER_PROMPT = "Another prompt instead."
ANSWER = "an answer in the place of any other"
CPU_SECONDS = 5  # for the template, without the start of the process
TIMEOUT_S = 120  # for the whole process, on a busy machine
MEMORY = 2**30  # bytes, in addition to the libraries' memory
MAX_ADDED_CHARACTERS = 20_000  # that a template may write around a prompt
CACHED_PROMPTS = 256  # rendered prompts kept per template

# The variables that Python and the libraries need: no token, and nothing else of the host's.
ENVIRONMENT = (
    *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "OMP_NUM_THREADS"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", PREPARED),
)
# Python's audit events (docs.python.org/3/library/audit_events.html) that no template needs.
FORBIDDEN = ("socket.", "subprocess.", "os.", "shutil.", "ctypes.", "pty.", "urllib.")
READS_FOLDERS = ("os.listdir", "os.scandir")  # needed by imports


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template that has been checked.

    Attributes:
        render: renders a prompt as the only user turn, after a system prompt if there is one, up to the start
            of the model's answer. Raises UserError if the template fails on this prompt or does not accept a
            system prompt.
        after_answer: the text that the template writes after an answer; empty if unknown.
    """

    render: Callable[..., str]  # (prompt, system="")
    after_answer: str = ""


class TemplateFailure(Exception):
    """A chat template failed; the message gives the reason in one line."""


def own_template(tokenizer, name: str) -> ChatTemplate | None:
    """Return the chat template of a trusted tokenizer, which runs in this process; None if there is none.
    `name` is the model's name.

    Raises:
        UserError: the template cannot render a single user turn.
    """
    if not tokenizer.chat_template:
        return None

    def write(turns: list[dict], answer: bool) -> str:
        try:
            return tokenizer.apply_chat_template(turns, add_generation_prompt=answer, tokenize=False)
        except Exception as error:  # a template can raise any exception
            raise TemplateFailure(first_line(error)) from error

    return _checked(lambda turns, answer: [write(each, answer) for each in turns], name)


def untrusted_template(tokenizer, name: str) -> ChatTemplate | None:
    """Return the chat template of an untrusted tokenizer, which runs in a separate process for every prompt;
    None if there is none. `name` is the model's name.

    Raises:
        UserError: the template cannot render a single user turn, does not end, or needs too much memory.
    """
    if not tokenizer.chat_template:
        return None
    try:
        source = tokenizer.get_chat_template()
    except ValueError as error:  # there are several templates, and none is the default
        raise _failed(name, TemplateFailure(first_line(error))) from error
    variables = dict(tokenizer.special_tokens_map)
    return _checked(lambda turns, answer: render_in_subprocess(source, variables, turns, answer, name), name)


def _checked(write: Callable[[list[list[dict]], bool], list[str]], name: str) -> ChatTemplate:
    """Return a checked template: it renders two different prompts differently. `write` renders conversations,
    with the start of an answer if its second argument is true, and raises TemplateFailure."""

    def write_all(conversations: list[list[dict]]) -> list[str]:
        texts = write(conversations, True)
        for turns, text in zip(conversations, texts, strict=True):
            content = sum(len(turn["content"]) for turn in turns)
            if len(text) > 2 * content + MAX_ADDED_CHARACTERS:
                raise TemplateFailure(f"it makes {len(text):,} characters of {content:,}")
        return texts

    def render_alone(*prompts: str) -> list[str]:
        try:
            return write_all([[_turn("user", prompt)] for prompt in prompts])
        except TemplateFailure as failure:
            raise _failed(name, failure) from failure

    def render_after_system(prompt: str, system: str) -> str:
        conversations = [
            [_turn("system", instruction), _turn("user", prompt)] for instruction in (system, f"Not {system}")
        ]
        refusal = "The chat template of {} takes no system prompt; leave the system prompt empty."
        try:
            rendered, with_other_system = write_all(conversations)
        except TemplateFailure as failure:
            render_alone(prompt)  # raises if the template fails without a system prompt, too
            raise UserError(refusal, name) from failure
        if rendered == with_other_system:
            raise UserError(refusal, name)
        return rendered

    @lru_cache(maxsize=CACHED_PROMPTS)
    def render(prompt: str, system: str = "") -> str:
        return render_after_system(prompt, system) if system else render_alone(prompt)[0]

    if len(set(render_alone(PROMPT, OTHER_PROMPT))) == 1:
        raise UserError("The chat template of {} ignores the prompt; choose another model.", name)
    turns = [_turn("user", PROMPT), _turn("assistant", ANSWER)]
    try:
        answered = write([turns], False)[0]
    except TemplateFailure:  # a template need not support answers
        answered = ""
    return ChatTemplate(render, answered.rpartition(ANSWER)[2] if ANSWER in answered else "")


def _turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def _failed(name: str, failure: TemplateFailure) -> UserError:
    reason = str(failure).rstrip(".")
    return UserError("The chat template of {} fails ({}); choose another model.", name, reason)


def template_source(tokenizer) -> str:
    """Return the source of a tokenizer's chat template; empty if there is none."""
    templates = tokenizer.chat_template
    if isinstance(templates, dict):
        templates = templates.get("default")
    return templates if isinstance(templates, str) else ""


def render_in_subprocess(
    source: str, variables: dict[str, str], conversations: list[list[dict]], answer: bool, name: str
) -> list[str]:
    """Render conversations with a chat template in a separate process. The process has limited time and
    memory, no network, no files, and only the environment variables that it needs.

    Args:
        source, variables: the template, and the special tokens that it may use.
        answer: write the start of an answer.
        name: the model's name, for errors.

    Raises:
        TemplateFailure: the template raised an error.
        UserError: the process does not end, needs too much memory, or crashes.
    """
    task = {"source": source, "variables": variables, "conversations": conversations, "answer": answer}
    try:
        done = subprocess.run(
            # -P: import only from PYTHONPATH, never from the working folder.
            [sys.executable, "-P", "-m", "adaedl.pairs.chat"],
            env=small_environment(),
            input=json.dumps(task),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # which could be of any length
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        result = json.loads(done.stdout)
        texts, failure = result["texts"], result["failure"]
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
    """Return the environment of a process that runs an untrusted template."""
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    paths = os.pathsep.join([str(PROJECT), *filter(None, sys.path)])
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return {**kept, **offline, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}


def main() -> None:
    """Render the conversations on stdin within limits, and print the result."""
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
    except Exception as error:  # a template can raise any exception
        failure = first_line(error)
    print(json.dumps({"texts": texts, "failure": failure}))


def limit() -> None:
    """Limit this process's further CPU time and memory, if the system supports it."""
    try:
        import resource
    except ImportError:  # Windows, where TIMEOUT_S is the only limit
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    pages = (
        int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    )
    if pages:
        max_bytes = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))


def isolate() -> None:
    """Forbid this process permanently to use the network, other processes, and files other than Python's own
    libraries. A template could reach them only by breaking out of Jinja's sandbox."""
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
