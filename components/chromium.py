"""The Chromium that benches, figures and tests of the page use, and what they share in operating gradio's
pages. The caller brings playwright."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright


def chromium(playwright: Playwright) -> Browser:
    """Launch a headless Chromium: the one that CHROMIUM names, the machine's own, or playwright's."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    return playwright.chromium.launch(executable_path=found, args=arguments)


def open_accordion(page: Page, selector: str) -> None:
    """Open a closed gradio accordion, ready to type into its fields.

    One frame after gradio first shows these components, it sets their initial values once more, which would
    erase anything typed by then, as only a program can.
    """
    page.click(f"{selector} > button")
    page.locator(f"{selector} :is(input, textarea)").first.wait_for()
    for _ in range(5):
        page.evaluate("() => new Promise(requestAnimationFrame)")


def run_linked(page: Page) -> None:
    """Start the race that a link has set up, once the page waits for that."""
    page.click("#run[data-called]")
