"""Bundle the modules of assets/js into two files, instead of a hundred requests: the modules that the page
needs at first, and the rest, which the first tab that needs them loads.

The app makes the bundles from the modules when it starts. A bundle holds its modules as functions, which
assets/js/registry.js, at the head of the first bundle, runs.
"""

import re
from functools import cache
from posixpath import dirname, join, normpath

from components.parts.folders import ASSETS

JS = ASSETS / "js"
REGISTRY = "registry.js"
LATER = ("explore", "learn", "lecture", "sweep")  # folders of modules that the page does not need at first
IN_FILE = "html/"  # modules for a race's HTML file; they replace the page's modules of the same name there

# Imports and exports as prettier writes them, in the forms that `wrapped` can put into a function.
IMPORT = re.compile(r'^import (?:(\{[^}]*\})|\* as (\w+)|(\w+)) from "(\.[^"]+)";\n', re.MULTILINE)
LATE_IMPORT = re.compile(r'\bimport\("(\.[^"]+)"\)')
OPENED = re.compile(r'\bopen\("([\w/]+\.js)"\)')  # the function of open.js
PASSED_ON = re.compile(r'^export \{([^}]*)\} from "(\.[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (default )?((?:async )?(?:function\*?|class|const)) (\w+)", re.MULTILINE)


@cache
def bundles() -> dict[str, str]:
    """Return the bundles by the names under which they are served.

    Raises:
        ValueError: a module imports or exports in a form that `wrapped` does not know.
    """
    modules = {name: source for name, source in _modules().items() if not name.startswith(IN_FILE)}
    first = set()
    pending = [name for name in modules if name.split("/")[0] not in LATER]
    while pending:
        name = pending.pop()
        if name not in first:
            first.add(name)
            pending += _imported(name, modules[name])
    rest = modules.keys() - first
    return {
        "bundle/first.js": _bundle((JS / REGISTRY).read_text("utf-8"), modules, first),
        "bundle/rest.js": _bundle('import { define } from "./first.js";\n', modules, rest),
    }


def file_bundle(entry: str) -> str:
    """Return a module with everything it needs as one script, for an HTML file without a server. It begins
    with html/registry.js, and nothing runs before `load(entry)`.

    Raises:
        ValueError: as for `bundles`.
    """
    modules = _modules()
    needed: set[str] = set()
    pending = [entry]
    while pending:
        name = pending.pop()
        name = IN_FILE + name if IN_FILE + name in modules else name
        if name not in needed:
            needed.add(name)
            pending += _imported(name, modules[name])
            pending += (_target(name, path) for path in LATE_IMPORT.findall(modules[name]))
            pending += OPENED.findall(modules[name])
    head = EXPORT.sub(r"\2 \3", (JS / IN_FILE / REGISTRY).read_text("utf-8"))
    return _bundle(f'"use strict";\n{head}', modules, needed)


def _imported(name: str, source: str) -> list[str]:
    """Return the paths of the modules that a module imports statically."""
    return [_target(name, match[-1]) for form in (IMPORT, PASSED_ON) for match in form.findall(source)]


def _modules() -> dict[str, str]:
    """Return the modules' sources by their paths below assets/js."""
    paths = {path.relative_to(JS).as_posix(): path for path in sorted(JS.rglob("*.js"))}
    return {name: path.read_text("utf-8") for name, path in paths.items() if path.name != REGISTRY}


def _bundle(head: str, modules: dict[str, str], names: set[str]) -> str:
    return "\n".join([head, *(wrapped(name, modules[name]) for name in sorted(names))])


def wrapped(name: str, source: str) -> str:
    """Return a call of `define` with a module's source as a function.

    Raises:
        ValueError: the module imports or exports in a form that this function does not know.
    """
    exported = []

    def declare(match: re.Match) -> str:
        default, declaration, identifier = match.groups()
        exported.append(f"default: {identifier}" if default else identifier)
        return f"{declaration} {identifier}"

    def load(match: re.Match) -> str:
        names, namespace, default, path = match.groups()
        names = names.replace(" as ", ": ") if names else namespace or f"{{ default: {default} }}"
        return f'const {names} = $load("{_target(name, path)}");\n'

    def pass_on(match: re.Match) -> str:
        for item in filter(None, map(str.strip, match[1].split(","))):
            original, _, alias = item.partition(" as ")
            exported.append(f'{alias or original}: $load("{_target(name, match[2])}").{original}')
        return ""

    body = EXPORT.sub(declare, PASSED_ON.sub(pass_on, IMPORT.sub(load, source)))
    unknown = re.search(r"^(?:import|export)\b.*", body, re.MULTILINE)
    if unknown:
        raise ValueError(f"assets/js/{name}: components/parts/bundle.py cannot bundle: {unknown.group()}")
    body = re.sub(r"\bimport\(", "$importing(", body.replace("import.meta", "$meta"))
    exports = ", ".join(exported)
    return f'define("{name}", ($load, $meta, $importing) => {{\n{body}return {{ {exports} }};\n}});\n'


def _target(name: str, path: str) -> str:
    """Return the path below assets/js of a module's import."""
    return normpath(join(dirname(name), path))
