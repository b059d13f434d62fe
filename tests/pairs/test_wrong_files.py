"""Anything that a user names instead of a model is answered with one sentence."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import CHATML, make_tokenizer, save_model

from adaedl.errors import UserError
from adaedl.pairs.loading import load_pair
from adaedl.pairs.presets import resolve
from adaedl.pairs.weights import fetch_weights

NOBODY = 65534


@pytest.fixture
def model(tmp_path) -> Path:
    return save_model(tmp_path / "model", make_tokenizer("byte_level", CHATML))


def refusal(path: str | Path, **options) -> str:
    """Return the error for a folder as a model that drafts for itself."""
    with pytest.raises(UserError) as error:
        load_pair(f"{path}:{path}", device="cpu", **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/" + 300 * "a", "File name too long"),
        ("/" + "/".join(60 * [100 * "a"]), "File name too long"),
        ("./a\0b", "embedded null byte"),
        ("~nobody-here/model", "Could not determine home directory"),
    ],
)
def test_an_impossible_path_is_refused(path, reason):
    sentence = refusal(path)
    assert sentence.startswith("The folder '")
    assert sentence.endswith(f" cannot be read ({reason}); choose another one.")
    assert "\0" not in sentence


def test_a_loop_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "Symlink loop" in refusal(tmp_path / "a")
    shutil.copytree(save_model(tmp_path / "model", make_tokenizer("byte_level")), tmp_path / "copy")
    (tmp_path / "copy" / "config.json").unlink()
    (tmp_path / "copy" / "config.json").symlink_to(tmp_path / "a")
    assert "has no config.json" in refusal(tmp_path / "copy")


@pytest.mark.parametrize("name", ["org/" + 300 * "a", "org/a\0b", 97 * "a" + "/b"])
def test_an_invalid_hub_name_is_refused_as_a_pair(name):
    assert "is not a model's name on the Hugging Face Hub" in refusal(name)


def test_windows_folders_are_not_hub_names():
    preset = resolve(r"C:\models\a:D:\models\b")
    assert (preset.target, preset.draft) == (r"C:\models\a", r"D:\models\b")
    with pytest.raises(UserError, match=r"^'C:\\\\models\\\\a' is not a model's name"):
        fetch_weights(preset.target)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Run with the rights of a user who owns nothing, because root can read every file."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "closed", ["model", "model/config.json", "model/tokenizer.json", "model/model.safetensors"]
)
def test_unreadable_folders_and_files_are_reported(open_folder, model, closed):
    shutil.copytree(model, open_folder / "model")
    assert load_pair(f"{model}:{model}", device="cpu")  # imports modules that nobody could not read
    for path in open_folder.rglob("*"):
        path.chmod(0o755)
    (open_folder / closed).chmod(0)
    with as_nobody():
        sentence = refusal(open_folder / "model")
    if closed == "model":
        assert sentence.endswith("cannot be read (Permission denied); choose another one.")
    else:
        assert "that can be loaded" in sentence


def test_an_unreadable_shard_index_is_reported(open_folder, model):
    assert load_pair(f"{model}:{model}", device="cpu")  # imports modules that nobody could not read
    shutil.copytree(model, open_folder / "model")
    (open_folder / "model" / "model.safetensors").unlink()
    index = open_folder / "model" / "model.safetensors.index.json"
    index.write_text("{}")
    index.chmod(0)
    with as_nobody():
        assert "cannot be read (Permission denied)" in refusal(open_folder / "model")


@pytest.mark.parametrize(
    "index",
    [
        "[1,2]",
        "null",
        "7",
        '"x"',
        "{}",
        '{"weight_map": null}',
        '{"weight_map": {}}',
        '{"weight_map": ["model-00001-of-00002.safetensors"]}',
        '{"weight_map": {"a": 5, "b": "x"}}',
        '{"weight_map": {"a": ["x"]}}',
        '{"weight_map": {"a": ""}}',
        '{"weight_map": {"a": "\\ud800"}}',
        json.dumps({"weight_map": {"a": 300 * "a"}}),
        "[" * 100_000,
        "\ufeff{",
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_an_invalid_shard_index_is_reported(model, index, trusted):
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(index, "utf-8")
    assert "has no readable model.safetensors.index.json;" in refusal(model, trusted=trusted)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
)
@pytest.mark.parametrize(
    "content", [b"[1, 2]", b"null", b"\xff\xfe", b"", b"{", b"[" * 100_000, b'{"model": 5}']
)
def test_invalid_json_files_are_reported_or_harmless(model, name, content):
    (model / name).write_bytes(content)
    sentence = pair = None
    try:
        pair = load_pair(f"{model}:{model}", device="cpu")
    except UserError as error:
        sentence = str(error)
    assert pair is not None or (str(model) in sentence and "\n" not in sentence)
    assert pair is None or len(pair.encode("Why?"))


PANICS = {
    "when it is read": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "when it is made": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]}},
    "at unknown words": {"model": {"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0]]}},
}


@pytest.mark.parametrize("fault", PANICS)
@pytest.mark.parametrize("trusted", [True, False])
def test_a_failing_tokenizer_is_reported_even_if_its_library_panics(model, fault, trusted):
    state = json.loads((model / "tokenizer.json").read_text("utf-8"))
    (model / "tokenizer.json").write_text(json.dumps(state | PANICS[fault]), "utf-8")
    assert "tokenizer" in refusal(model, trusted=trusted)


WITHOUT_HOME = """
import os, sys
for name in ("HOME", "ADAEDL_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
import platformdirs, pwd, transformers  # while Python's own folder may be read
from adaedl.errors import UserError
from adaedl.pairs.loading import load_pair
from adaedl.pairs.weights import cached_weights
from adaedl.system.cache_folder import cache_dir
from components.serving.security import without_host_folders
from components.settings.hosting import host
if os.geteuid() == 0:
    os.setuid(54321)
else:
    pwd.getpwuid = {}.__getitem__
for act in (cache_dir, host, lambda: cached_weights("HuggingFaceTB/SmolLM2-135M-Instruct")):
    try:
        print(act())
    except UserError as error:
        print(error)
os.environ["ADAEDL_CACHE"] = "/srv/models"
print(cache_dir(), host().pair)
print(without_host_folders(UserError("No {}", "/srv/models/x")))
"""


def test_without_a_home_folder_one_sentence_names_the_variables():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_HOME],
        cwd=Path(__file__).parents[2],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    sentence = "There is no home folder to store models in; set ADAEDL_CACHE and HF_HOME to folders."
    assert ran.stdout.splitlines() == [*3 * [sentence], "/srv/models None", "No $ADAEDL_CACHE/x"]
