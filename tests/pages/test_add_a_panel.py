"""Follow docs/add-a-panel.md literally in a copy of the project, and check the tab that it adds."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import context_of, free_port, tab
from playwright.sync_api import Browser, Page, expect

PROJECT = Path(__file__).resolve().parents[2]
GUIDE = PROJECT / "docs" / "add-a-panel.md"
EXAMPLES = PROJECT / "assets" / "examples"
SERVE = """
import sys
from components.pages.page import build_page
from components.serving.launch import launch
from components.serving.models_state import ModelsState
from adaedl.pairs.presets import DEFAULT_PAIR

models = ModelsState(DEFAULT_PAIR)
launch(build_page(models), models, quiet=True, server_port=int(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""


def steps(guide: str) -> Iterator[tuple[str, str, str]]:
    """Yield each block of the guide that changes a file: the path, the block's language and its text."""
    path = None
    for named, language, text in re.findall(
        r"(?:New file|In) `([^`]+)`:|```(\w+)\n(.*?)```", guide, re.DOTALL
    ):
        path = named or path
        if not named:
            yield path, language, text


def follow(guide: str, project: Path) -> None:
    """Create the guide's new files and make its edits."""
    for path, language, text in steps(guide):
        file = project / path
        if language == "diff":
            lines = text.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] == " ")
            source = file.read_text("utf-8")
            assert source.count(before) == 1, (
                f"{GUIDE.name} edits lines of {path} that do not exist:\n{before}"
            )
            file.write_text(source.replace(before, "".join(line[1:] for line in lines)), "utf-8")
        else:
            assert not file.exists(), f"{GUIDE.name} calls {path} a new file"
            file.write_text(text, "utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of what the page needs of the project; parts that the guide does not change are links."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(PROJECT / "components", copy / "components")
    (copy / "assets").mkdir()
    for path in (PROJECT / "assets").iterdir():
        if path.name in ("js", "text"):
            shutil.copytree(path, copy / "assets" / path.name)
        else:
            (copy / "assets" / path.name).symlink_to(path)
    (copy / "adaedl").symlink_to(PROJECT / "adaedl")
    return copy


@pytest.fixture(scope="module")
def address(copy) -> str:
    """The address of the copy's page, after the guide has been followed."""
    follow(GUIDE.read_text("utf-8"), copy)
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port)],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}"
        server.stdin.close()
        server.wait(60)


@pytest.mark.parametrize(("locale", "line"), [("en-US", "{}: {} tokens per target pass"), ("zh-CN", "{}：")])
def test_the_guides_panel_shows_a_recorded_race(address, browser: Browser, locale, line):
    with tab(context_of(browser, locale=locale)) as page:
        page.goto(f"{address}/#rounds")
        check_recorded_race(page, locale, line)


def check_recorded_race(page: Page, locale: str, line: str) -> None:
    [example, *_] = json.loads((EXAMPLES / "index.json").read_text("utf-8"))
    trace = json.loads((EXAMPLES / example["file"]).read_text("utf-8"))
    expect(page.locator("#rounds h2")).to_have_text(example["title"][locale[:2]])
    items = page.locator("#rounds li")
    expect(items).to_have_count(len(trace["lanes"]))
    for item, lane in zip(items.all_text_contents(), trace["lanes"], strict=True):
        tokens = len(lane["token_ids"]) / len(lane["rounds"])
        assert item.startswith(line.format(lane["label"], f"{tokens:.2f}"))
        assert f"{tokens:.2f}" in item
