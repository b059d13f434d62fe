"""Chat templates: untrusted templates run in a separate process, and broken templates are refused."""

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
    render_in_subprocess,
    small_environment,
    untrusted_template,
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
def test_loading_a_pair_refuses_a_broken_template(tmp_path, template):
    folder = save(tmp_path / "model", template)
    with pytest.raises(UserError, match=FAULTS[template]) as error:
        load_pair(f"{folder}:{folder}", device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("template", [*FAULTS][::4])
def test_a_broken_untrusted_template_is_refused_in_the_same_words(tmp_path, template):
    folder = save(tmp_path / "model", template)
    with pytest.raises(UserError, match=FAULTS[template]):
        load_pair(f"{folder}:{folder}", device="cpu", trusted=False)


def test_named_templates_without_a_default_are_refused(tmp_path):
    folder = save(tmp_path / "model", {"tool_use": CHATML})
    with pytest.raises(UserError, match=r"chat template of .* fails"):
        load_pair(f"{folder}:{folder}", device="cpu")


def test_a_template_that_fails_on_one_prompt_is_reported():
    template = "{% if 'x' in messages[0].content %}{{ raise_exception('no x') }}{% endif %}" + CHATML
    own = own_template(make_tokenizer("byte_level", template), "org/model")
    assert own.render("y").endswith("assistant\n")
    with pytest.raises(UserError, match=r"The chat template of org/model fails \(no x\); choose another"):
        own.render("x")


SYSTEM_FIRST = "<|im_start|>system\nBe brief.<|im_end|>\n"
OF_USERS = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role == 'user' %}")
REFUSING = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + CHATML
)


@pytest.mark.parametrize("make", [own_template, untrusted_template])
def test_the_template_places_the_system_prompt(make):
    template = make(make_tokenizer("byte_level", CHATML), "org/model")
    assert template.render("Hi", "Be brief.") == SYSTEM_FIRST + template.render("Hi")


def test_a_system_prompt_replaces_the_template_s_default():
    default = (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}" + CHATML
    )
    template = own_template(make_tokenizer("byte_level", default), "org/model")
    assert template.render("Hi").startswith(SYSTEM_FIRST)
    assert template.render("Hi", "Be brief.") == template.render("Hi")  # the same as its default
    assert template.render("Hi", "Be rude.") == template.render("Hi").replace("Be brief.", "Be rude.")


@pytest.mark.parametrize("source", [OF_USERS, REFUSING], ids=["ignores it", "raises an error"])
def test_a_template_without_system_prompts_is_reported(source):
    template = own_template(make_tokenizer("byte_level", source), "org/model")
    assert template.render("Hi").endswith("assistant\n")
    with pytest.raises(UserError) as refusal:
        template.render("Hi", "Be brief.")
    sentence = "The chat template of org/model takes no system prompt; leave the system prompt empty."
    assert str(refusal.value) == sentence


def test_a_failing_prompt_is_not_blamed_on_the_system_prompt():
    template = "{% if 'x' in messages[-1].content %}{{ raise_exception('no x') }}{% endif %}" + CHATML
    with pytest.raises(UserError, match=r"fails \(no x\)"):
        own_template(make_tokenizer("byte_level", template), "org/model").render("x", "Be brief.")


@pytest.mark.parametrize("template", [TRIMMED, REPLACING])
def test_trusted_and_untrusted_templates_read_a_prompt_the_same(tmp_path, template):
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


def stand_in(folder: Path, code: str) -> Path:
    """Return a program that replaces Python and runs `code`."""
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\n{code}", "utf-8")
    program.chmod(0o755)
    return program


def test_an_untrusted_template_gets_no_token_and_no_host_environment(tmp_path, monkeypatch):
    seen = tmp_path / "seen.json"
    code = (
        "import json, os, sys\n"
        "task = json.load(sys.stdin)\n"
        f"open({str(seen)!r}, 'w').write(json.dumps(dict(os.environ)))\n"
        "print(json.dumps({'texts': task['conversations'], 'failure': None}))\n"
    )
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "ADAEDL_PAIR", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setattr(chat.sys, "executable", str(stand_in(tmp_path, code)))
    assert render_in_subprocess("", {}, ["a", "b"], True, "org/model") == ["a", "b"]
    environment = json.loads(seen.read_text())
    needed = {*ENVIRONMENT, "PYTHONPATH", "PYTHONIOENCODING", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
    set_by_start = {"PWD", "SHLVL", "_", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}  # by starting a process
    assert {name for name in environment if not name.startswith("LC_")} <= needed | set_by_start
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
def test_invalid_output_of_an_untrusted_template_is_refused(tmp_path, monkeypatch, printed):
    monkeypatch.setattr(chat.sys, "executable", str(stand_in(tmp_path, f"print({printed!r})")))
    with pytest.raises(UserError, match="The chat template of org/model cannot be used here"):
        render_in_subprocess("", {}, ["a"], True, "org/model")


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
def test_outside_the_sandbox_there_is_no_network_process_or_file(tmp_path, act):
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


def test_an_untrusted_template_needs_no_home_folder(monkeypatch):
    for name in ("HOME", "ADAEDL_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    template = untrusted_template(make_tokenizer("byte_level", CHATML), "org/model")
    assert template.after_answer == "<|im_end|>\n"
    assert template.render("x") == "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
    assert Path(__file__).parents[2] == PROJECT
