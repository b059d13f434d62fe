"""Hostile visitors: arbitrary data for every endpoint, files that are not theirs, and the security
headers."""

import io
import json
import re
import sys
import time
from pathlib import Path

import httpx
import pytest
import torch
from fuzz import FILES, check_trace, events, fuzz_events, fuzz_races, fuzz_traces, inputs_of
from hosted import hosted, http_client, small_race
from large import large_trace

from adaedl.errors import Sentence, UserError
from adaedl.request import MAX_LANES
from adaedl.system.cache_folder import cache_dir
from adaedl.system.shipped import PROJECT
from adaedl.trace import MAX_TRACE_BYTES, Trace
from components.parts import assets
from components.parts.controls import DEFAULTS
from components.serving import answers
from components.serving.models_state import ModelsState
from components.serving.security import route_path, without_host_folders

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def served():
    with hosted() as (address, models):
        yield address, models


@pytest.fixture(scope="module")
def client(served) -> httpx.Client:
    with http_client(served[0]) as client:
        yield client


@pytest.fixture(scope="module")
def config(client) -> dict:
    return client.get("/config").json()


PREFIXES = {
    "at the root": ("", ""),
    "prefix kept": ("/demo", "/demo"),
    "prefix stripped": ("/demo", ""),
    "with a slash": ("/demo/", "/demo"),
}


@pytest.fixture(scope="module", params=PREFIXES.values(), ids=PREFIXES)
def behind(request) -> httpx.Client:
    """A client like a proxy that serves the page below a path, and passes on the path or strips it."""
    root, prefix = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ROOT_PATH", root)
        with hosted() as (address, _), http_client(address + prefix) as client:
            yield client


def event(config: dict, name: str) -> dict:
    return next(event for event in config["dependencies"] if event["api_name"] == name)


@pytest.fixture
def call(client, config):
    """Call /race with changed arguments; return the last event."""

    def call_race(**changes) -> dict:
        arguments = {**RACE, "prompt": "w1 w2 w3", "lanes": "autoregressive,adaedl"}
        values = list({**arguments, **changes}.values())
        return events(client, {"data": values, "fn_index": event(config, "race")["id"]})[-1]

    return call_race


RACE = {
    "prompt": "w1 w2",
    "lanes": "autoregressive",
    "temperature": 0.7,
    "max_new_tokens": 4,
    "seed": 0,
    "verification": "shared_noise",
    "top_k": 0,
    "top_p": 1.0,
    "pair": DEFAULTS.pair,
    "system": "",
    "continuation": False,
}


def raw(client: httpx.Client, *values) -> str:
    """Call /race with these values; return the error or the state."""
    response = client.post("/gradio_api/run/race", json={"data": values})
    assert response.status_code in (200, 500)
    return response.json().get("error") or response.json()["data"][0]["state"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": None}, "The prompt is empty; enter a question or the start of a text."),
        ({"prompt": 5}, "prompt is 5; it must be text."),
        ({"lanes": ["adaedl"]}, "lanes is ['adaedl']; it must be text, such as autoregressive,fixed:k=4."),
        ({"temperature": None}, "temperature is None; it must be between 0 and 10, such as 0.7."),
        ({"temperature": "0.7"}, "temperature is '0.7'; it must be between 0 and 10, such as 0.7."),
        ({"max_new_tokens": True}, "max_new_tokens is True; it must be a whole number of at least 1."),
        ({"max_new_tokens": 10**30}, f"You requested {10**30} new tokens; this page allows at most 512."),
        ({"seed": -1}, "The seed is -1; it must be a whole number from 0 to 2^63 − 1."),
        ({"seed": 2**63}, f"The seed is {2**63}; it must be a whole number from 0 to 2^63 − 1."),
        ({"seed": "1e3"}, "The seed is '1e3'; it must be a whole number from 0 to 2^63 − 1."),
        ({"seed": {}}, "The seed is {}; it must be a whole number from 0 to 2^63 − 1."),
        ({"top_k": -1}, "top_k is -1; it must be a whole number from 0 to 1,000,000; 0 switches it off."),
        ({"top_k": 1.5}, "top_k is 1.5; it must be a whole number from 0 to 1,000,000; 0 switches it off."),
        ({"top_p": []}, "top_p is []; it must be above 0 and at most 1; 1 switches it off."),
        ({"pair": 7}, "pair is 7; it must be text."),
        ({"system": 7}, "system is 7; it must be text."),
        (
            {"system": "Be brief."},
            "toy target has no chat template, so it takes no system prompt; leave the system prompt empty.",
        ),
        ({"continuation": 1}, "continuation is 1; it must be true or false."),
        ({"seed": 1e18}, "The seed arrived as 1e+18, a rounded number; send it as a string of digits."),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, dict) else "",
)
def test_raw_call_of_race_names_the_invalid_value(client, changes, sentence):
    assert raw(client, *{**RACE, **changes}.values()) == sentence


