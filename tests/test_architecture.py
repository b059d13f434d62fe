"""What may import what: no module imports from a higher layer, and no modules import each other in a circle.

`python tests/test_architecture.py` prints the import graph, layer by layer.
"""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# Lowest first. A name stands for a module, or for a package with all that is in it.
LAYERS = (
    ("adaedl.errors",),
    ("adaedl.system",),
    ("adaedl.stopping",),
    (
        *("adaedl.trace", "adaedl.request", "adaedl.draft_phase", "adaedl.noise", "adaedl.sampling"),
        *("adaedl.times", "adaedl.timing", "adaedl.metrics", "adaedl.statistics", "adaedl.text_difference"),
    ),
    ("adaedl.models",),
    ("adaedl.pairs",),
    ("adaedl.decoding",),
    ("adaedl.race",),
    ("adaedl.replay",),
    ("adaedl.measure",),
    ("adaedl.distill",),
    ("adaedl.cli", "adaedl.__main__"),
    ("components.settings",),
    ("components.parts",),
    ("components.serving",),
    ("components.pages",),
    ("app",),
    (
        *("components.bench", "components.explore_bench", "components.races", "components.recordings"),
        *("components.study_figures", "components.chromium"),
    ),
)
PACKAGES = {"adaedl", "components"}  # their own modules hold nothing but a version

Graph = dict[str, set[str]]


@cache
def sources() -> dict[str, Path]:
    """Every module of the engine and the page, by name."""
    files = [path for package in sorted(PACKAGES) for path in (PROJECT / package).rglob("*.py")]
    return {module_name(path): path for path in [*files, PROJECT / "app.py"]}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def imported_by(name: str, code: str, known: set[str]) -> set[str]:
    """Which of the known modules a module imports, inside functions and for type checkers alone too."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relative to itself"
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in known else node.module for part in parts}
    return found & known - {name}


@cache
def import_graph() -> Graph:
    """Module → the modules that it imports."""
    modules = sources()
    return {name: imported_by(name, path.read_text("utf-8"), set(modules)) for name, path in modules.items()}


def layer_of(module: str) -> int | None:
    """The number of a module's layer, 0 for the lowest; None where it has none."""
    if module in PACKAGES:
        return 0
    names = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    while module and module not in names:
        module = module.rpartition(".")[0]
    return names.get(module)


def arrows(graph: Graph) -> set[tuple[str, str]]:
    return {(module, other) for module, others in graph.items() for other in others}


def upward(graph: Graph) -> list[str]:
    return sorted(f"{a} → {b}" for a, b in arrows(graph) if layer_of(b) > layer_of(a))


def circle(graph: Graph) -> list[str]:
    """The modules of one circle, in the order of its arrows; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return []


def listing(graph: Graph) -> str:
    """The graph as text, the lowest layer first."""
    lines = []
    for number, layer in enumerate(LAYERS):
        lines.append(f"\n{number}. {', '.join(layer)}")
        for name in sorted(name for name in graph if name not in PACKAGES and layer_of(name) == number):
            lines.append(f"   {name} → {', '.join(sorted(graph[name])) or '(nothing)'}")
    return "\n".join(lines)


def test_every_module_has_a_layer():
    assert [name for name in sorted(sources()) if layer_of(name) is None] == []


def test_no_module_imports_from_a_higher_layer():
    print(listing(import_graph()))
    assert upward(import_graph()) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circle(import_graph()) == []


def test_imports_are_found_wherever_they_stand():
    code = """
import adaedl.errors
from adaedl import race
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from adaedl.pairs.pair import Pair
def late():
    from adaedl.decoding import decode
"""
    known = {"adaedl", "adaedl.errors", "adaedl.race", "adaedl.pairs.pair", "adaedl.decoding", "adaedl.trace"}
    assert imported_by("toy", code, known) == known - {"adaedl", "adaedl.trace"}


def test_an_upward_arrow_and_a_circle_are_told():
    graph = {
        "adaedl.errors": {"adaedl.race"},
        "adaedl.race": {"adaedl.trace"},
        "adaedl.trace": {"adaedl.race"},
    }
    assert upward(graph) == ["adaedl.errors → adaedl.race", "adaedl.trace → adaedl.race"]
    assert set(circle(graph)) == {"adaedl.race", "adaedl.trace"}


if __name__ == "__main__":
    print(listing(import_graph()))
