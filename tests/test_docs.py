"""The links in the documentation and the files that it names."""

import json
import re
from pathlib import Path

import pytest
from test_architecture import LAYERS

from adaedl.cli.bench_markdown import markdown_table
from adaedl.version import __version__

PROJECT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *PROJECT.glob("*.md"),
        *PROJECT.glob("docs/*.md"),
        *PROJECT.glob("examples/*.md"),
        PROJECT / "assets" / "drafter.md",
    ]
)
FOLDERS = ("adaedl", "assets", "components", "docs", "examples", "tests")


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings on GitHub."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_on_a_page_has_a_target(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if ":" in target:
            continue  # another site
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not fragment or fragment in anchors(file), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    # A guide also names the new files that its reader creates.
    new = set(re.findall(r"New file `([^`]+)`", page.read_text("utf-8")))
    for name in re.findall(r"`([\w./-]+)`", prose(page)):
        if name.split("/")[0] in FOLDERS and "/" in name and name not in new:
            assert (PROJECT / name).exists(), f"{page.name} names {name}"


def test_the_architecture_page_lists_the_layers():
    page = (PROJECT / "docs" / "architecture.md").read_text("utf-8")
    [order] = re.findall(r"^    (errors, .*?)\n\n", page, re.DOTALL | re.MULTILINE)
    documented = [set(re.findall(r"[\w/]+", layer)) for layer in order.split("<")]
    commands = LAYERS[-1]  # they import the whole page
    names = [{name.removeprefix("adaedl.").replace(".", "/") for name in layer} for layer in LAYERS]
    assert documented == [layer - {"__main__"} for layer in names[:-1]]
    assert all(name.startswith("components.") for name in commands)


def rows_by_pair(table: str) -> dict[str, list[list[str]]]:
    """Return the rows of a bench table below the name of each pair, as cells without tokens/s or specs."""
    rows: dict[str, list[list[str]]] = {}
    for line in re.findall(r"^\| (.*) \|$", table, re.MULTILINE):
        name, *cells = line.split(" | ")
        if pair := re.match(r"\*\*([\w-]+)", name):
            rows[pair[1]] = []
        elif rows:
            speedups = [re.sub(r" \(\d+\)", "", cell) for cell in cells]
            rows[list(rows)[-1]].append([name.split(", `")[0], *speedups])
    return rows


def test_the_tables_of_several_pairs_are_the_published_results():
    result = PROJECT / "docs" / "bench-pairs.json"
    table = markdown_table(result.read_text("utf-8"), result.name)
    assert table in (PROJECT / "docs" / "performance.md").read_text("utf-8")
    _, _, speed = (PROJECT / "README.md").read_text("utf-8").partition("## How fast it is")
    short, whole = rows_by_pair(speed), rows_by_pair(table)
    assert short.keys() == whole.keys()
    for pair, rows in short.items():
        assert rows == [row for row in whole[pair] if row[0] in [name for name, *_ in rows]], pair


def test_the_changelog_names_the_version():
    assert __version__ in (PROJECT / "CHANGELOG.md").read_text("utf-8")


def test_the_questions_are_those_of_the_page_and_take_at_most_two_clicks():
    texts = json.loads((PROJECT / "assets" / "text" / "en.json").read_text("utf-8"))
    page = (PROJECT / "docs" / "questions.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]
    rows = [row for row in rows if row[0].isdecimal()]
    assert [int(number) for number, *_ in rows] == list(range(1, 13))
    assert all(int(clicks) <= 2 for _, _, clicks, _ in rows)
    assert [question for _, question, *_ in rows[:5]] == [texts[f"learn.{step}.ask"] for step in range(1, 6)]
    assert set(re.findall(r"\*\*(.+?)\*\*", page)) <= set(texts.values())