@pytest.mark.parametrize("seed", [0, "7", 2**53 + 1, str(2**63 - 1), 3.0])
def test_seed_may_be_a_number_or_text(call, seed):
    trace = call(seed=seed)["output"]["data"][0]["trace"]
    assert trace["seed"] == int(seed)


def test_call_with_too_few_or_too_many_values_lists_the_parameters(client):
    listed = ", ".join(RACE)
    assert raw(client, "w1") == f"This call lacks lanes: it has 1 values and takes 11: {listed}."
    assert raw(client, *RACE.values(), 1, 2) == f"This call has 13 values; it takes 11: {listed}."
    for body, sentence in (({}, "lacks prompt."), ({"prompt": "w1", "wrong": 1}, "does not take wrong.")):
        answer = client.post("/gradio_api/call/v2/race", json=body)
        assert (answer.status_code, sentence in answer.json()["detail"]) == (422, True)
    assert client.post("/gradio_api/call/walk", json={"data": []}).status_code == 404


SENT = (-1.5, [1, [2]], {"a": 1}, "y" * 50_000, FILES[0])


def test_every_event_answers_any_value_with_a_sentence(client, config, caplog):
    for index, count in inputs_of(config).items():
        for values in (
            [],
            [None] * max(count - 1, 0),
            [None] * (count + 1),
            *([sent] * count for sent in SENT),
        ):
            last = events(client, {"data": values, "fn_index": index})[-1]
            assert last["msg"] == "process_completed"
            if len(values) != count:
                assert "takes" in last["output"]["error"]
    assert [record for record in caplog.records if record.exc_info] == []


def test_unexpected_error_is_one_sentence_with_a_traceback_in_the_log(client, call, monkeypatch, caplog):
    def fail(*_):
        raise ZeroDivisionError("insides")

    monkeypatch.setattr("components.serving.api.play", fail)
    assert call()["output"]["error"] == str(answers.FAILED)
    assert ["ZeroDivisionError" in record.exc_text for record in caplog.records] == [True]
    monkeypatch.setattr("components.serving.health.health", fail)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (500, {"detail": str(answers.FAILED)})


def test_any_call_of_race_is_answered_and_the_next_race_runs(served, client, config, call):
    assert fuzz_races(client, event(config, "race")["id"], 40) >= 40
    assert served[1].in_queue == (0, 0)
    assert call()["success"]


def test_any_call_of_any_event_is_answered_and_the_next_race_runs(client, config, call, caplog):
    assert fuzz_events(client, inputs_of(config), 60) >= 60
    assert [record for record in caplog.records if record.exc_info] == []
    assert call()["success"]


def test_damaged_trace_is_refused_in_one_sentence_or_plays(served):
    assert fuzz_traces(small_race(served[1].pair), 150) >= 150


@pytest.mark.parametrize("pair", ["/etc:/etc", "~:~", "./a:./b", "../x:../x", "file:/etc/passwd"])
def test_visitors_cannot_load_folders_of_the_server(call, pair):
    answer = call(pair=pair)
    assert not answer["success"]
    error = answer["output"]["error"]
    assert any(words in error for words in ("only models from the Hugging Face Hub", "is not a model's name"))


