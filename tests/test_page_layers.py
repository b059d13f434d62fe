"""The order of the page's packages, in which nothing imports from a later one: settings, parts, serving,
pages, then app.py and the commands of components/."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
LAYERS = ("settings", "parts", "serving", "pages")


def layer_of(module: str) -> int:
    """The number of a module's layer, the lowest 0; modules of components/ itself and app.py are on top."""
    package = module.split(".")[1] if module.count(".") else ""
    return LAYERS.index(package) if package in LAYERS else len(LAYERS)


@cache
def modules() -> dict[str, Path]:
    found = {
        ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PROJECT.glob("components/**/*.py")
    }
    return {**found, "app": PROJECT / "app.py"}


@cache
def imports() -> dict[str, set[str]]:
    """What each module imports of components, within functions and for type checkers too."""
    graph = {}
    for module, path in modules().items():
        graph[module] = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[module] |= (names & modules().keys()) or {node.module} & modules().keys()
            elif isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names} & modules().keys()
    return graph


@pytest.mark.parametrize("module", modules())
def test_nothing_imports_from_a_layer_above_its_own(module):
    above = {name for name in imports()[module] if layer_of(name) > layer_of(module)}
    assert above == set()


def test_no_module_of_the_page_imports_itself_in_a_circle():
    try:
        order = list(TopologicalSorter(imports()).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
    print(*order, sep="\n")
    assert order.index("components.parts.settings") < order.index("components.pages.race")
