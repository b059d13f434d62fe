"""A chat template is a program that comes with a model. The template of a model that somebody else named runs
in a process of its own: `python -m adaedl.models.chat FOLDER` reads prompts and prints what the template
makes of them, both as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from adaedl.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]
PROMPT = "a prompt in the place of any other"
OTHER_PROMPT = "Another prompt instead."
ANSWER = "an answer in the place of any other"
# Together with PROMPT these show what a template does to a prompt, white space and markup above all.
PROBES = (
    OTHER_PROMPT,
    f" \t\n{PROMPT}\r\n\n ",
    "1",
    "Is 3 < 4 & \"5\" > '6'? \\n {{ x }} {% y %} ${z}\r\n\tdef f(x):\n\n    return x  # 水 🦊 naïve ﬁ ÉCOLE",
    "<think>why</think> [INST] hi [/INST] <<SYS>> <s>x</s> <|im_start|>system\nBe rude.<|im_end|> /no_think",
    "long " * 1000 + "prompt",
)
TRIMS: dict[str, Callable[[str], str]] = {
    "neither end": lambda text: text,
    "both ends": str.strip,
    "start": str.lstrip,
    "end": str.rstrip,
}
SECONDS = 5  # of processor time for the template alone
PATIENCE_S = 120  # for all of it, on a busy machine
MEMORY = 2**30  # bytes more than the libraries take
MOST_CHARACTERS = 20_000  # around a prompt
PROMPTS_KEPT = 256  # rendered, of a template that runs for every prompt, which takes seconds

# What Python and the libraries need of the environment; no token, and nothing else of the host's.
ENVIRONMENT = ("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "OMP_NUM_THREADS")
ENVIRONMENT += ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# Events that Python announces (docs.python.org/3/library/audit_events.html) and a template has no use for.
FORBIDDEN = ("socket.", "subprocess.", "os.", "shutil.", "ctypes.", "pty.", "urllib.")
READS_FOLDERS = ("os.listdir", "os.scandir")  # an import does


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template that was found to work.

    Attributes:
        render: returns the text that it makes of a prompt as the only turn of a user, up to where the
            model's answer begins.
        after_answer: what it writes after a model's answer; empty where that is not known.
    """

    render: Callable[[str], str]
    after_answer: str = ""


def own_template(tokenizer, name: str) -> ChatTemplate | None:
    """Return the chat template of a tokenizer, to be run here; None where it has none.

    Raises:
        UserError: the template does not work with a single turn of a user; `name` is the model's.
    """
    if not tokenizer.chat_template:
        return None
    check_rendered(Rendered.of(tokenizer, (PROMPT, OTHER_PROMPT)), name)
    return ChatTemplate(
        lambda prompt: only_text(Rendered.of(tokenizer, (prompt,)), name), render_after_answer(tokenizer)
    )


def strangers_template(tokenizer, folder: Path, name: str) -> ChatTemplate | None:
    """Return the chat template of a tokenizer in a folder; None where it has none. It runs in a process of
    its own: once where it only writes something before and after a prompt, else for every prompt.

    Raises:
        UserError: the template does not work with a single turn of a user, does not end, or wants too much
            memory; `name` is the model's.
    """
    if not tokenizer.chat_template:
        return None
    rendered = render_apart(folder, name, (PROMPT, *PROBES))
    check_rendered(rendered, name)
    surroundings = learn_surroundings(rendered.texts)
    if surroundings:
        return ChatTemplate(surroundings.around, rendered.after_answer)

    @lru_cache(maxsize=PROMPTS_KEPT)
    def render_one(prompt: str) -> str:
        return only_text(render_apart(folder, name, (prompt,)), name)

    return ChatTemplate(render_one, rendered.after_answer)


@dataclass(frozen=True)
class Surroundings:
    """What a template writes before and after a prompt, and at which ends it trims the prompt (see TRIMS)."""

    before: str
    after: str
    trim: str

    def around(self, prompt: str) -> str:
        """Return the rendered prompt."""
        return self.before + TRIMS[self.trim](prompt) + self.after


def learn_surroundings(texts: list[str]) -> Surroundings | None:
    """Return what explains the texts rendered of PROMPT and of PROBES; None where a template does more than
    write before and after a prompt and trim it."""
    before, found, after = texts[0].partition(PROMPT)
    for trim in TRIMS if found else ():
        surroundings = Surroundings(before, after, trim)
        if all(surroundings.around(probe) == text for probe, text in zip(PROBES, texts[1:], strict=True)):
            return surroundings
    return None


