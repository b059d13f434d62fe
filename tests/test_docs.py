"""The documentation's links and the files that it names."""

import re
import tomllib
from pathlib import Path

import pytest
from test_architecture import LAYERS

PROJECT = Path(__file__).resolve().parents[1]
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), PROJECT / "assets" / "drafter.md"])
FOLDERS = ("adaedl", "assets", "components", "docs", "tests")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings have on GitHub."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if ":" in target:
            continue  # another site
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not fragment or fragment in anchors(file), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page):
    """A guide to additions names the files that it adds."""
    new = set(re.findall(r"New file `([^`]+)`", page.read_text("utf-8")))
    for name in re.findall(r"`([\w./-]+)`", prose(page)):
        if name.split("/")[0] in FOLDERS and "/" in name and name not in new:
            assert (PROJECT / name).exists(), f"{page.name} names {name}"


def test_the_architecture_page_shows_the_layers_that_the_import_graph_has():
    page = (PROJECT / "docs" / "architecture.md").read_text("utf-8")
    [order] = re.findall(r"^    (errors .*?)\n\n", page, re.DOTALL | re.MULTILINE)
    shown = [set(re.findall(r"[\w/]+", layer)) for layer in order.split("<")]
    commands = LAYERS[-1]  # which import the whole page
    names = [{name.removeprefix("adaedl.").replace(".", "/") for name in layer} for layer in LAYERS]
    assert shown == [layer - {"__main__"} for layer in names[:-1]]
    assert all(name.startswith("components.") for name in commands)


def test_the_changelog_names_the_version():
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert version in (PROJECT / "CHANGELOG.md").read_text("utf-8")
