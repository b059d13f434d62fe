"""Remakes the pictures of assets/screenshots: python tests/screenshots.py

The first recorded race, stopped within a round, in both themes, on a projector and on a phone.
"""

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from adaedl.pairs.presets import DEFAULT_PAIR  # noqa: E402
from components.chromium import chromium  # noqa: E402
from components.pages.page import build_page  # noqa: E402
from components.serving.launch import launch  # noqa: E402
from components.serving.models_state import ModelsState  # noqa: E402

FOLDER = PROJECT / "assets" / "screenshots"
SIZES = {1440: 1400, 390: 1500}  # width: height
ROUNDS, PHASES = 12, 3  # how far into the race


def take(page: Page, address: str, theme: str, file: Path) -> None:
    """One picture of the page."""
    page.goto(f"{address}?__theme={theme}")
    page.wait_for_selector(".models[data-phase=ready]", timeout=300_000)
    page.wait_for_selector("#player .tape [data-column]")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Home")
    for _ in range(ROUNDS):
        page.keyboard.press("Shift+ArrowRight")
    for _ in range(PHASES):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    page.locator("#player .lane[data-followed] .tape [data-column]:not([data-state=absent])").last.click()
    page.wait_for_timeout(2500)  # figures take turns
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=file)


def main() -> None:
    models = ModelsState(DEFAULT_PAIR)
    demo = build_page(models)
    _, address, _ = launch(demo, models, quiet=True)
    models.load(models.default).result()
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright, chromium(playwright) as browser:
        for width, height in SIZES.items():
            for theme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": width, "height": height}, reduced_motion="reduce", locale="en-US"
                )
                take(page, address, theme, FOLDER / f"race-{theme}-{width}.png")
                page.close()
    demo.close()


if __name__ == "__main__":
    main()
