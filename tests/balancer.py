"""Check two replicas behind nginx, configured as in docs/scaling.md.

`python tests/balancer.py` reads the configuration from the docs, starts nginx (which must be installed) in
front of two replicas with a tiny pair, and sends browsers and other clients through it. It checks that each
browser stays on one replica, that races arrive round by round, that large files get through, and that a page
reloads on the other replica when its own is gone. It prints its observations and exits with 1 if a check
fails.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import expect, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from browsing import free_port  # noqa: E402
from fuzz import events  # noqa: E402
from hosted import client_of, hosted, until  # noqa: E402
from visitors import race  # noqa: E402

from adaedl.pairs.presets import DEFAULT_PAIR  # noqa: E402
from components.chromium import chromium, run_linked  # noqa: E402

BROWSERS = 24
REQUESTS = 6  # by each browser
UPLOAD = 20 * 10**6  # bytes


def documented_configuration() -> str:
    """Return the nginx configuration in docs/scaling.md."""
    lines = (PROJECT / "docs" / "scaling.md").read_text("utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("    map $uri"))
    block = []
    for line in lines[first:]:
        if line and not line.startswith("    "):
            break
        block.append(line)
    return "\n".join(block)


@contextmanager
def balanced(replicas: list[str]):
    """Start nginx for these replicas, configured as in the docs, with a header that names the replica that
    answered; yield its address."""
    port = free_port()
    text = documented_configuration().replace("listen 80;", f"listen 127.0.0.1:{port};")
    for number, address in enumerate(replicas, start=1):
        text = text.replace(f"10.0.0.{number}:7860", address.removeprefix("http://"))
    text = text.replace("location / {", "location / {\n add_header X-Replica $upstream_addr always;")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # if root starts nginx, its workers run as another user
        paths = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (Path(folder) / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/errors;\n"
            f"events {{}}\nhttp {{ access_log off;\n{paths}{text}\n}}\n"
        )
        nginx = subprocess.Popen(["nginx", "-e", f"{folder}/errors", "-c", f"{folder}/nginx.conf"])
        try:
            until(lambda: nginx.poll() is not None or _answers(f"http://127.0.0.1:{port}/healthz"), 20)
            yield f"http://127.0.0.1:{port}"
        finally:
            nginx.terminate()
            nginx.wait(10)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


def browsers_stay(address: str) -> Counter:
    """Check that every browser stays on one replica; return how many browsers each replica got."""
    browsers = Counter()
    for _ in range(BROWSERS):
        with httpx.Client(base_url=address) as browser:
            replicas = {browser.get(path).headers["X-Replica"] for path in ["/", *["/config"] * REQUESTS]}
        assert len(replicas) == 1, f"a browser was sent to {replicas}"
        browsers.update(replicas)
    assert len(browsers) == 2, f"all browsers were sent to {set(browsers)}"
    return browsers


def rounds_stream(address: str) -> int:
    """Check that a race is streamed; return how many parts of it arrived before its end."""
    with httpx.Client(base_url=address, timeout=60) as client:
        config = client.get("/config").json()
        index = next(event["id"] for event in config["dependencies"] if event["api_name"] == "race")
        values = ["w1 w2 w3", "autoregressive,adaedl", 0.7, 48, 0, "shared_noise", 0, 1.0, DEFAULT_PAIR]
        stream = events(client, {"data": values, "fn_index": index})
    parts = [event for event in stream if event["msg"] == "process_generating"]
    assert stream[-1]["msg"] == "process_completed"
    assert len(parts) > 1, "the race came all at once"
    return len(parts)


def client_races(address: str) -> int:
    """Run a race with gradio_client, which keeps no cookies; return its number of tokens."""
    trace = race(client_of(address), "w1 w2", seed=5, tokens=16)["trace"]
    return sum(len(lane["token_ids"]) for lane in trace["lanes"])


def uploads(address: str) -> int:
    """Upload a large file; return its size."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(b" " * UPLOAD)
        file.flush()
        with open(file.name, "rb") as content:
            answer = httpx.post(f"{address}/gradio_api/upload", files={"files": content}, timeout=60)
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:200]}"
    return UPLOAD


def page_moves(address: str, replicas: dict[str, ExitStack]) -> str:
    """Race in a browser's tab, stop its replica, and race on the other one; return both addresses."""
    with sync_playwright() as playwright, chromium(playwright) as browser:
        page = browser.new_context(locale="en-US").new_page()
        answer = page.goto(f"{address}/?prompt=w1&max_new_tokens=8&lanes=autoregressive,adaedl")
        run_linked(page)
        own = f"http://{answer.header_value('X-Replica')}"
        expect(page.locator("#status")).to_contain_text("Finished", timeout=60_000)
        replicas[own].close()
        answer = page.reload()
        other = f"http://{answer.header_value('X-Replica').split(', ')[-1]}"
        assert other != own
        expect(page.locator("#status")).to_contain_text("The server no longer has", timeout=60_000)
        page.click("#run")
        expect(page.locator("#status")).to_contain_text("Finished", timeout=60_000)
    return f"{own} to {other}"


def main() -> None:
    with ExitStack() as stack:
        replicas = {}
        for _ in range(2):
            replica = stack.enter_context(ExitStack())
            replicas[replica.enter_context(hosted())[0]] = replica
        address = stack.enter_context(balanced(list(replicas)))
        observed = {
            "browsers by replica": dict(browsers_stay(address)),
            "parts of a race that came before its end": rounds_stream(address),
            "tokens of a race by gradio_client": client_races(address),
            "bytes of a file that got through": uploads(address),
            "a page whose replica is gone moved from": page_moves(address, replicas),
        }
    print(json.dumps(observed, indent=1))


if __name__ == "__main__":
    main()
