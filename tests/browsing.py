"""Helpers for tests of pages in a real browser."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal

import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from components.parts import assets


def free_port() -> int:
    """Return a port that no process uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# Clears the tab's session storage once the page has stored its values on leaving (assets/js/kept.js).
FORGET = """() => {
    const forget = () => sessionStorage.clear();
    addEventListener("pagehide", forget);
    document.addEventListener("visibilitychange", forget);
}"""

WAIT = 120_000  # milliseconds that a page on a busy machine has for each step

_contexts: dict[tuple[Browser, str], BrowserContext] = {}
_idle: dict[BrowserContext, list[Page]] = {}
_used: dict[BrowserContext, list[Page]] = {}


def context_of(browser: Browser, **options) -> BrowserContext:
    """Return the context that all tests with these options share until the browser ends, so that it fetches
    the page's files only once."""
    key = (browser, repr(sorted(options.items())))
    if key not in _contexts:
        _contexts[key] = browser.new_context(**options)
    return _contexts[key]


@contextmanager
def tab(
    context: BrowserContext, motion: bool = False, script: str = "", console: bool = True
) -> Iterator[Page]:
    """Yield a blank tab, in which `script` runs at the beginning of every page. Errors of scripts fail the
    test; with `console`, so do errors in the console, such as a failed request.

    Tests reuse tabs one after another, because a new tab compiles the page's scripts again, which takes
    seconds.
    """
    idle, used = _idle.setdefault(context, []), _used.setdefault(context, [])
    page = idle.pop() if idle and not script else context.new_page()
    page.set_default_timeout(WAIT)  # a reused tab has an earlier test's
    used.append(page)
    page.bring_to_front()  # a tab in the background seldom draws, and gets no keys
    size = page.viewport_size
    if script:
        page.add_init_script(script)
    page.emulate_media(reduced_motion="no-preference" if motion else "reduce")
    complaints = []
    listeners = {"pageerror": lambda error: complaints.append(str(error))}
    if console:
        listeners["console"] = lambda line: complaints.append(line.text) if line.type == "error" else None
    for event, listener in listeners.items():
        page.on(event, listener)
    try:
        yield page
    except BaseException:
        page.close()
        raise
    finally:
        used.remove(page)
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    if script or page.is_closed():
        page.close()
    else:
        _leave(page)
        page.set_viewport_size(size)
        idle.append(page)
    if used:
        used[-1].bring_to_front()
    assert not complaints, complaints


def _leave(page: Page) -> None:
    """Leave the tab's page, and keep nothing of it for the tab's next page."""
    page.unroute_all()
    if page.url.startswith("http"):
        page.evaluate(FORGET)
    page.goto("about:blank")
    page.mouse.move(0, 0)


@contextmanager
def serve(html: str) -> Iterator[str]:
    """Serve the browser's files and one page; yield its address."""
    app = Starlette(routes=[Route("/", lambda _: HTMLResponse(html)), *assets.routes()])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.socket() as listener:  # which no other process can take
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(10)


def rounded(value: float, unit: str) -> Decimal:
    """Round a number like JavaScript, where halves are rounded up."""
    return Decimal(value).quantize(Decimal(unit), ROUND_HALF_UP)


def violations(page: Page) -> list[tuple]:
    """Return axe-core's violations of WCAG 2.1 A and AA, except those in gradio's footer."""
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"], "resultTypes": ["violations"]}
    rules = Axe().run(page, context={"exclude": [["footer"]]}, options=options).response["violations"]
    return [(rule["id"], node["target"], node["failureSummary"]) for rule in rules for node in rule["nodes"]]
