"""Measure the cost of opening the page: transferred bytes, requests, layout shift and the longest task.

`python tests/page_weight.py` opens the page on a tiny pair, and then plays six lanes, for which it measures
the longest task of the browser too. `--requests` lists the requests.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from hosted import hosted  # noqa: E402

from components.bench import task_times  # noqa: E402
from components.chromium import chromium  # noqa: E402
from components.parts import assets  # noqa: E402
from components.parts.folders import ASSETS  # noqa: E402

LANES = 6
PLAYED_MS = 4000
QUIET_MS = 1000  # the time without a request before the requests are counted
PATIENCE_MS = 60_000
# Records the page's layout shifts from the beginning.
WATCH = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) {
    if (each.hadRecentInput) continue;
    const moved = each.sources.map(({ node }) => node?.id || node?.className || node?.nodeName);
    window.shifts.push({ at: each.startTime, value: each.value, moved: moved.map(String) });
  }
}).observe({ type: "layout-shift", buffered: true });
"""


class Requests:
    """A page's requests, as the browser's network layer counts them."""

    def __init__(self, page: Page):
        self.session = page.context.new_cdp_session(page)
        self.addresses: dict[str, str] = {}
        self.sizes: dict[str, int] = {}  # transferred bytes of the responses, headers included
        self.session.send("Network.enable")
        self.session.on("Network.requestWillBeSent", self._sent)
        self.session.on("Network.dataReceived", self._received)
        self.session.on("Network.loadingFinished", self._finished)

    def _sent(self, event: dict) -> None:
        if event["request"]["url"].startswith("http"):
            self.addresses[event["requestId"]] = event["request"]["url"]

    def _received(self, event: dict) -> None:  # counts streams, which do not finish
        self.sizes[event["requestId"]] = self.sizes.get(event["requestId"], 0) + event["encodedDataLength"]

    def _finished(self, event: dict) -> None:
        self.sizes[event["requestId"]] = event["encodedDataLength"]

    @property
    def largest_first(self) -> list[tuple[int, str]]:
        return sorted(
            ((int(self.sizes.get(name, 0)), url) for name, url in self.addresses.items()), reverse=True
        )


@contextmanager
def weighed(browser: Browser, address: str, **options) -> Iterator[tuple[Page, Requests]]:
    """Open the page; when it sends no more requests, yield it with its requests."""
    context = browser.new_context(
        **{"viewport": {"width": 1440, "height": 900}, "locale": "en-US", **options}
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.add_init_script(WATCH)
    requests = Requests(page)
    page.goto(address)
    page.wait_for_selector("#player .lane .tape [data-column]")
    count = -1
    while count < len(requests.addresses):
        count = len(requests.addresses)
        page.wait_for_timeout(QUIET_MS)
    yield page, requests
    context.close()


def opening(page: Page, requests: Requests, address: str) -> dict:
    """Return the measurements of a page that `weighed` has opened."""
    (html,) = [size for size, url in requests.largest_first if url.rstrip("/") == address.rstrip("/")]
    return {
        "html_bytes": html,
        "bytes": sum(size for size, _ in requests.largest_first),
        "requests": len(requests.addresses),
        "layout_shift": round(layout_shift(page.evaluate("window.shifts")), 4),
    }


def layout_shift(shifts: list[dict]) -> float:
    """Return the largest sum of shifts in a session: at most a second between two shifts, five in total."""
    sums = [0.0]
    start = last = -10_000.0
    for shift in shifts:
        if shift["at"] - last > 1000 or shift["at"] - start > 5000:
            start = shift["at"]
            sums.append(0.0)
        last = shift["at"]
        sums[-1] += shift["value"]
    return max(sums)


def play_six_lanes(page: Page) -> None:
    """Play a recorded race, extended to six lanes, from its beginning."""
    file = json.loads((ASSETS / "examples" / "index.json").read_text("utf-8"))[0]["file"]
    page.evaluate(
        """async ([address, lanes]) => {
            const trace = await (await fetch(address)).json();
            const { length } = trace.lanes;
            trace.lanes = Array.from({ length: lanes }, (_, number) => trace.lanes[number % length]);
            document.dispatchEvent(new CustomEvent("adaedl:open", { detail: { trace } }));
        }""",
        [f"{assets.address()}/examples/{file}", LANES],
    )
    page.wait_for_timeout(PLAYED_MS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", action="store_true", help="list the requests and the layout shifts")
    options = parser.parse_args()
    with hosted() as (address, _), sync_playwright() as playwright, chromium(playwright) as browser:
        browser.start_tracing(categories=["toplevel"])
        with weighed(browser, address) as (page, requests):
            result = opening(page, requests, address)
            result["longest_task_cpu_ms"] = round(max(task_times(browser.stop_tracing())))
            shifts = page.evaluate("window.shifts")
            browser.start_tracing(categories=["toplevel"])
            play_six_lanes(page)
            result["six_lanes_longest_task_cpu_ms"] = round(max(task_times(browser.stop_tracing())))
        if options.requests:
            for size, url in requests.largest_first:
                print(f"{size:9,} {url.removeprefix(address)}")
            for shift in shifts:
                print(f"{shift['value']:.4f} at {shift['at']:.0f} ms: {', '.join(shift['moved'])}")
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
