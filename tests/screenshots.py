"""Remake the pictures in assets/screenshots: python tests/screenshots.py [race explore …]

These are every page in both themes and languages, at the size of a monitor, a projector and a phone, and an
animation of the race that plays when the page opens (race.webp). With names of pages, only those are remade.
"""

import io
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from scipy.spatial import KDTree

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from adaedl.pairs.presets import DEFAULT_PAIR  # noqa: E402
from components.chromium import chromium  # noqa: E402
from components.pages.page import build_page  # noqa: E402
from components.serving.launch import launch  # noqa: E402
from components.serving.models_state import ModelsState  # noqa: E402

FOLDER = PROJECT / "assets" / "screenshots"
SIZES = ((1440, 900), (1024, 576), (390, 844))
THEMES = ("light", "dark")
LANGUAGES = {"en-US": "", "zh-CN": "-zh"}  # locale → suffix of the picture's name
ROUNDS, PHASES = 9, 3  # the position in the race
COLOURS = 128  # enough for the page's flat colours, with two thirds of the bytes
PREVIEW = "race-light-1440"  # a PNG, which every program that previews links can read; the others are WebP
FRAMES, FRAME_MS = 26, 600  # of the animation
FRAME_SIZE = (1024, 576)


def race(page: Page) -> None:
    """Pause the first recorded race within a round and select a token."""
    page.wait_for_selector("#player .tape [data-column]")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Home")
    for _ in range(ROUNDS):
        page.keyboard.press("Shift+ArrowRight")
    for _ in range(PHASES):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    page.locator("#player .lane[data-followed] .tape [data-column]:not([data-state=absent])").last.click()
    page.wait_for_timeout(2000)  # figures are drawn one after the other
    page.evaluate("scrollTo(0, 0)")


def lecture(page: Page) -> None:
    """Show a round of the first recorded race at its verification."""
    page.wait_for_timeout(2500)
    for _ in range(ROUNDS):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(1000)


def still(page: Page) -> None:
    page.wait_for_timeout(4500)


# Name of a page → its address, and the preparation for its picture.
PAGES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "race": ("", race),
    "lecture": ("?lecture", lecture),
    "explore": ("#explore", still),
    "sweep": ("#sweep", still),
    "calibration": ("#calibration", still),
    "learn": ("#learn", still),
}


def take(context: BrowserContext, address: str, name: str) -> Image.Image:
    """Take one picture of a page."""
    target, prepare = PAGES[name]
    page = context.new_page()
    page.goto(f"{address}{target}")
    prepare(page)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    page.close()
    return picture


def save(picture: Image.Image, title: str) -> None:
    """Save a picture with its most frequent colours."""
    picture = flattened(picture)
    if title == PREVIEW:
        picture.quantize(COLOURS).save(FOLDER / f"{title}.png", optimize=True)
    else:
        picture.save(FOLDER / f"{title}.webp", lossless=True, quality=100, method=5)


def flattened(picture: Image.Image) -> Image.Image:
    """Return a picture in its most frequent colours. The others, at the edges of letters, become those."""
    pixels = np.asarray(picture).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, inverse, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    channels = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
    frequent = channels[np.argsort(-counts)[:COLOURS]]
    _, nearest = KDTree(frequent).query(channels)
    return Image.fromarray(frequent[nearest][inverse].reshape(*pixels.shape, 3).astype(np.uint8))


def animate(browser: Browser, address: str) -> None:
    """Record the race that plays when the page opens, from its beginning."""
    width, height = FRAME_SIZE
    page = browser.new_page(viewport={"width": width, "height": height}, locale="en-US")
    page.goto(f"{address}?__theme=light")
    page.wait_for_selector("#player .tape [data-column]")
    frames = []
    for _ in range(FRAMES):
        frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        page.wait_for_timeout(FRAME_MS)
    page.close()
    first, *others = frames
    first.save(
        FOLDER / "race.webp",
        save_all=True,
        append_images=others,
        duration=FRAME_MS,
        loop=0,
        quality=45,
        method=5,
    )


def main() -> None:
    models = ModelsState(DEFAULT_PAIR)
    demo = build_page(models)
    _, address, _ = launch(demo, models, quiet=True)
    models.load(models.default).result()
    FOLDER.mkdir(exist_ok=True)
    names = sys.argv[1:] or list(PAGES)
    with sync_playwright() as playwright, chromium(playwright) as browser:
        for (width, height), theme, (language, end) in product(SIZES, THEMES, LANGUAGES.items()):
            size = {"width": width, "height": height}
            context = browser.new_context(
                viewport=size, reduced_motion="reduce", locale=language, color_scheme=theme
            )
            for name in names:
                save(take(context, address, name), f"{name}-{theme}-{width}{end}")
            context.close()
        if "race" in names:
            animate(browser, address)
    demo.close()


if __name__ == "__main__":
    main()