@pytest.mark.parametrize("pair", ["http://127.0.0.1:1/a:b/c", "org/x y:a/b", "a/../b:c/d", "a/b/c:d/e"])
def test_invalid_model_name_causes_no_request(call, pair, monkeypatch):
    monkeypatch.setattr(
        "adaedl.pairs.sources.network.ask", lambda *_: pytest.fail("the server sent a request")
    )
    assert not call(pair=pair)["success"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file["path"] or "empty")
def test_file_that_was_not_uploaded_is_never_read(client, config, file, monkeypatch):
    monkeypatch.setattr("httpx.AsyncClient.send", lambda *_, **__: pytest.fail("the server sent a request"))
    for index, count in inputs_of(config).items():
        answer = events(client, {"data": [file] * count, "fn_index": index})
        assert "root:" not in json.dumps(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=app.py",
        "/gradio_api/file=assets/drafter.safetensors",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/proxy=https://example.com/",
        "/gradio_api/file=https://example.com/",
        "/file=http://example.com/",
        "/static/../app.py",
        "/static/%2e%2e/%2e%2e/routes.py",
        "/assets/%2e%2e/app.py",
        "/healthz/../app.py",
    ],
)
def test_other_files_and_addresses_are_not_served(client, path):
    answer = client.get(path)
    assert answer.status_code in (400, 403, 404, 405), answer.text[:200]
    assert "build_page" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/process_recording",
        "/gradio_api/vibe-edit/",
        "/gradio_api/vibe-code/",
        "/gradio_api/deep_link?session_hash=a",
        "/gradio_api/dev/reload",
        "/gradio_api/runs",
        "/gradio_api/run-history/records",
        "/monitoring",
        "/monitoring/summary",
        "//gradio_api/deep_link?session_hash=a",
        "/gradio_api//deep_link?session_hash=a",
        "/gradio_api%2Fdeep_link?session_hash=a",
        "/gradio_api/deep_link/?session_hash=a",
        "/Gradio_API/deep_link?session_hash=a",
        "/demo/gradio_api/deep_link?session_hash=a",
        "/demo/demo/monitoring/summary",
    ],
)
def test_unused_routes_of_gradio_are_closed(behind, path):
    assert {behind.get(path).status_code, behind.post(path).status_code} <= {404, 405}


@pytest.mark.parametrize(
    ("root", "path", "canonical"),
    [
        ("", "/monitoring", "/monitoring"),
        ("/demo", "/demo/monitoring/", "/monitoring"),
        ("/demo", "/monitoring", "/monitoring"),
        ("/demo", "/demo//Monitoring//", "/monitoring"),
        ("/demo", "/demo/demo/monitoring", "/demo/monitoring"),  # the router doesn't match this either
        ("/demo", "/demonitoring", "/demonitoring"),
        ("/demo", "/demo", ""),
    ],
)
def test_route_path_is_the_routers_path_in_canonical_form(root, path, canonical):
    assert route_path({"type": "http", "path": path, "root_path": root}) == canonical


def test_no_response_names_a_folder_of_the_host(client):
    for path in (
        "/",
        "/config",
        "/healthz",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/manifest.json",
    ):
        answer = client.get(path)
        assert answer.status_code == 200, path
        for folder in (str(PROJECT), str(Path.home()), str(cache_dir()), sys.prefix):
            assert folder not in answer.text, f"{path} names {folder}"


def test_sentence_for_visitors_names_no_folder_of_the_host():
    reason = UserError("Cannot write {}.", cache_dir() / "models")
    error = UserError("{} From PyPI instead: {} ({:g})", Sentence("No {}", Path.home() / "x"), reason, 2.5)
    public = without_host_folders(error)
    assert str(public) == "No ~/x From PyPI instead: Cannot write $ADAEDL_CACHE/models. (2.5)"
    assert public.sentence.template == error.sentence.template


def test_failed_loading_names_no_folder_to_visitors(monkeypatch, tmp_path):
    monkeypatch.setenv("ADAEDL_CACHE", str(tmp_path))

    def load_pair(name, **options):
        raise UserError("Cannot write to the cache folder {} ({}).", cache_dir(), "No space left on device")

    monkeypatch.setattr("adaedl.pairs.loading.load_pair", load_pair)
    models = ModelsState(DEFAULTS.pair)
    with pytest.raises(UserError) as refusal:
        models.load("org/a:org/b").result()
    models.on_device(lambda: None).result()  # the default pair, which is tried after a visitor's
    for sentence in (str(refusal.value), models.state.sentence):
        assert sentence == "Cannot write to the cache folder $ADAEDL_CACHE (No space left on device)."


