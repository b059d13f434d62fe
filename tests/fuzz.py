"""Send arbitrary data to every endpoint of the page, and open damaged traces.

`python tests/fuzz.py --cases 2000` runs 2000 cases of each kind; the tests run a few.
"""

import argparse
import copy
import json
import math
import sys
import uuid
from pathlib import Path

import httpx
from hypothesis import HealthCheck, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from adaedl.errors import UserError
from adaedl.metrics import compute_metrics
from adaedl.trace import Trace
from components.parts.player import RaceFeed

PATIENCE = 60.0  # seconds
HOSTILE = [
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=1</script>",
    "{{7*7}} ${7*7} %s %n {0.__class__}",
    "'; DROP TABLE races; --",
    "../../../../etc/passwd",
    "..\\..\\windows\\system32",
    "/etc/passwd",
    "/etc/passwd:/etc/passwd",
    "~/.ssh/id_rsa:~",
    "file:///etc/passwd",
    "http://127.0.0.1:1/x:http://127.0.0.1:1/y",
    "org/model\n:org/draft",
    "\x00",
    "\u202e\ud83d\ude00\ufffe",
    "fixed:k=99999999999999999999",
    "adaedl:threshold=nan,gamma=-inf",
    "a" * 30_000,
    "[" * 5_000,
    "1e400",
    "-0",
]
FILES = [
    {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "trace.json"}
    for path in ("/etc/passwd", "../app.py", "http://169.254.169.254/latest", "https://example.com/", "")
]
# Internals of the program that must never reach a visitor.
LEAKS = (
    "Traceback (most recent",
    'File "',
    "site-packages",
    "root:x:0",
    str(Path(__file__).resolve().parents[1]),
)

texts = st.text(max_size=60) | st.sampled_from(HOSTILE)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | texts | st.sampled_from(FILES)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def races(draw) -> list:
    """Generate arguments of /race: those of a small race, some of them replaced by arbitrary values."""
    arguments = ["w1 w2 w3", "autoregressive,adaedl", 0.7, 4, 0, "shared_noise", 0, 1.0, "smollm2-135m"]
    for index in draw(st.sets(st.integers(0, len(arguments) - 1), max_size=3)):
        arguments[index] = draw(anything)
    return arguments


def events(client: httpx.Client, body: dict) -> list[dict]:
    """Call an event of the page like a browser; return the messages of its stream."""
    session = uuid.uuid4().hex
    content = json.dumps({**body, "session_hash": session})  # lone surrogates too, as escapes
    headers = {"content-type": "application/json"}
    joined = client.post("/gradio_api/queue/join", content=content, headers=headers)
    assert joined.status_code < 500, f"{joined.status_code}: {joined.text[:300]}"
    check_no_leak(joined.text)
    if joined.status_code != 200:
        return []
    messages = []
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            if not line.startswith("data:"):
                continue
            check_no_leak(line)
            messages.append(json.loads(line[5:]))
            if messages[-1]["msg"] in ("process_completed", "close_stream", "unexpected_error"):
                break
    if messages and not messages[-1].get("success", True):
        check_sentence(messages[-1]["output"]["error"])
    return messages


def check_no_leak(text: str) -> None:
    for leak in LEAKS:
        assert leak not in text, f"the answer contains {leak!r}: {text[:500]}"


def damaged(data: dict, path: list, value) -> dict:
    """Return a copy of a trace with a value replaced; `path` chooses the place, modulo the number of keys at
    each step."""
    data = copy.deepcopy(data)
    part = data
    for step in path:
        keys = sorted(part) if isinstance(part, dict) else range(len(part))
        if not keys:
            break
        key = keys[step % len(keys)]
        if step == path[-1] or not isinstance(part[key], (dict, list)):
            part[key] = value
            break
        part = part[key]
    return data


def check_trace(content: str | bytes) -> bool:
    """Open a trace like the page; return whether it is valid. An invalid one must be refused in one
    sentence."""
    try:
        trace = Trace.from_json(content)
        compute_metrics(trace)
        feed = RaceFeed(trace, live=False)
        feed.end()
    except UserError as error:
        check_sentence(str(error))
        return False
    for line in feed.text.splitlines():
        json.loads(line, parse_constant=_no_json)
    assert "<" not in feed.text
    return True


def check_sentence(text: str | None) -> None:
    assert text, "there is no reason"
    assert "\n" not in text
    assert len(text) < 600, f"{len(text)} characters"


def _no_json(name: str):
    raise AssertionError(f"{name} is not JSON; a browser cannot read it")


def _settings(cases: int):
    checks = list(HealthCheck)
    return hypothesis_settings(max_examples=cases, deadline=None, suppress_health_check=checks, database=None)


def fuzz_races(client: httpx.Client, fn_index: int, cases: int) -> int:
    """Send arbitrary arguments to /race; return how many cases ran."""
    ran = 0

    @seed(1)
    @_settings(cases)
    @given(races())
    def case(arguments):
        nonlocal ran
        ran += 1
        messages = events(client, {"data": arguments, "fn_index": fn_index})
        assert not messages or messages[-1]["msg"] == "process_completed"

    case()
    return ran


def fuzz_events(client: httpx.Client, indices: dict[int, int], cases: int) -> int:
    """Send arbitrary values to every event of the page, named or not; return how many cases ran. `indices`
    maps an event to its number of inputs."""
    ran = 0

    @seed(2)
    @_settings(cases)
    @given(st.sampled_from(sorted(indices)), st.data())
    def case(index, data):
        nonlocal ran
        ran += 1
        count = indices[index] if data.draw(st.booleans()) else data.draw(st.integers(0, 12))
        values = data.draw(st.lists(anything, min_size=count, max_size=count))
        events(client, {"data": values, "fn_index": index})

    case()
    return ran


def fuzz_traces(trace: Trace, cases: int) -> int:
    """Open damaged traces; return how many cases ran."""
    ran = 0
    intact = json.loads(trace.to_json())
    values = anything | st.sampled_from([1e308, -1e308, 5e-324, math.pi, 2**63, -1, [], {}])

    @seed(3)
    @_settings(cases)
    @given(st.lists(st.integers(0, 60), min_size=1, max_size=9), values)
    def case(path, value):
        nonlocal ran
        ran += 1
        check_trace(json.dumps(damaged(intact, path, value)))

    @seed(4)
    @_settings(cases // 4 + 1)
    @given(st.binary(max_size=200) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
    def noise(content):
        nonlocal ran
        ran += 1
        check_trace(content)

    case()
    noise()
    return ran


def inputs_of(config: dict) -> dict[int, int]:
    """Return the events of a page's config that the server answers, each with its number of inputs."""
    return {event["id"]: len(event["inputs"]) for event in config["dependencies"] if event["backend_fn"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="of each kind (default 2000)")
    cases = parser.parse_args().cases
    from hosted import hosted, http_client, small_race

    with hosted() as (address, models):
        client = http_client(address)
        config = client.get("/config").json()
        race = next(d["id"] for d in config["dependencies"] if d["api_name"] == "race")
        print(fuzz_traces(small_race(models.pair), cases), "traces")
        print(fuzz_races(client, race, cases), "calls of /race")
        print(fuzz_events(client, inputs_of(config), cases), "calls of all events")
        print("in the queue afterwards:", models.in_queue)


if __name__ == "__main__":
    main()
