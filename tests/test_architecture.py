"""The import graph: no module imports from a higher layer, and there are no import cycles.

`python tests/test_architecture.py` prints the import graph, layer by layer.
"""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# Lowest first. A name stands for a module, or for a package with everything in it; only "adaedl" stands for
# just its own module, which imports what `import adaedl` offers.
LAYERS = (
    ("adaedl.errors", "adaedl.version"),
    ("adaedl.system",),
    ("adaedl.stopping",),
    (
        *("adaedl.trace", "adaedl.request", "adaedl.draft_phase", "adaedl.noise", "adaedl.sampling"),
        *("adaedl.times", "adaedl.timing", "adaedl.metrics", "adaedl.statistics", "adaedl.text_difference"),
        *("adaedl.acceptance", "adaedl.earlier_texts", "adaedl.repeats", "adaedl.token_table", "adaedl.html"),
    ),
    ("adaedl.models",),
    ("adaedl.pairs",),
    ("adaedl.decoding",),
    ("adaedl.generation",),
    ("adaedl.racing",),
    ("adaedl.recordings",),
    ("adaedl.library",),
    ("adaedl.measure",),
    ("adaedl.distill",),
    ("adaedl.cli", "adaedl.__main__"),
    ("adaedl",),
    ("components.settings",),
    ("components.parts",),
    ("components.serving",),
    ("components.pages",),
    ("app",),
    (
        *("components.bench", "components.explore_bench", "components.races", "components.race_claims"),
        *("components.recordings", "components.study_figures", "components.chromium", "components.race_page"),
    ),
)
PACKAGES = {"adaedl", "components"}
EMPTY = {"components"}  # packages with an empty module

Graph = dict[str, set[str]]


@cache
def sources() -> dict[str, Path]:
    """Return every module of the engine and the page, by name."""
    files = [path for package in sorted(PACKAGES) for path in (PROJECT / package).rglob("*.py")]
    return {module_name(path): path for path in [*files, PROJECT / "app.py"]}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def imported_by(name: str, code: str, known: set[str]) -> set[str]:
    """Return which of the known modules a module imports, also inside functions and only for type
    checkers."""
    imports = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} has a relative import"
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            imports |= {part if part in known else node.module for part in parts}
    return imports & known - {name}


@cache
def import_graph() -> Graph:
    """Return the modules that each module imports."""
    modules = sources()
    return {name: imported_by(name, path.read_text("utf-8"), set(modules)) for name, path in modules.items()}


def layer_of(module: str) -> int | None:
    """Return the number of a module's layer, 0 for the lowest; None if it has none."""
    if module in EMPTY:
        return 0
    names = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    while module not in names:
        module = module.rpartition(".")[0]
        if not module or module in PACKAGES:
            return None
    return names[module]


def arrows(graph: Graph) -> set[tuple[str, str]]:
    return {(module, other) for module, others in graph.items() for other in others}


def upward(graph: Graph) -> list[str]:
    return sorted(f"{a} → {b}" for a, b in arrows(graph) if layer_of(b) > layer_of(a))


def cycle(graph: Graph) -> list[str]:
    """Return the modules of one import cycle, in order; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return []


def listing(graph: Graph) -> str:
    """Return the graph as text, lowest layer first."""
    lines = []
    for number, layer in enumerate(LAYERS):
        lines.append(f"\n{number}. {', '.join(layer)}")
        for name in sorted(name for name in graph if name not in EMPTY and layer_of(name) == number):
            lines.append(f"   {name} → {', '.join(sorted(graph[name])) or '(nothing)'}")
    return "\n".join(lines)


def test_every_module_has_a_layer():
    assert [name for name in sorted(sources()) if layer_of(name) is None] == []


def test_no_module_imports_from_a_higher_layer():
    print(listing(import_graph()))
    assert upward(import_graph()) == []


def test_there_are_no_import_cycles():
    assert cycle(import_graph()) == []


def test_imports_are_found_anywhere_in_a_module():
    code = """
import adaedl.errors
from adaedl import racing
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from adaedl.pairs.pair import Pair
def late():
    from adaedl.decoding import decode
"""
    known = {
        "adaedl",
        "adaedl.errors",
        "adaedl.racing",
        "adaedl.pairs.pair",
        "adaedl.decoding",
        "adaedl.trace",
    }
    assert imported_by("toy", code, known) == known - {"adaedl", "adaedl.trace"}


def test_an_upward_import_and_an_import_cycle_are_found():
    graph = {
        "adaedl.errors": {"adaedl.racing"},
        "adaedl.racing": {"adaedl.trace"},
        "adaedl.trace": {"adaedl.racing"},
    }
    assert upward(graph) == ["adaedl.errors → adaedl.racing", "adaedl.trace → adaedl.racing"]
    assert set(cycle(graph)) == {"adaedl.racing", "adaedl.trace"}


if __name__ == "__main__":
    print(listing(import_graph()))