@pytest.mark.parametrize(
    ("name", "expected"), [("org/a:org/b", False), ("own/a:own/b", True), (" llama-3.1-8b ", True)]
)
def test_pairs_typed_by_visitors_get_no_token_and_no_trust(monkeypatch, name, expected):
    trust = []

    def load_pair(name, trusted, **options):
        trust.append(trusted)
        raise UserError("none")

    monkeypatch.setattr("adaedl.pairs.loading.load_pair", load_pair)
    models = ModelsState("own/a:own/b")
    with pytest.raises(UserError):
        models.load(name).result()
    models.on_device(lambda: None).result()  # the default pair, which is tried after a visitor's
    assert trust[0] == expected


def test_refusal_quotes_only_the_beginning_of_a_long_value(call):
    for changes in ({"verification": "x" * 100_000}, {"pair": ["y" * 100_000]}, {"lanes": "z" * 9000}):
        answer = call(**changes)
        assert answer["output"]["error"]
        assert len(json.dumps(answer)) < 3000


def test_name_of_an_uploaded_file_cannot_leave_the_folder(client):
    form = {"files": ("../../../../tmp/escaped.json", io.BytesIO(b"{}"), "application/json")}
    (path,) = client.post("/gradio_api/upload", files=form).json()
    assert ".." not in path
    assert path.endswith("escaped.json")
    assert path != "/tmp/escaped.json"


def test_too_large_file_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr("adaedl.trace._TRACE", None)  # parsing would fail
    assert check_trace(b" " * (MAX_TRACE_BYTES + 1)) is False


def opened(client, config, trace: Trace) -> list:
    """Open a trace as a file; return the values that the page then shows."""
    form = {"files": ("trace.json", io.BytesIO(trace.to_json().encode()), "application/json")}
    (path,) = client.post("/gradio_api/upload", files=form).json()
    button = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "open-trace")
    index = next(e["id"] for e in config["dependencies"] if e["inputs"] == [button])
    file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "trace.json"}
    return events(client, {"data": [file], "fn_index": index})[-1]["output"]["data"]


def test_page_opens_the_largest_race_of_the_command_line(client, config):
    status, feed = opened(client, config, large_trace(8, 2))
    assert json.loads(status)["key"] == "page.status_opened"
    assert len(parsed(feed)[1]["trace"]["lanes"]) == MAX_LANES
    assert sum("round" in line for line in parsed(feed)) == 12 * 171
    assert parsed(feed)[-1] == {"end": True}


def parsed(feed: str) -> list[dict]:
    return [json.loads(line) for line in feed.splitlines()]


def test_trace_with_too_many_lanes_is_refused_in_one_sentence(client, config):
    status, _ = opened(client, config, large_trace(2, 1, lanes=13, tokens=4))
    assert "This trace has 13 lanes; the page shows at most 12." in status


def test_size_of_an_upload_is_limited(behind):
    form = {"files": ("large.json", io.BytesIO(b" " * (65 * 2**20)), "application/json")}
    assert behind.post("/gradio_api/upload", files=form).status_code == 413


def in_chunks(size: int):
    for _ in range(0, size, 2**16):
        yield b" " * 2**16


@pytest.mark.parametrize("path", ["queue/join", "run/race", "call/race", "reset", "stream/a"])
@pytest.mark.parametrize("declared", [True, False], ids=["with its length", "without its length"])
def test_too_large_request_is_refused_in_one_sentence(behind, path, declared):
    content = b" " * (3 * 2**20) if declared else in_chunks(3 * 2**20)
    answer = behind.post(f"/gradio_api/{path}", content=content, headers=JSON)
    sentence = "The request is too large; at most 2 MB are read here."
    assert (answer.status_code, answer.text) == (413, sentence)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_tables_and_uploads_may_be_larger_than_other_requests(behind):
    table = behind.post("/gradio_api/component_server", content=in_chunks(3 * 2**20), headers=JSON)
    assert (table.status_code, table.json()) == (400, {"detail": "Invalid JSON body."})
    upload = behind.post("/gradio_api/upload", files={"files": ("a.json", b" " * 3 * 2**20)})
    assert upload.status_code == 200