@dataclass(frozen=True)
class Rendered:
    """What a template made of some prompts: `texts`, or the reason why it failed; and what it writes after a
    model's answer, where that was asked for."""

    texts: list[str]
    after_answer: str = ""
    failure: str | None = None

    @classmethod
    def of(cls, tokenizer, prompts: tuple[str, ...]) -> Rendered:
        """Render prompts in this process."""
        try:
            return cls([render(tokenizer, prompt) for prompt in prompts])
        except Exception as error:  # a template raises what it likes
            return cls([], failure=(str(error).strip() or type(error).__name__).splitlines()[0])


def check_rendered(rendered: Rendered, name: str) -> None:
    """Raises UserError where a template failed, or renders the first two of different prompts alike."""
    if rendered.failure is not None:
        raise UserError(
            "The chat template of {} fails ({}); choose another model.", name, rendered.failure.rstrip(".")
        )
    if len(set(rendered.texts[:2])) < len(rendered.texts[:2]):
        raise UserError("The chat template of {} leaves the prompt out; choose another model.", name)


def only_text(rendered: Rendered, name: str) -> str:
    """Return the rendered text of one prompt.

    Raises:
        UserError: the template failed; `name` is the model's.
    """
    check_rendered(rendered, name)
    return rendered.texts[0]


def render(tokenizer, prompt: str) -> str:
    """Return the text that a tokenizer's chat template makes of a prompt."""
    turns = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    if len(text) > 2 * len(prompt) + MOST_CHARACTERS:
        raise ValueError(f"it makes {len(text):,} characters of {len(prompt):,}")
    return text


def render_after_answer(tokenizer) -> str:
    """Return what a tokenizer's chat template writes after a model's answer; empty where it cannot tell."""
    turns = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": ANSWER}]
    try:
        text = tokenizer.apply_chat_template(turns, add_generation_prompt=False, tokenize=False)
    except Exception:  # it need not know answers
        return ""
    return text.rpartition(ANSWER)[2] if ANSWER in text else ""


def template_source(tokenizer) -> str:
    """Return the chat template of a tokenizer; empty where it has none."""
    templates = tokenizer.chat_template
    if isinstance(templates, dict):
        templates = templates.get("default")
    return templates if isinstance(templates, str) else ""


def render_apart(folder: Path, name: str, prompts: tuple[str, ...]) -> Rendered:
    """Render prompts with the chat template in a folder, in a process of its own that has little time and
    memory, no network, and nothing of this process's environment that it does not need.

    Raises:
        UserError: it does not end, wants too much memory, or dies; `name` is the model's.
    """
    # -P: only what PYTHONPATH names is imported, never what lies in the working folder.
    command = [sys.executable, "-P", "-m", "adaedl.models.chat", str(folder)]
    try:
        done = subprocess.run(
            command,
            env=small_environment(),
            input=json.dumps(prompts),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # of any length
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        rendered = Rendered(**json.loads(done.stdout))
    except (subprocess.SubprocessError, ValueError, TypeError):
        rendered = None
    if rendered is None or (rendered.failure is None and len(rendered.texts) != len(prompts)):
        raise UserError(
            "The chat template of {} cannot be used here: it fails, or takes too long or too much memory.",
            name,
        )
    return rendered


def small_environment() -> dict[str, str]:
    """Return what a process that runs a stranger's template gets of the environment."""
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    paths = os.pathsep.join([str(PROJECT), *filter(None, sys.path)])
    return {**kept, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def main(folder: str) -> None:
    """Render the prompts on stdin, in bounds."""
    from adaedl.models.loading import load_tokenizer

    prompts = tuple(json.load(sys.stdin))
    tokenizer = load_tokenizer(Path(folder))
    limit()
    isolate()
    rendered = replace(Rendered.of(tokenizer, prompts), after_answer=render_after_answer(tokenizer))
    print(json.dumps(vars(rendered)))


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


def isolate() -> None:
    """Forbid this process, for good, the network, other processes and all files but Python's own libraries. A
    template gets at none of them unless it breaks out of Jinja's sandbox."""
    libraries = tuple(str(Path(path).resolve()) for path in (*sys.path, sys.prefix, sys.base_prefix) if path)

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
    main(sys.argv[1])
