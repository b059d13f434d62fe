"""External stoppers: from installed packages (entry points in the group `adaedl.stoppers`), and from the
modules and files that the environment variable ADAEDL_STOPPERS names.

The command line and the page load them at the start. A program that uses the library imports its own.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from adaedl.errors import Sentence, UserError
from adaedl.stopping.base import Stopper
from adaedl.stopping.fault_checks import describe_error
from adaedl.stopping.registry import LIVE_STOPPERS, STOPPERS, register_stopper

VARIABLE = "ADAEDL_STOPPERS"
GROUP = "adaedl.stoppers"


def load_plugins(environment: Mapping[str, str]) -> list[Sentence]:
    """Load stoppers from entry points and from ADAEDL_STOPPERS: modules and .py files, separated by commas.

    Return one sentence for each source that cannot be loaded; none of its stoppers is registered.
    """
    from importlib.metadata import entry_points  # slow to import

    sources: list[tuple[str, Callable[[], object]]] = [
        (f"{point.name} = {point.value}", point.load) for point in sorted(entry_points(group=GROUP))
    ]
    names = environment.get(VARIABLE, "").split(",")
    sources += [(name, _loader(name)) for name in map(str.strip, names) if name]
    return [problem for source, load in sources if (problem := _load(source, load))]


def _loader(name: str) -> Callable[[], object]:
    return lambda: _load_file(Path(name)) if name.endswith(".py") else import_module(name)


def _load(source: str, load: Callable[[], object]) -> Sentence | None:
    """Load stoppers from one source; return why that fails, or None."""
    before, live_before = dict(STOPPERS), dict(LIVE_STOPPERS)
    try:
        loaded = load()
        if isinstance(loaded, type) and issubclass(loaded, Stopper):
            register_stopper(loaded)
        if before == STOPPERS and not _registered_by(loaded):
            raise UserError("it registers no stopper; decorate a class with @register_stopper")
    except (Exception, SystemExit) as error:
        for registry, known in ((STOPPERS, before), (LIVE_STOPPERS, live_before)):
            registry.clear()
            registry.update(known)
        reason = str(error).rstrip(".") if isinstance(error, UserError) else describe_error(error)
        return Sentence("Stoppers of {} are not loaded: {}.", source, reason)
    return None


def _registered_by(source: object) -> bool:
    """Return whether a module that was imported earlier has registered stoppers."""
    module = source.__module__ if isinstance(source, type) else getattr(source, "__name__", "")
    return any(stopper.__module__ == module for stopper in STOPPERS.values())


def _load_file(path: Path) -> object:
    """Run a file as a module named after the file, and return the module."""
    if not path.is_file():
        raise UserError("there is no file {}", path.name)
    name = (
        path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"stoppers in {path.name}"
    )
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)  # dataclasses look up a class's module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