def test_page_health_and_files_are_served(behind):
    assert behind.get("/healthz").json()["status"] == "ok"
    assert f"{assets.address()}/{assets.FIRST}" in behind.get("/").text
    assert "dataset.embed" in behind.get("/").text
    script = behind.get(f"/{assets.address()}/{assets.FIRST}")
    assert (script.status_code, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "immutable" in script.headers["cache-control"]


def test_link_preview_shows_the_pages_name_and_picture(behind):
    page = behind.get("/").text
    metadata = dict(re.findall(r'<meta (?:property|name)="((?:og|twitter):[^"]+)" content="([^"]*)">', page))
    assert len(re.findall(r'"(?:og|twitter):', page)) == len(metadata), "the page has gradio's metadata too"
    assert metadata["og:title"] == "AdaEDL live"
    assert metadata["og:url"] == behind.get("/config").json()["root"] + "/"
    picture = behind.get(metadata["og:image"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert 'name="theme-color"' in page
    assert behind.get("/favicon.ico").content == assets.FAVICON.read_bytes()


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("identity", None), ("", None)],
)
def test_page_is_compressed_as_the_browser_accepts(client, accepted, encoding):
    plain = client.get("/", headers={"accept-encoding": "identity"})
    answer = client.get("/", headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.text == plain.text
    assert (answer.num_bytes_downloaded < 120_000) == (encoding is not None)
    assert "Accept-Encoding" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/config", "/gradio_api/file=/etc/passwd"])
def test_every_response_has_the_security_headers(behind, path):
    headers = behind.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'self'"
    assert policy["object-src"] == "'none'"
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_only_the_hub_may_frame_a_space():
    from components.serving.security import SecurityHeaders

    policy = SecurityHeaders(None, on_spaces=True).headers["content-security-policy"]
    assert policy.endswith("frame-ancestors 'self' https://huggingface.co https://*.hf.space")


def test_host_chooses_who_may_frame_the_page():
    from components.serving.security import SecurityHeaders

    headers = SecurityHeaders(None, framed_by=("https://moodle.example.org",)).headers
    assert headers["content-security-policy"].endswith("frame-ancestors 'self' https://moodle.example.org")


def test_visitor_cannot_see_anothers_race(client, config, call):
    """The next caller gets nothing of the race before."""
    secret = call(prompt="w7 w8 w9", max_new_tokens=4)["output"]["data"][0]["trace"]["prompt"]
    other = call(prompt="w1", max_new_tokens=4)
    assert secret == "w7 w8 w9"
    assert secret not in json.dumps(other)
    assert secret not in client.get("/healthz").text


def test_health_reports_the_pair_and_the_queue(client, served):
    report = client.get("/healthz").json()
    assert report["status"] == "ok"
    assert report["pair"]["device"] == "cpu/float32"
    assert report["races"] == {"running": 0, "waiting": 0, "at_once": 1}
    assert report["machine"]["threads"] == torch.get_num_threads()
    assert set(report["machine"]["threads_limited_by"]) == {"en", "zh"}
    turn = served[1].take_turn()
    assert client.get("/healthz").json()["races"]["running"] == 1
    turn.leave()


def test_health_fails_if_no_pair_could_be_loaded(served, client, monkeypatch):
    from components.serving.models_state import LoadState

    monkeypatch.setattr(served[1], "pair", None)
    monkeypatch.setattr(served[1], "state", LoadState("failed", "no network"))
    monkeypatch.setattr(served[1], "failed_at", time.monotonic())
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["models"]) == (503, "no network")


def test_trace_runs_no_code(served):
    trace = small_race(served[1].pair)
    trace.prompt = "__import__('os').system('touch /tmp/hacked')"
    assert Trace.from_json(trace.to_json()).prompt == trace.prompt
