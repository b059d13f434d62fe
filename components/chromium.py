"""Drive the page in Chromium for benches, figures and tests. The caller imports playwright."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright


def chromium(playwright: Playwright) -> Browser:
    """Launch a headless Chromium: the one that CHROMIUM names, the machine's own, or playwright's."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    return playwright.chromium.launch(executable_path=path, args=arguments)


def open_accordion(page: Page, selector: str) -> None:
    """Open a closed gradio accordion, ready to type into its fields.

    One frame after gradio first shows these components, it sets their initial values again. This would erase
    text that a program, faster than any visitor, has typed by then.
    """
    page.click(f"{selector} > button")
    page.locator(f"{selector} :is(input, textarea)").first.wait_for()
    for _ in range(5):
        page.evaluate("() => new Promise(requestAnimationFrame)")


def open_setup(page: Page) -> None:
    """Open the drawer of a race's settings, unless it is open."""
    if not page.locator("#setup").is_visible():
        page.click("#set-up")


def run_linked(page: Page) -> None:
    """Start the race that a link has set up, once the page is ready for it."""
    page.click("#run[data-called]")
