"""Walk through a running page in WebKit, the engine of Safari: python tests/webkit.py [URL [FOLDER]]

Opens every page, in both themes and at three sizes, runs a race, steps through a lecture, and plays a race
from an HTML file. Prints the errors in WebKit's console, saves a picture of each step in FOLDER, and ends
with 1 if there was an error. It needs Debian's packages webkit2gtk-driver and xvfb, and selenium:

    apt install webkit2gtk-driver xvfb && pip install selenium
    python app.py &
    xvfb-run -a python tests/webkit.py http://127.0.0.1:7860
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from selenium.webdriver import ActionChains, Keys, WebKitGTK
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from adaedl.html import to_html  # noqa: E402
from adaedl.trace import Trace  # noqa: E402

DRIVER = "/usr/bin/WebKitWebDriver"
BROWSER = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser"
DRAWN_S = 2  # seconds until figures and transitions are drawn
PATIENCE = 120  # seconds for a page to show what a step waits for
SIZES = ((1440, 900), (1024, 576), (390, 844))
TABS = {  # and what is visible once a page is drawn
    "Explore": "#tab-explore svg",
    "Sweep": "#tab-sweep table",
    "Calibration": "#tab-calibration .headline",
    "Learn": "#tab-learn h2",
    "Race": "#player .lane",
}


class Walk:
    """A WebKit browser that opens pages and takes pictures."""

    def __init__(self, address: str, folder: Path, console: Path):
        options = Options()
        options.binary_location = BROWSER
        for argument in ("--automation", "--enable-write-console-messages-to-stdout=true"):
            options.add_argument(argument)
        self.address, self.folder = address.rstrip("/"), folder
        self._console = console.open("w")
        self.browser = WebKitGTK(options=options, service=Service(DRIVER, log_output=self._console))

    def open(self, path: str, selector: str) -> None:
        self.browser.get(path if "://" in path else f"{self.address}/{path}")
        self.see(selector)

    def see(self, selector: str) -> None:
        """Wait until something that the selector names is visible."""
        self.until(lambda _: any(node.is_displayed() for node in self.all(selector)))

    def all(self, selector: str) -> list:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def until(self, condition: Callable) -> None:
        WebDriverWait(self.browser, PATIENCE).until(condition)

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            ActionChains(self.browser).send_keys(key).perform()

    def picture(self, name: str) -> None:
        time.sleep(DRAWN_S)
        self.browser.save_screenshot(str(self.folder / f"{name}.png"))

    def end(self) -> None:
        self.browser.quit()
        self._console.close()


def every_page(walk: Walk) -> None:
    for theme in ("light", "dark"):
        for width, height in SIZES:
            walk.browser.set_window_size(width, height)
            walk.open(f"?__theme={theme}", "#player .lane")
            walk.picture(f"race-{theme}-{width}")
            for name, selector in TABS.items():
                walk.all(f"#tab-{name.lower()}-button")[0].click()
                walk.see(selector)
                walk.picture(f"{name.lower()}-{theme}-{width}")


def a_race(walk: Walk) -> None:
    walk.browser.set_window_size(*SIZES[0])
    walk.open("#prompt=Count+to+ten.&lanes=autoregressive,adaedl&max_new_tokens=16", "#run[data-called]")
    walk.all("#run")[0].click()
    walk.until(lambda _: "Finished" in walk.all("#status")[0].text)
    walk.see("#player .written")
    walk.picture("after-run")


def a_lecture(walk: Walk) -> None:
    walk.open("?lecture", ".lecture")
    walk.press(Keys.ARROW_RIGHT, 4)
    walk.picture("lecture")


def a_file(walk: Walk) -> None:
    trace = Trace.from_json((PROJECT / "assets" / "examples" / "counting.json").read_bytes())
    file = walk.folder / "race.html"
    file.write_text(to_html(trace), "utf-8")
    walk.open(file.as_uri(), ".lane")
    walk.picture("file")


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860"
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="webkit-"))
    folder.mkdir(exist_ok=True)
    console = folder / "console.txt"
    walk = Walk(address, folder, console)
    failed = []
    try:
        for step in (every_page, a_race, a_lecture, a_file):
            try:
                step(walk)
            except Exception as error:
                walk.picture(f"failed-{step.__name__}")
                failed.append(f"{step.__name__}: {error}")
    finally:
        walk.end()
    complaints = [line for line in console.read_text("utf-8").splitlines() if "ERROR" in line]
    print(*failed, *complaints, f"Pictures and the console's output are in {folder}.", sep="\n")
    sys.exit(bool(failed or complaints))


if __name__ == "__main__":
    main()
