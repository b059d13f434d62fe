"""Sessions and interrupted uploads of visitors who have left are deleted automatically."""

import gc
import socket
import time
import weakref
from datetime import timedelta
from pathlib import Path

import gradio as gr
import pytest
from gradio.state_holder import SessionState
from hosted import client_of, hosted_models, http_client, until
from visitors import race

from components.pages.page import build_page
from components.serving import cleanup, security
from components.serving.launch import launch

PATIENCE = 20  # seconds


@pytest.fixture(scope="module")
def served():
    """The page's address, its components, and gradio's sessions. This page cleans up all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleanup, "EVERY_S", 0.05)
        patch.setattr(cleanup, "MOST_SESSIONS", 3)
        models = hosted_models()
        page = build_page(models)
        app, address, _ = launch(page, models, quiet=True)
        yield address.rstrip("/"), page.blocks.values(), app.state_holder
        page.close()


def test_unused_session_is_deleted_with_its_data(served):
    _, _, sessions = served
    deleted = weakref.ref(sessions["left"])
    assert sessions["stays"]
    sessions.time_last_used["left"] -= timedelta(seconds=cleanup.SESSION_S)
    until(lambda: "left" not in sessions, PATIENCE)
    gc.collect()
    assert deleted() is None
    assert "stays" in sessions
    assert list(sessions.time_last_used) == list(sessions.session_data)


def test_page_has_no_gradio_state(served):
    assert [block for block in served[1] if isinstance(block, gr.State)] == []


def test_values_sent_to_a_visitor_are_not_stored(served):
    address, _, sessions = served
    client = client_of(address)
    trace = race(client, "w1 w2", seed=1, tokens=8)["trace"]
    assert trace["lanes"][0]["token_ids"]
    session = sessions[client.session_hash]
    fresh = SessionState(sessions.blocks)
    values = [[config["props"].get("value") for config in each.components] for each in (session, fresh)]
    assert values[0] == values[1]


def test_number_of_sessions_is_limited(served):
    sessions = served[2]
    for name in "abcde":
        assert sessions[name]
    assert list(sessions.session_data) == ["c", "d", "e"]


def begin_upload(address: str) -> list[Path]:
    """Send a part of an upload and leave; return the files that the upload has begun."""
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.json"\r\n\r\n' + b"w" * 9000
    head = b"POST /gradio_api/upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    host, port = address.removeprefix("http://").split(":")
    before = set(cleanup._uploads)
    with socket.create_connection((host, int(port))) as visitor:
        visitor.sendall(head + b"Content-Length: 50000\r\n\r\n" + body)
        until(lambda: set(cleanup._uploads) - before, PATIENCE)
    return [Path(path) for path in set(cleanup._uploads) - before]


def test_old_files_of_interrupted_uploads_are_deleted(served, monkeypatch):
    (file,) = begin_upload(served[0])
    time.sleep(0.2)
    assert file.is_file()
    monkeypatch.setattr(cleanup, "UPLOAD_S", 0)
    until(lambda: not file.exists() and str(file) not in cleanup._uploads, PATIENCE)


def test_complete_upload_survives_the_cleanup(served, monkeypatch):
    (path,) = http_client(served[0]).post("/gradio_api/upload", files={"files": ("a.json", b"{}")}).json()
    monkeypatch.setattr(cleanup, "UPLOAD_S", 0)
    until(lambda: not cleanup._uploads, PATIENCE)
    assert Path(path).read_bytes() == b"{}"


def test_number_of_files_per_upload_is_limited(served):
    files = [("files", (f"{number}.json", b"{}")) for number in range(cleanup.MOST_FILES + 1)]
    client = http_client(served[0])
    answer = client.post("/gradio_api/upload", files=files)
    assert (answer.status_code, answer.text) == (400, "Too many files. Maximum number of files is 4.")
    assert client.post("/gradio_api/upload", files=files[1:]).status_code == 200


def test_endless_upload_is_refused_and_its_file_is_deleted(served, monkeypatch):
    monkeypatch.setitem(security.LARGEST, "/gradio_api/upload", 2**20)
    headers = {"content-type": "multipart/form-data; boundary=x"}

    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.json"\r\n\r\n'
        for _ in range(32):
            yield b" " * 2**16

    answer = http_client(served[0]).post("/gradio_api/upload", content=body(), headers=headers)
    assert (answer.status_code, answer.text) == (413, "The request is too large; at most 1 MB are read here.")
    files = [Path(path) for path in cleanup._uploads]
    assert any(path.exists() for path in files)
    monkeypatch.setattr(cleanup, "UPLOAD_S", 0)
    until(lambda: not any(path.exists() for path in files), PATIENCE)
