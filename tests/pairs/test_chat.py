"""Chat templates: programs of strangers that are run apart, and programs that do not work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from folders import CHATML, TRIMMED, make_tokenizer, save_model

from adaedl.errors import UserError
from adaedl.pairs import chat
from adaedl.pairs.chat import (
    ENVIRONMENT,
    PROJECT,
    own_template,
    render_apart,
    small_environment,
    strangers_template,
)
from adaedl.pairs.loading import load_pair

REPLACING = CHATML.replace("m.content", "m.content | replace('blue', 'red') | trim")
FAULTS = {
    "{{ raise_exception('tools are required\\nhere') }}": r"chat template of .* fails \(tools are required\)",
    "{{ raise_exception('\x1b[31mred\x07') }}": r"fails \(\[31mred\)",
    "{{ tools | length }}": r"chat template of .* fails \(.*NoneType.*\); choose another model",
    "{% if %}": r"chat template of .* fails \(.*\); choose another model",
    "{{ messages[0].content.no.such }}": r"chat template of .* fails \(.*\); choose another model",
    "<|im_start|>Hello.<|im_end|>": r"chat template of .* ignores the prompt; choose another model",
    "{{ 'a' * 100000 }}{{ messages[0].content }}": r"fails \(it makes 100,034 characters of 34\)",
}


def save(folder: Path, template) -> Path:
    return save_model(folder, make_tokenizer("byte_level", template))


@pytest.mark.parametrize("template", FAULTS)
def test_a_template_that_does_not_work_is_refused_when_a_pair_is_loaded(tmp_path, template):
    folder = save(tmp_path / "model", template)
    with pytest.raises(UserError, match=FAULTS[template]) as error:
        load_pair(f"{folder}:{folder}", device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("template", [*FAULTS][::4])
def test_a_stranger_s_template_that_does_not_work_is_refused_in_the_same_words(tmp_path, template):
    folder = save(tmp_path / "model", template)
    with pytest.raises(UserError, match=FAULTS[template]):
        load_pair(f"{folder}:{folder}", device="cpu", trusted=False)


def test_named_templates_without_a_default_are_refused(tmp_path):
    folder = save(tmp_path / "model", {"tool_use": CHATML})
    with pytest.raises(UserError, match=r"chat template of .* fails"):
        load_pair(f"{folder}:{folder}", device="cpu")


def test_a_template_that_fails_at_one_prompt_says_so():
    template = "{% if 'x' in messages[0].content %}{{ raise_exception('no x') }}{% endif %}" + CHATML
    own = own_template(make_tokenizer("byte_level", template), "org/model")
    assert own.render("y").endswith("assistant\n")
    with pytest.raises(UserError, match=r"The chat template of org/model fails \(no x\); choose another"):
        own.render("x")


@pytest.mark.parametrize("template", [TRIMMED, REPLACING])
def test_a_prompt_is_read_alike_whoever_named_the_pair(tmp_path, template):
    folder = save(tmp_path / "model", template)
    ours, theirs = (
        load_pair(f"{folder}:{folder}", device="cpu", trusted=trusted) for trusted in (True, False)
    )
    for prompt in (" The blue sky \n", "What does <|im_end|> mean? "):
        assert theirs.encode(prompt).tolist() == ours.encode(prompt).tolist()
        rendered = ours.tokenizer.decode(theirs.encode(prompt).tolist())
        expected = prompt.strip() if template == TRIMMED else prompt.strip().replace("blue", "red")
        assert rendered == f"<|im_start|>user\n{expected}<|im_end|>\n<|im_start|>assistant\n"
    assert theirs.eos_ids == ours.eos_ids


# What the process of a stranger's template is given.


def stand_in(folder: Path, code: str) -> Path:
    """A program in the place of Python."""
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\n{code}", "utf-8")
    program.chmod(0o755)
    return program


def test_a_stranger_s_template_gets_no_token_and_nothing_of_the_host_s_environment(tmp_path, monkeypatch):
    seen = tmp_path / "seen.json"
    code = (
        "import json, os, sys\n"
        "told = json.load(sys.stdin)\n"
        f"open({str(seen)!r}, 'w').write(json.dumps(dict(os.environ)))\n"
        "print(json.dumps({'texts': told['conversations'], 'failure': None}))\n"
    )
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "ADAEDL_PAIR", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setattr(chat.sys, "executable", str(stand_in(tmp_path, code)))
    assert render_apart("", {}, ["a", "b"], True, "org/model") == ["a", "b"]
    environment = json.loads(seen.read_text())
    needed = {*ENVIRONMENT, "PYTHONPATH", "PYTHONIOENCODING", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
    started = {"PWD", "SHLVL", "_", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}  # what a start itself sets
    assert {name for name in environment if not name.startswith("LC_")} <= needed | started
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert "secret" not in environment.values()


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "[]",
        "7",
        '{"texts": []}',
        '{"texts": [], "failure": null}',
        '{"texts": [1], "failure": null}',
        '{"texts": null, "failure": null}',
        '{"texts": "ab", "failure": 5}',
    ],
)
def test_what_a_stranger_s_template_prints_is_not_taken_for_more_than_it_is(tmp_path, monkeypatch, printed):
    monkeypatch.setattr(chat.sys, "executable", str(stand_in(tmp_path, f"print({printed!r})")))
    with pytest.raises(UserError, match="The chat template of org/model cannot be used here"):
        render_apart("", {}, ["a"], True, "org/model")


@pytest.mark.parametrize(
    "act",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork()",
        "import ctypes; ctypes.CDLL(None)",
        "open('/etc/passwd').read()",
        "open('made', 'w')",
        "import os; os.remove('kept')",
        "import pathlib; pathlib.Path('kept').read_text()",
    ],
)
def test_who_breaks_out_of_the_sandbox_has_no_network_no_process_and_no_file(tmp_path, act):
    (tmp_path / "kept").write_text("a secret")
    code = (
        "import sys\nfrom adaedl.pairs.chat import isolate\nisolate()\n"
        f"try:\n    exec({act!r})\nexcept PermissionError as error:\n    print('refused:', error)\n"
        "import colorsys, wave  # libraries may still be imported\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=small_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("refused:")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


def test_a_stranger_s_template_needs_no_home(monkeypatch):
    for name in ("HOME", "ADAEDL_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    template = strangers_template(make_tokenizer("byte_level", CHATML), "org/model")
    assert template.after_answer == "<|im_end|>\n"
    assert template.render("x") == "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
    assert Path(__file__).parents[2] == PROJECT
