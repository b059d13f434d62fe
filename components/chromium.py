"""The Chromium that benches, drawings and tests of the page use. Whoever launches it brings playwright."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright


def chromium(playwright: Playwright) -> Browser:
    """A headless Chromium: the one that CHROMIUM names, the machine's own, or playwright's."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    return playwright.chromium.launch(executable_path=found, args=arguments)
