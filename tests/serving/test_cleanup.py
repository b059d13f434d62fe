"""What is kept of visitors who are gone: their sessions and broken uploads go, by themselves."""

import gc
import socket
import time
import weakref
from datetime import timedelta
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.state_holder import SessionState
from gradio_client import Client
from hosted import hosted_models, until
from visitors import race

from components.pages.page import build_page
from components.serving import cleanup, security
from components.serving.launch import launch

PATIENCE = 20  # seconds


@pytest.fixture(scope="module")
def served():
    """The page's address, its components, and what gradio keeps of sessions; it tidies up all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleanup, "EVERY_S", 0.05)
        patch.setattr(cleanup, "MOST_SESSIONS", 3)
        models = hosted_models()
        page = build_page(models)
        app, address, _ = launch(page, models, quiet=True)
        yield address.rstrip("/"), page.blocks.values(), app.state_holder
        page.close()


def test_a_session_that_nobody_uses_any_more_goes_with_all_that_was_in_it(served):
    _, _, sessions = served
    gone = weakref.ref(sessions["left"])
    assert sessions["stays"]
    sessions.time_last_used["left"] -= timedelta(seconds=cleanup.SESSION_S)
    until(lambda: "left" not in sessions, PATIENCE)
    gc.collect()
    assert gone() is None
    assert "stays" in sessions
    assert list(sessions.time_last_used) == list(sessions.session_data)


def test_gradio_keeps_no_work_of_visitors(served):
    assert [block for block in served[1] if isinstance(block, gr.State)] == []


def test_what_was_told_to_a_visitor_is_not_kept(served):
    address, _, sessions = served
    client = Client(address, verbose=False)
    trace = race(client, "w1 w2", seed=1, tokens=8)["trace"]
    assert trace["lanes"][0]["token_ids"]
    session = sessions[client.session_hash]
    fresh = SessionState(sessions.blocks)
    kept = [[config["props"].get("value") for config in each.components] for each in (session, fresh)]
    assert kept[0] == kept[1]


def test_no_more_sessions_are_kept_than_a_page_has_use_for(served):
    sessions = served[2]
    for name in "abcde":
        assert sessions[name]
    assert list(sessions.session_data) == ["c", "d", "e"]


def begin_upload(address: str) -> list[Path]:
    """Send a part of an upload and leave; the files that it has begun."""
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.json"\r\n\r\n' + b"w" * 9000
    head = b"POST /gradio_api/upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    host, port = address.removeprefix("http://").split(":")
    before = set(cleanup._begun)
    with socket.create_connection((host, int(port))) as visitor:
        visitor.sendall(head + b"Content-Length: 50000\r\n\r\n" + body)
        until(lambda: set(cleanup._begun) - before, PATIENCE)
    return [Path(path) for path in set(cleanup._begun) - before]


def test_what_a_broken_upload_leaves_is_deleted_by_age(served, monkeypatch):
    (file,) = begin_upload(served[0])
    time.sleep(0.2)
    assert file.is_file()
    monkeypatch.setattr(cleanup, "UPLOAD_S", 0)
    until(lambda: not file.exists() and str(file) not in cleanup._begun, PATIENCE)


def test_a_whole_upload_is_there_when_its_beginning_is_tidied_away(served, monkeypatch):
    (path,) = httpx.post(f"{served[0]}/gradio_api/upload", files={"files": ("a.json", b"{}")}).json()
    monkeypatch.setattr(cleanup, "UPLOAD_S", 0)
    until(lambda: not cleanup._begun, PATIENCE)
    assert Path(path).read_bytes() == b"{}"


def test_one_upload_brings_few_files(served):
    files = [("files", (f"{number}.json", b"{}")) for number in range(cleanup.MOST_FILES + 1)]
    answer = httpx.post(f"{served[0]}/gradio_api/upload", files=files)
    assert (answer.status_code, answer.text) == (400, "Too many files. Maximum number of files is 4.")
    assert httpx.post(f"{served[0]}/gradio_api/upload", files=files[1:]).status_code == 200


def test_an_upload_that_never_ends_is_refused_and_what_had_come_of_it_is_deleted(served, monkeypatch):
    monkeypatch.setitem(security.LARGEST, "/gradio_api/upload", 2**20)
    headers = {"content-type": "multipart/form-data; boundary=x"}

    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.json"\r\n\r\n'
        for _ in range(32):
            yield b" " * 2**16

    answer = httpx.post(f"{served[0]}/gradio_api/upload", content=body(), headers=headers)
    assert (answer.status_code, answer.text) == (413, "The request is too large; at most 1 MB are read here.")
    left = [Path(path) for path in cleanup._begun]
    assert any(path.exists() for path in left)
    monkeypatch.setattr(cleanup, "UPLOAD_S", 0)
    until(lambda: not any(path.exists() for path in left), PATIENCE)
